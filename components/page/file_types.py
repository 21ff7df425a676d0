"""What browsers are told of the files that the page is made of."""

import mimetypes

TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wav": "audio/wav",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}


def register() -> None:
    """Set these types whatever the machine says.

    On Windows they are read from the registry, where other programs write; where `.js` is plain text there, a
    browser runs none of the page's scripts.
    """
    for ending, kind in TYPES.items():
        mimetypes.add_type(kind, ending)

"""What a lecturer wants to know before the lesson: is everything here, and how fast is it?"""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from components.page.picture_tabs import example_request
from pipelines.image import image
from pipelines.serving import catalogue, loading

ROLES = ("clip", "image", "dino", "video", "audio")


def health() -> dict[str, Any]:
    """The state of models, disk and network; answers at once.

    Returns:
        `models`: of each role the preselected one, with `here` (on the disk) and `warm` (in memory);
        `free_gb` where visitors' files lie; `offline`, whether the app never asks a network.
    """
    models = []
    for role in ROLES:
        entry = catalogue.entry(catalogue.default_id(role), role)
        models.append(
            {
                "role": role,
                "title": entry.title,
                "here": catalogue.on_disk(entry),
                "warm": loading.is_loaded(entry.id),
            }
        )
    folder = os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()
    free = shutil.disk_usage(folder).free / 1e9 if Path(folder).is_dir() else 0.0
    offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0", "false", "False")
    return {"models": models, "free_gb": round(free, 1), "offline": offline}


def seconds_of_a_picture() -> float:
    """Draw the page's first example; s that it took."""
    request = example_request()
    begun = time.perf_counter()
    image.run(request)
    return time.perf_counter() - begun

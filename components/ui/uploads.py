"""Files from outside: where they may lie, how they are opened, and how pictures wait on the page."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from markupsafe import Markup, escape
from PIL import Image

from components.ui.errors import message
from components.ui.language import Texts
from components.ui.templates import templates
from pipelines.serving.errors import InputError
from pipelines.serving.uploads import open_picture

KEPT_SIDE = 384  # px of a picture kept for a visitor; the largest CLIP of the catalogue reads 224


def uploaded(file: Any, refusal: str = "picture_not_uploaded") -> Path:
    """Where a file lies that a program or the page sent.

    Gradio checks the files that it recognises as such; a bare path or a look-alike reaches a
    function unchecked, so the folder is checked here once more.

    Args:
        file: `gradio.FileData` as a dict, or the path that the page's own upload returned.
        refusal: key of the error.

    Raises:
        InputError: `refusal` if it lies outside the folder of uploads.
    """
    path: Any = file.get("path") if isinstance(file, dict) else file
    try:
        inside = Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve())
    except (TypeError, ValueError, OSError):  # no text at all, or a NUL or a loop in it
        inside = False
    if not inside:
        raise InputError(refusal)
    return Path(path)


def open_uploads(files: Any, most: int) -> list[Image.Image]:
    """Open a list of uploaded files; their number, at most `most`, is checked before the first is touched.

    Raises:
        InputError: `pictures_count`, and those of `uploaded` and `open_picture`.
    """
    return [open_picture(uploaded(file)) for file in _counted(files, most)]


def _counted(files: Any, most: int) -> list[Any]:
    files = files if isinstance(files, list) else []
    if not 1 <= len(files) <= most:
        raise InputError("pictures_count", received=len(files), most=most)
    return files


def shown_name(file: Any) -> str:
    """The name of an uploaded file as a page shows it.

    It is composed (some systems send a letter and its dots apart), and without what is not seen: control
    characters, and those that turn the direction of a line.
    """
    name = unicodedata.normalize("NFC", Path(str(file)).name)
    return "".join(c for c in name if c.isprintable() or c == _JOINER)


_JOINER = "\u200d"  # holds the parts of an emoji together


def accept(files: Any, most: int, t: Texts) -> list[Image.Image]:
    """The usable ones among uploaded files; see `accept_named`."""
    return accept_named(files, most, t)[1]


def accept_named(files: Any, most: int, t: Texts) -> tuple[list[str], list[Image.Image]]:
    """Names and pictures of the usable ones among uploaded files, and a warning for each of the others.

    Raises:
        InputError: `pictures_count`, or the one reason why the only file cannot be used.
    """
    names, opened = [], []
    for file in _counted(files, most):
        name = shown_name(file)
        try:
            opened.append(open_picture(uploaded(file)))
            names.append(name)
        except InputError as error:
            if len(files) == 1:
                raise
            gr.Warning(escape(f"{name}: {message(error, t)}"), title=t("errors.title"))
    return names, opened


def kept(images: Sequence[Image.Image]) -> tuple[Image.Image, ...]:
    """Pictures as they are kept for a visitor: at most `KEPT_SIDE` px a side."""
    small = tuple(image.convert("RGB") for image in images)
    for image in small:
        image.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS)
    return small


def strip_html(thumbs: Sequence[str], t: Texts, hint: str = "") -> Markup:
    """Pictures in a row, each with a button that takes it away, and below them what to do."""
    return templates("ui/uploads.html").strip(thumbs, hint, t)


def sources_html(t: Texts, drop: str = "clip_matrix.drop") -> Markup:
    """Where pictures come from: a field to drop them on, a file dialogue, the camera.

    Args:
        drop: key of what the field says.
    """
    return templates("ui/uploads.html").sources(t(drop), t)

"""Files from outside: where they may lie, how they are opened, and how pictures wait on the page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from components.ui.errors import message
from components.ui.language import Texts
from components.ui.layout import html_escape
from pipelines.clip import clip_matrix as pipeline
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


def open_uploads(files: Any) -> list[Image.Image]:
    """Open a list of uploaded files; their number is checked before the first is touched.

    Raises:
        InputError: `pictures_count`, and those of `uploaded` and `open_picture`.
    """
    files = files if isinstance(files, list) else []
    if not 1 <= len(files) <= pipeline.MOST:
        raise InputError("pictures_count", received=len(files), most=pipeline.MOST)
    return [open_picture(uploaded(file)) for file in files]


def accept(files: Any, t: Texts) -> list[Image.Image]:
    """The usable ones among uploaded files; see `accept_named`."""
    return list(accept_named(files, t)[1])


def accept_named(files: Any, t: Texts) -> tuple[list[str], list[Image.Image]]:
    """Names and pictures of the usable ones among uploaded files, and a warning for each of the others.

    Raises:
        InputError: `pictures_count`, or the one reason why the only file cannot be used.
    """
    files = files if isinstance(files, list) else []
    if not 1 <= len(files) <= pipeline.MOST:
        raise InputError("pictures_count", received=len(files), most=pipeline.MOST)
    names, opened = [], []
    for file in files:
        try:
            opened += open_uploads([file])
            names.append(Path(str(file)).name)
        except InputError as error:
            if len(files) == 1:
                raise
            said = html_escape(f"{Path(str(file)).name}: {message(error, t)}")
            gr.Warning(said, title=t("errors.title"))
    return names, opened


def _picture(place: int, uri: str, t: Texts) -> str:
    """A thumbnail with the button that takes it away; `place` counts from 1."""
    name = html_escape(t("clip_matrix.picture_name", number=place))
    remove = html_escape(t("clip_matrix.remove", number=place))
    return (
        f'<img src="{uri}" alt="{name}"><b class="cm-number" aria-hidden="true">{place}</b>'
        f'<button type="button" class="cm-remove" data-remove="{place - 1}" '
        f'aria-label="{remove}" title="{remove}">×</button>'
    )


def strip_html(thumbs: Sequence[str], t: Texts) -> str:
    """The pictures alone, while there is no matrix to put them on."""
    pictures = "".join(f"<li>{_picture(i, uri, t)}</li>" for i, uri in enumerate(thumbs, 1))
    return f'<ul class="cm-strip">{pictures}</ul>' if pictures else ""


def sources_html(t: Texts, drop: str = "clip_matrix.drop") -> str:
    """Where pictures come from: a field to drop them on, a file dialogue, the camera.

    Args:
        t: texts of the page.
        drop: key of what the field says.
    """
    keys = ("choose", "camera", "shoot", "camera_off", "no_camera", "failed", "sources")
    said = {key: html_escape(t(f"clip_matrix.{key}")) for key in keys}
    return (
        f'<div class="cm-sources" data-failed="{said["failed"]}" data-no-camera="{said["no_camera"]}">'
        f'<p class="cm-label">{said["sources"]}</p><div class="cm-drop"><p>{html_escape(t(drop))}</p>'
        f'<label class="cm-button">{said["choose"]}<input type="file" multiple class="sv-sr" '
        f'accept="image/png,image/jpeg,image/webp,image/gif,image/bmp"></label>'
        f'<button type="button" class="cm-button cm-camera">{said["camera"]}</button></div>'
        f'<div class="cm-finder" hidden><video autoplay playsinline muted></video>'
        f'<button type="button" class="cm-button cm-shoot">{said["shoot"]}</button>'
        f'<button type="button" class="cm-button cm-off">{said["camera_off"]}</button></div>'
        f'<p class="cm-said" role="status"></p></div>'
    )

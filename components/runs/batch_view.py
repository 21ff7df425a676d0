"""Several pictures at once while they are drawn, or where they were stopped: without what they will mean."""

from collections.abc import Sequence

from components.ui.language import Texts
from components.ui.plots import LEFT, RIGHT
from components.ui.templates import templates


def running_gallery(kind: str, captions: Sequence[str], sources: Sequence[str], status: str, t: Texts) -> str:
    """Pictures with captions, or their places before the first step.

    Args:
        kind: classes of the whole, which say by whose rules it is drawn.
        captions: plain text, one for each picture.
        sources: addresses of the pictures; none before the first step.
        status: how far they are.
    """
    page = templates("runs/batch_view.html")
    return page.gallery(kind, captions, sources, t("image.waiting"), status).strip()


def running_row(kind: str, captions: Sequence[str], sources: Sequence[str]) -> str:
    """Pictures side by side, each where its point of the plot beneath will be; nothing before the first step.

    Args:
        kind: class of the row.
        captions: what each picture is, for those who do not see it.
        sources: their addresses.
    """
    columns = f"grid-template-columns:repeat({len(sources)},minmax(0,1fr));padding:0 {RIGHT}px 0 {LEFT}px"
    return templates("runs/batch_view.html").row(kind, columns, captions, sources).strip()


def running_status(text: str, above: str = "") -> str:
    """How far a batch is.

    Args:
        text: plain.
        above: what `running_row` drew, where it has no place of its own.
    """
    return templates("runs/batch_view.html").status(text, above).strip()

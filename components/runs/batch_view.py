"""Several pictures at once while they are drawn, or where they were stopped: without what they will mean."""

from collections.abc import Sequence

from markupsafe import Markup

from components.runs.trace_view import over_plot
from components.ui.language import Texts
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


def running_row(captions: Sequence[str], sources: Sequence[str]) -> Markup:
    """Pictures side by side, each where its point of the plot beneath will be; nothing before the first step.

    Args:
        captions: what each picture is, for those who do not see it.
        sources: their addresses.
    """
    return over_plot(list(zip(sources, captions, strict=True))) if sources else Markup("")


def running_status(text: str) -> Markup:
    """How far a batch is."""
    return templates("runs/batch_view.html").status(text)

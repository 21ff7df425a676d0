"""The four parts that every tab has, and safe HTML for pictures and figures."""

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape

import gradio as gr
from PIL import Image

from components.ui.language import Texts

ON_ENTER = "sv-on-enter"  # class of the button of a tab that Enter in the prompt presses


def html_escape(text: object) -> str:
    """Text that may stand inside an element or a quoted attribute."""
    return escape(str(text), quote=True)


@contextmanager
def tab_frame(t: Texts, stem: str) -> Iterator[gr.Tab]:
    """One tab: title and claim above, the experiment inside, the note below.

    Args:
        t: texts; the frame reads `<stem>.tab`, `.title`, `.claim` and `.note` (Markdown).
        stem: name of the tab, the same in every folder.

    Yields:
        The tab, whose `select` event says that somebody looks at it.
    """
    with gr.Tab(t(f"{stem}.tab"), id=stem, elem_id=f"tab-{stem}", elem_classes="sv-tab") as tab:
        gr.HTML(
            f'<header class="sv-head"><h2>{html_escape(t(f"{stem}.title"))}</h2>'
            f'<p class="sv-claim">{html_escape(t(f"{stem}.claim"))}</p></header>',
            apply_default_css=False,
        )
        yield tab
        with gr.Column(elem_classes="sv-note"):
            gr.Markdown(f"### {t('common.note_title')}\n\n{t(f'{stem}.note')}")


@contextmanager
def one_click_away(title: str, elem_id: str) -> Iterator[None]:
    """Parts that a click on `title` shows and hides; they are on the page from the start.

    Gradio's accordion draws its parts when it is opened first, and what is typed into them in that moment is
    lost and set off again and again. `page.js` opens this one, `style.css` hides what is closed.

    Args:
        title: what the button says.
        elem_id: address for style and tests.
    """
    body = f"{elem_id}-body"
    with gr.Column(elem_id=elem_id, elem_classes="sv-more"):
        gr.HTML(
            f'<button type="button" class="sv-more-button" aria-expanded="false" aria-controls="{body}">'
            f"<span>{html_escape(title)}</span></button>",
            apply_default_css=False,
        )
        with gr.Column(elem_id=body, elem_classes="sv-more-body"):
            yield


def section(title: str, hint: str = "") -> gr.HTML:
    """Heading of one part of a tab, with a sentence in plain words."""
    text = f"<p>{html_escape(hint)}</p>" if hint else ""
    return gr.HTML(
        f'<div class="sv-section"><h3>{html_escape(title)}</h3>{text}</div>', apply_default_css=False
    )


def view_class(view: str) -> str:
    """Class of the places of a view, within which its rules hold."""
    return "sv-view-" + view.replace("/", "-")


def live_html(
    view: str,
    elem_id: str,
    label: str = "",
    value: str = "",
    *,
    also: Sequence[str] = (),
    classes: Sequence[str] = (),
    script: bool = True,
    render: bool = True,
) -> gr.HTML:
    """A place for a view that has rules (`<view>.css`) and a script (`<view>.js`) of its own.

    The document carries both once (`components/page/document.py`), however many places use them; Gradio
    would send them with every place.

    Args:
        view: path of rules and script below `components`, such as "audio/player".
        elem_id: address for style and tests.
        label: what the place shows, for those who cannot see it.
        value: the view to begin with.
        also: views whose rules hold here too.
        classes: more classes for `style.css`.
        script: whether the script runs here.
        render: whether it stands here, or is put somewhere later.
    """
    call = f'svViews["{view}"](element, trigger, props, upload, watch)'
    return gr.HTML(
        value,
        elem_id=elem_id,
        elem_classes=[*(view_class(key) for key in (*also, view)), *classes],
        label=label or None,
        js_on_load=call if script else None,
        render=render,
        apply_default_css=False,  # Gradio's rules for running text recolour table cells
    )


def data_uri(image: Image.Image) -> str:
    """A picture as a PNG inside an address, so that no file has to be served."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def picture_html(
    image: Image.Image, alt: str, crisp: bool = False, width: int | str = "100%", title: str = ""
) -> str:
    """An `<img>` that carries its picture with it.

    Args:
        image: any picture; send it small, the browser enlarges it.
        alt: what it shows, for those who cannot see it.
        crisp: enlarge with hard pixels, where the grid is the point, instead of smoothly.
        width: CSS px, or any CSS width.
        title: shown when the pointer rests on it.
    """
    size = f"{width}px" if isinstance(width, int) else width
    hover = f' title="{html_escape(title)}"' if title else ""
    kind = "sv-picture sv-crisp" if crisp else "sv-picture"
    return (
        f'<img class="{kind}" src="{data_uri(image)}" alt="{html_escape(alt)}"{hover} '
        f'style="width:{html_escape(size)}">'
    )


def figure_html(
    image: Image.Image, caption: str, alt: str = "", crisp: bool = False, width: int | str = "100%"
) -> str:
    """A picture with its caption beneath.

    Args:
        image: any picture.
        caption: plain text.
        alt: what the picture shows; without it, the caption says it.
        crisp: see `picture_html`.
        width: of the picture, CSS px or any CSS width.
    """
    picture = picture_html(image, alt or caption, crisp, width)
    return f'<figure class="sv-figure">{picture}<figcaption>{html_escape(caption)}</figcaption></figure>'


def row_html(cells: Sequence[str], label: str = "") -> str:
    """Pieces of HTML side by side; they wrap where the screen is narrow.

    Args:
        cells: HTML, already escaped.
        label: what the row is, for those who cannot see it.
    """
    group = f' role="group" aria-label="{html_escape(label)}"' if label else ""
    return f'<div class="sv-row"{group}>{"".join(cells)}</div>'

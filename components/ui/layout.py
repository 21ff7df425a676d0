"""The four parts that every tab has, and places for its views."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape

import gradio as gr

from components.ui.language import Texts
from components.ui.templates import templates

_html = templates("ui/layout.html")
_HTML_OF_VALUE = "${value?.html ?? value ?? ''}"
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
        head = _html.head(t(f"{stem}.title"), t(f"{stem}.claim"))
        gr.HTML(head, apply_default_css=False)
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
        gr.HTML(_html.more_button(title, body), apply_default_css=False)
        with gr.Column(elem_id=body, elem_classes="sv-more-body"):
            yield


def tab_seen(elem_id: str) -> str:
    """JS that says whether a tab is open."""
    return f"""document.querySelector('#{elem_id}[role="tabpanel"]')?.offsetParent != null"""


def is_open(stem: str) -> str:
    """JS that sets an event's first input to whether the tab is open; a hidden one is drawn when opened."""
    return f"(_, ...rest) => [{tab_seen(f'tab-{stem}')}, ...rest]"


# JS that sets an event's first input to whether the visitor wants pages that do not move by themselves.
KEEPS_STILL = """(_, ...rest) => [matchMedia("(prefers-reduced-motion: reduce)").matches, ...rest]"""


def view_class(view: str) -> str:
    """Class of the places of a view, within which its rules hold."""
    return "sv-view-" + view.replace("/", "-")


def live_html(
    view: str,
    elem_id: str,
    label: str = "",
    value: str | dict[str, object] = "",
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
        value: the view to begin with: HTML, or data for the script whose "html" is shown.
        also: views whose rules hold here too.
        classes: more classes for `style.css`.
        script: whether the script runs here.
        render: whether it stands here, or is put somewhere later.
    """
    call = f'svViews["{view}"](element, trigger, props, upload, watch)'
    return gr.HTML(
        value,
        html_template=_HTML_OF_VALUE,
        elem_id=elem_id,
        elem_classes=[*(view_class(key) for key in (*also, view)), *classes],
        label=label or None,
        js_on_load=call if script else None,
        render=render,
        apply_default_css=False,  # Gradio's rules for running text recolour table cells
    )

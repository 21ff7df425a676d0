"""What stands above and below the experiments."""

import json
from collections.abc import Sequence

import gradio as gr

from components.ui.language import LANGUAGES, Texts
from components.ui.layout import html_escape

SECOND_ROW = "steering"  # chapter that begins the second row of tabs
# From a cloud of noise along an arrow to one point: the steering vector.
_MARK = (
    '<svg class="sv-mark" viewBox="0 0 48 48" aria-hidden="true">'
    '<circle cx="9" cy="38" r="3.2" fill="#56b4e9"/><circle cx="16" cy="29" r="2.4" fill="#009e73"/>'
    '<circle cx="6" cy="27" r="2" fill="#cc79a7"/><circle cx="18" cy="40" r="2" fill="#e69f00"/>'
    '<path d="M11 36 L36 12" stroke="currentColor" stroke-width="4" stroke-linecap="round"/>'
    '<path d="M25 9 L39 9 L39 23" fill="none" stroke="currentColor" stroke-width="4" '
    'stroke-linecap="round" stroke-linejoin="round"/></svg>'
)


def _chapter_rules(t: Texts, chapters: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Style rules that write each chapter's name above its first tab.

    Where there is room for two rows of tabs, the chapters from `SECOND_ROW` on stand in the second, so that
    none is torn apart: what is first in a row is told by `order`, the break is a pseudo-element between them.
    The part after the slash is what screen readers say: nothing, the tab's own name follows.
    """
    names, below = [name for name, _ in chapters], []
    rules: list[str] = []
    for place, (chapter, stems) in enumerate(chapters):
        button = f"#tabs #tab-{stems[0]}-button"
        name = json.dumps(t(f"common.chapter.{chapter}"), ensure_ascii=False)
        rules.append(f'{button}::before{{content:{name} / ""}}')
        if place and chapter != SECOND_ROW:
            rules.append(f"{button}{{margin-left:var(--sv-chapter-gap)}}")
        if SECOND_ROW in names[: place + 1]:
            below += [f"#tabs #tab-{stem}-button" for stem in stems]
    if below:
        rules.append(
            f"@media (min-width:1000px){{{','.join(below)}{{order:2}}"
            '#tabs>.tab-wrapper .tab-container::before{content:"";order:1;flex:0 0 100%}}'
        )
    return f"<style>{''.join(rules)}</style>"


def build_header(t: Texts, chapters: Sequence[tuple[str, Sequence[str]]]) -> gr.HTML:
    """Name, purpose, and the two switches.

    Args:
        t: texts.
        chapters: name of each chapter with the stems of its tabs.
    """
    other = next(language for language in LANGUAGES if language != t.language)
    href = "de" if other == "de" else "./"
    return gr.HTML(
        f'<header class="sv-top"><a class="sv-skip" href="#tabs">{html_escape(t("common.skip"))}</a>'
        f'<div class="sv-brand">{_MARK}<div><h1>{html_escape(t("common.title"))}</h1>'
        f"<p>{html_escape(t('common.subtitle'))}</p></div></div>"
        f'<nav class="sv-switches"><button type="button" data-theme-switch>'
        f'<span aria-hidden="true">◐</span><span> {html_escape(t("common.theme_switch"))}</span></button>'
        f'<a data-language="{other}" lang="{other}" hreflang="{other}" href="{href}" '
        f'title="{html_escape(t("common.language_switch_hint"))}">'
        f"{html_escape(t('common.language_switch'))}</a></nav></header>" + _chapter_rules(t, chapters),
        elem_id="sv-header",
        apply_default_css=False,
    )


def build_footer(t: Texts) -> gr.HTML:
    """What the page is made of, and the way in for programs."""
    return gr.HTML(
        f'<footer class="sv-foot"><p>{html_escape(t("common.footer"))}</p>'
        f'<p><a href="?view=api">{html_escape(t("common.footer_api"))}</a></p></footer>',
        apply_default_css=False,
    )

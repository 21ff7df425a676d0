"""The house template: large type, and colour scales that mean what they show."""

import plotly.graph_objects as go

from components.ui.colors import contrast
from components.ui.language import load_texts
from components.ui.plots import DIVERGING, TEXT, in_lines, plot, style


def test_no_text_of_a_figure_is_below_14_px() -> None:
    layout = style(go.Figure(go.Bar(y=[1, 2]))).layout.template.layout
    fonts = [layout.font, layout.title.font, layout.xaxis.tickfont, layout.yaxis.tickfont]
    fonts += [layout.xaxis.title.font, layout.yaxis.title.font, layout.legend.font, layout.hoverlabel.font]
    assert all(font.size >= 14 for font in fonts)


def test_the_ground_is_the_pages_own_and_text_shows_on_both_pages() -> None:
    fig = style(go.Figure(), height=300)
    assert fig.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"
    assert fig.layout.height == 300
    assert contrast(TEXT, "#fbfbf9") >= 3.5
    assert contrast(TEXT, "#121419") >= 3.5


def test_german_figures_have_a_decimal_comma() -> None:
    assert style(go.Figure(), load_texts("de")).layout.separators[0] == ","
    assert style(go.Figure(), load_texts("en")).layout.separators[0] == "."


def test_differences_are_neutral_at_zero_and_strong_at_both_ends() -> None:
    places, colours = zip(*DIVERGING, strict=True)
    assert places[len(places) // 2] == 0.5
    middle = colours[len(colours) // 2]
    assert contrast(middle, "#ffffff") < 1.3
    assert min(contrast(colours[0], middle), contrast(colours[-1], middle)) > 5


def test_a_plot_says_what_it_shows() -> None:
    component = plot("CLIP score against scale", elem_classes=["wide"])
    assert component.label == "CLIP score against scale"
    assert component.elem_classes == ["sv-plot", "wide"]


def test_a_long_axis_title_stands_in_lines_of_about_the_same_length() -> None:
    title = "mittlerer Kosinus an weggelassenen Dingen"
    lines = in_lines(title).split("<br>")
    assert " ".join(lines) == title and [len(line) for line in lines] == [20, 20]
    assert in_lines("CLIP score") == "CLIP score" and in_lines("") == ""


def test_nothing_is_dragged_in_a_figure_so_that_a_finger_on_it_scrolls_the_page() -> None:
    layout = style(go.Figure(go.Bar(y=[1, 2]))).layout.template.layout
    assert layout.dragmode is False
    assert layout.xaxis.fixedrange and layout.yaxis.fixedrange  # else the axes are handles of their own
    assert layout.scene.dragmode == "turntable"  # what has depth is turned

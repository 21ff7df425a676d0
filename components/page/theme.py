"""Type and colours of the page; the rules for its parts stand in `style.css`."""

from pathlib import Path

import gradio as gr

FONTS = Path(__file__).parents[2] / "assets" / "fonts"

# Neutral greys of the page, light to dark, and the accent (Okabe–Ito blue) with its neighbours.
_GREY = gr.themes.Color(
    "#fbfbf9", "#f4f4f1", "#e6e6e2", "#d2d2cd", "#a3a4a1", "#6f7275",
    "#54575c", "#3b3f45", "#262a31", "#1a1d23", "#121419", name="paper",
)  # fmt: skip
_BLUE = gr.themes.Color(
    "#eef7fd", "#d9edf9", "#b3dbf2", "#7fc3ea", "#56b4e9", "#2b8fcb",
    "#0072b2", "#005f95", "#004b77", "#00395a", "#00263d", name="steering",
)  # fmt: skip
# Body text of 18 px can be read from the last row when projected; nothing is below 14 px.
_TYPE = gr.themes.Size("14px", "15px", "16px", "18px", "20px", "24px", "30px", name="lecture")


def theme() -> gr.themes.Base:
    """The Gradio theme: bundled fonts, paper and ink, one accent, thin rules instead of boxes."""
    base = gr.themes.Base(
        primary_hue=_BLUE,
        secondary_hue=_BLUE,
        neutral_hue=_GREY,
        text_size=_TYPE,
        radius_size=gr.themes.sizes.radius_md,
        font=[gr.themes.Font("Inter"), "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "DejaVu Sans Mono", "monospace"],
    )
    return base.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="#1b1e23",
        body_text_color_dark="#eceef1",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="#aab0ba",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#191c22",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="#20242b",
        border_color_primary="*neutral_200",
        border_color_primary_dark="#343942",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_padding="0px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*body_text_color",
        block_label_text_color_dark="*body_text_color",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_text_size="*text_md",
        block_title_text_weight="600",
        block_info_text_color="*body_text_color_subdued",
        block_info_text_color_dark="*body_text_color_subdued",
        block_info_text_size="*text_sm",
        input_background_fill="#ffffff",
        input_background_fill_dark="#20242b",
        input_border_color="#8f9297",
        input_border_color_dark="#6c727d",
        input_border_color_focus="*primary_600",
        input_border_color_focus_dark="*primary_400",
        input_border_width="1.5px",
        input_placeholder_color="#6f7275",
        input_placeholder_color_dark="#949aa5",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_400",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_300",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#06131d",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_dark="#262a31",
        button_secondary_border_color="#8f9297",
        button_secondary_border_color_dark="#6c727d",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        color_accent="*primary_600",
    )


FILES = ("Inter-Regular.woff2", "Inter-SemiBold.woff2", "InterDisplay-Bold.woff2")


def _address(file: str) -> str:
    # Relative to the page's own folder, which is the app's in every language; `document.py` takes <base> out.
    return f"gradio_api/file={(FONTS / file).as_posix()}"


def font_links() -> str:
    """Let the fonts come with the document: in another one, tabs take a row more, and all below jumps."""
    attributes = 'rel="preload" as="font" type="font/woff2" crossorigin'
    return "".join(f'<link {attributes} href="{_address(file)}">' for file in FILES)


def _font_face(file: str, family: str, weight: str) -> str:
    source = f'url("{_address(file)}") format("woff2")'
    return f"@font-face{{font-family:{family};font-weight:{weight};font-display:swap;src:{source}}}"


def font_faces() -> str:
    """The rules that name the bundled fonts; they come from this machine."""
    named = (("Inter", "400"), ("Inter", "500 900"), ('"Inter Display"', "700"))
    return "".join(_font_face(file, *names) for file, names in zip(FILES, named, strict=True))

"""Pictures and texts as HTML that visitors' words cannot break out of."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from components.ui.layout import figure_html, html_escape, picture_html, row_html

PICTURE = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))


def test_the_picture_in_the_address_is_the_picture_given() -> None:
    html = picture_html(PICTURE, "a grid", crisp=True, width=120)
    data = re.search(r'src="data:image/png;base64,([^"]+)"', html)
    assert data is not None
    sent = Image.open(io.BytesIO(base64.b64decode(data[1])))
    assert np.array_equal(np.asarray(sent), np.asarray(PICTURE))
    assert "sv-crisp" in html
    assert "width:120px" in html
    assert 'alt="a grid"' in html


def elements(html: str) -> list[str]:
    """The tags a browser would open."""
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append(tag)  # type: ignore[method-assign]
    parser.feed(html)
    return found


def test_what_visitors_typed_cannot_leave_its_attribute_or_element() -> None:
    hostile = '"><script>alert(1)</script>'
    assert elements(picture_html(PICTURE, hostile, title=hostile)) == ["img"]
    assert elements(figure_html(PICTURE, hostile)) == ["figure", "img", "figcaption"]
    assert elements(row_html([], label=hostile)) == ["div"]
    assert elements(html_escape(hostile)) == []


def test_a_caption_is_the_alternative_text_unless_another_is_given() -> None:
    assert 'alt="step 3"' in figure_html(PICTURE, "step 3")
    assert 'alt="a cat"' in figure_html(PICTURE, "step 3", alt="a cat")

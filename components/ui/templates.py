"""HTML from Jinja2 templates beside each tab; whatever a value holds is text unless it says that it is HTML.

A template holds macros, one a view: `{% macro dial(request, t) %}…{% endmacro %}` in `guidance/view.html` is
`templates("guidance/view.html").dial(request, t)` in Python. It returns `Markup`, a `str` that escapes every
other text that is put into it.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parents[1]
_environment = Environment(
    loader=FileSystemLoader(FOLDER),
    autoescape=True,
    undefined=StrictUndefined,  # a name that is missing fails instead of drawing nothing
    trim_blocks=True,
    lstrip_blocks=True,
)
# JSON for a data attribute: the attribute's own escaping does the rest
_environment.filters["json"] = lambda value: json.dumps(value)


@lru_cache(maxsize=64)
def templates(path: str) -> Any:
    """The macros of a template file, to be called like functions.

    Args:
        path: below `components`, such as "guidance/view.html".

    Returns:
        The template's module; its macros are attributes and return `Markup`.

    Raises:
        jinja2.TemplateNotFound: there is no such file.
    """
    return _environment.get_template(path).module


def quote(text: object) -> Markup:
    """Words that a model reads or its tokens, marked as not to be translated by the browser."""
    return templates("ui/quote.html").quote(text)


def isolated(text: str) -> str:
    """Such words within a text that a script shows (`say` in `page.js`): between Unicode's isolates."""
    return f"\u2068{text}\u2069"


_environment.globals["quote"] = quote

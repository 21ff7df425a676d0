"""Everything a person reads, in one place per language and tab."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from markupsafe import Markup, escape

LANGUAGES = ("en", "de")
FOLDER = Path(__file__).parents[1]


@dataclass(frozen=True)
class Texts:
    """The texts of one language; calling it gives one text.

    Attributes:
        language: "en" or "de".
        entries: text by address, `"<stem>.<key>"`.
    """

    language: str
    entries: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """The text at an address, with its placeholders filled in.

        Args:
            key: `"tokens.claim"` is the key `claim` of `tokens.toml`; tables add a dot each.
            values: one for every `{placeholder}` of the text.

        Raises:
            KeyError: this language has no such text, or a placeholder got no value.
        """
        text = self.entries[key]
        return text.format(**values) if values else text

    def html(self, key: str, **values: object) -> Markup:
        """Like a call, as HTML: what is in `values` is text, except for what `quote` has marked.

        Raises:
            KeyError: as a call does.
        """
        return escape(self.entries[key]).format(**values)

    def many(self, key: str) -> tuple[str, ...]:
        """All texts of a TOML array, in its order.

        Raises:
            KeyError: there is no such array, or it is empty.
        """
        found: list[str] = []
        while f"{key}.{len(found)}" in self.entries:
            found.append(self.entries[f"{key}.{len(found)}"])
        if not found:
            raise KeyError(key)
        return tuple(found)

    def table(self, key: str) -> dict[str, str]:
        """All texts of a TOML table, by the rest of their addresses."""
        return {k.removeprefix(f"{key}."): v for k, v in self.entries.items() if k.startswith(f"{key}.")}


def _flatten(prefix: str, node: object) -> dict[str, str]:
    """Nested TOML tables and arrays as dotted addresses."""
    if isinstance(node, str):
        return {prefix: node}
    items: Iterable[tuple[str, object]]
    if isinstance(node, dict):
        items = node.items()
    elif isinstance(node, list):
        items = ((str(i), child) for i, child in enumerate(node))
    else:
        raise TypeError(f"{prefix}: texts are strings, got {type(node).__name__}")
    return {k: v for name, child in items for k, v in _flatten(f"{prefix}.{name}", child).items()}


@lru_cache(maxsize=len(LANGUAGES))
def load_texts(language: str) -> Texts:
    """All texts of a language.

    Args:
        language: one of `LANGUAGES`.

    Raises:
        ValueError: another language was asked for.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}; got {language!r}")
    entries: dict[str, str] = {}
    for stem, path in text_files(language).items():
        entries |= _flatten(stem, tomllib.loads(path.read_text("utf-8")))
    return Texts(language, entries)


def text_files(language: str) -> dict[str, Path]:
    """Where the texts of a language stand: file by stem, the first part of their addresses.

    A tab's texts are `<stem>/texts/<language>.toml`, those of what all tabs share
    `<folder>/texts/<stem>.<language>.toml`.
    """
    own = {path.parents[1].name: path for path in FOLDER.glob(f"*/texts/{language}.toml")}
    shared = {path.name.split(".")[0]: path for path in FOLDER.glob(f"*/texts/*.{language}.toml")}
    return dict(sorted((own | shared).items()))

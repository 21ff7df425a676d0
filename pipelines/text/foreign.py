"""Syntax of other programs for pictures in a prompt; the models here read it as text like any other."""

import re

MAX_FOUND = 3  # that are named
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
# Each alternative can begin only once in a run of its brackets, so that the time grows with the length.
_SYNTAX = re.compile(
    "|".join(
        (
            r"<(?:lora|lyco|hypernet|embedding):[^<>]*>",
            rf"\([^()]*:\s*{_NUMBER}\s*\)",  # (cat:1.4)
            rf"\[[^\[\]:]*:[^\[\]:]*:\s*{_NUMBER}\s*\]",  # [cat:dog:0.5]
            r"\[[^\[\]|]*\|[^\[\]]*\]",  # [cat|dog]
            r"(?<!\()\({2,}[^()]+\){2,}",
            r"(?<!\[)\[{2,}[^\[\]]+\]{2,}",
            r"(?<!\{)\{{2,}[^{}]+\}{2,}",
            rf"\b[^\W\d]\w*:{_NUMBER}(?![\w:.])",  # cat:0
            r"\bBREAK\b",
        )
    )
)


def foreign_syntax(prompt: str) -> tuple[str, ...]:
    """Weights, alternatives and commands of other programs, as typed.

    Args:
        prompt: any text.

    Returns:
        The first `MAX_FOUND` that differ, in their order.

    Source: the prompt syntax of AUTOMATIC1111's stable-diffusion-webui, wiki page "Features".
    """
    return tuple(dict.fromkeys(match[0] for match in _SYNTAX.finditer(prompt)))[:MAX_FOUND]

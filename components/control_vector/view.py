"""What is handed to the generator: the sequence, the pooled vector, and which model reads which."""

import numpy as np

from components.ui.colors import token_colours
from components.ui.heat import heat_uri
from components.ui.language import Texts
from components.ui.numbers import fixed, short
from components.ui.plots import DIVERGING
from components.ui.templates import templates
from components.ui.token_text import limit_sentence, style_of
from pipelines.image.control_vector import ControlVector
from pipelines.serving import catalogue
from pipelines.text.tokens import TokenView, colour_keys

_TALL, _SHORT = 12, 40  # rows up to which they are drawn tall, and from which on flat
TABLE = ("sequence", "attended", "pooled", "joint", "language_model", "clip", "wan", "musicgen")


def names_of(tokens: TokenView, t: Texts) -> list[str]:
    """What stands at each place that is not padding, in words."""
    return [t(f"tokens.strip.{p.special}") if p.word < 0 else p.text for p in tokens.fed]


def _data(vector: ControlVector, names: list[str], t: Texts) -> dict[str, object]:
    """What the script says of a row: its length and its nearest other rows."""
    padding = t("control_vector.padding_name")
    return {
        "names": [*names, *[padding] * (len(vector.sequence) - len(names))],
        "lengths": [fixed(float(length), t, 1) for length in vector.lengths],
        "nearest": vector.nearest.tolist(),
        "cosines": [[fixed(float(c), t) for c in row] for row in vector.cosines],
        "start": vector.end,
        "texts": {key: t.entries[f"control_vector.{key}"] for key in ("detail_row", "detail_near")},
    }


def _pooled(vector: ControlVector, difference: bool, t: Texts) -> dict[str, str]:
    """The one vector that stands for the whole text, and whether this model reads it."""
    values = (
        vector.pooled - vector.empty[vector.end] if difference and vector.pooled_is_row else vector.pooled
    )
    # a pooled vector of its own (SDXL) is on another scale than the sequence
    limit = vector.limit if vector.pooled_is_row else float(np.percentile(np.abs(values), 99)) or 1.0
    key = "pooled_row" if vector.pooled_is_row else "pooled_own"
    return {
        "heat": heat_uri(values[None], limit),
        "text": t(f"control_vector.{key}", place=vector.end + 1, size=len(vector.pooled)),
        "verdict": t(f"control_vector.pooled_verdict_{vector.reads.kind}"),
    }


def handed_view(vector: ControlVector, difference: bool, model: str, t: Texts) -> str:
    """The sequence as a heat picture, one row per token place, beside it the pooled vector.

    Args:
        vector: what the text became.
        difference: whether to show how it differs from the empty prompt's, instead of the numbers.
        model: catalogue id.
    """
    values = vector.sequence - vector.empty if difference else vector.sequence
    names, (total, width) = names_of(vector.tokens, t), values.shape
    colours, why = token_colours(colour_keys(vector.tokens.fed)), _padding_sentence(vector, t)
    return templates("control_vector/view.html").handed(
        kind="cv-tall" if vector.tokens.used <= _TALL else "cv-flat" if vector.tokens.used >= _SHORT else "",
        title=t(
            "control_vector.sequence_title", places=total, width=width, title=catalogue.entry(model).title
        ),
        cut=limit_sentence(vector.tokens, t) if vector.tokens.cut else "",
        places=total,
        width=width,
        heat=heat_uri(values, vector.limit),
        limit=short(vector.limit, t),
        stops=",".join(f"{colour} {place:.0%}" for place, colour in DIVERGING),
        chips=[(name, style_of(colour)) for name, colour in zip(names, colours, strict=True)],
        end=vector.end,
        pooled=_pooled(vector, difference, t),
        why=f"{t('control_vector.difference_why')} {why}" if difference else why,
        data=_data(vector, names, t),
        t=t,
    )


def _padding_sentence(vector: ControlVector, t: Texts) -> str:
    """Why padding is not empty, with the number that shows it for this very text."""
    count = len(vector.sequence) - vector.tokens.used
    if not count:
        return t("control_vector.padding_none")
    gap = (vector.sequence - vector.empty)[vector.tokens.used :]
    length = short(float(np.linalg.norm(gap, axis=1).mean()), t)
    return t("control_vector.padding_why", count=count, length=length)


def table_html(vector: ControlVector, model: str, t: Texts) -> str:
    """Which kind of model reads which part; the chosen one's row says its own numbers."""
    reads, (places, _) = vector.reads, vector.sequence.shape
    values = {"places": places, "width": reads.width, "layers": reads.layers, "pooled": reads.pooled}
    key = "chosen_pooled" if reads.pooled else "chosen"
    facts = t(f"control_vector.table.{key}", title=catalogue.entry(model).title, **values)
    return templates("control_vector/view.html").table(TABLE, reads.kind, facts, t)

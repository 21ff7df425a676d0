"""What a transformer's own encoders hand to it: which of them, and which of their layers, wrote what."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from components.control_vector.view import TABLE
from components.ui.heat import heat_uri
from components.ui.language import Texts
from components.ui.numbers import grouped, short
from components.ui.templates import quote, templates
from pipelines.image.families.family import Band
from pipelines.image.handed_over import HandedOver
from pipelines.serving import catalogue
from pipelines.serving.catalogue import ModelEntry

_html = templates("control_vector/own.html")
MAX_COLUMNS = 96  # of a band's numbers that are drawn; of wider bands every n-th


@dataclass(frozen=True)
class BandView:
    """A band as it is drawn to scale and as its row of the table says.

    Attributes:
        encoder, layer: names in words.
        places, columns: first and last, in words.
        lengths: mean length of its rows that are tokens, and of those that are padding; "–" for none.
        heat: address of its numbers as a picture.
        box: left, top, width and height within the whole sequence, in per cent.
    """

    encoder: str
    layer: str
    places: str
    columns: str
    lengths: tuple[str, str]
    heat: str
    box: tuple[str, ...]


def encoder_name(component: str, e: ModelEntry, t: Texts) -> str:
    """A pipeline's text encoder in words: as the catalogue lists it, else by its number.

    Args:
        component: its name in the pipeline, such as "text_encoder_2".
    """
    names, number = e.encoder.split(", "), int(component.removeprefix("text_encoder").lstrip("_") or 1)
    return names[number - 1] if number <= len(names) else t("control_vector.own.encoder", number=number)


def layer_name(layer: int, t: Texts) -> str:
    """Which hidden layer of an encoder, in words."""
    key = {-1: "last", -2: "last_but_one"}.get(layer, "layer")
    return t(f"control_vector.own.{key}", number=layer)


def _written(found: HandedOver, band: Band) -> np.ndarray:
    """`[place, number]` what a band wrote."""
    return found.sequence[slice(*band.places), slice(*band.columns)]


def band_lengths(found: HandedOver, band: Band) -> tuple[float, float]:
    """Mean Euclidean length of a band's rows that are tokens and of those that are padding; NaN for none."""
    lengths = np.linalg.norm(_written(found, band), axis=1)
    padding = np.array([row.kind == "padding" for row in found.rows[slice(*band.places)]])
    return tuple(float(lengths[at].mean()) if at.any() else np.nan for at in (~padding, padding))  # type: ignore[return-value]


def _heat(values: np.ndarray) -> str:
    """A band's numbers as a picture; colours are full where 1 of 100 numbers is larger."""
    drawn = values[:, :: -(-values.shape[1] // MAX_COLUMNS)]
    return heat_uri(drawn, float(np.percentile(np.abs(drawn), 99)) or 1.0)


def _box(found: HandedOver, band: Band) -> tuple[str, ...]:
    """Where a band lies in the sequence: left, top, width and height in per cent."""
    total, width = found.sequence.shape
    (top, bottom), (left, right) = band.places, band.columns
    shares = (left / width, top / total, (right - left) / width, (bottom - top) / total)
    return tuple(f"{100 * share:.3f}" for share in shares)


def _band_view(found: HandedOver, band: Band, e: ModelEntry, t: Texts) -> BandView:
    def span(ends: tuple[int, int]) -> str:
        return t("control_vector.own.span", first=grouped(ends[0] + 1, t), last=grouped(ends[1], t))

    lengths = tuple("–" if np.isnan(v) else short(v, t) for v in band_lengths(found, band))
    return BandView(
        encoder_name(band.encoder, e, t), layer_name(band.layer, t), span(band.places), span(band.columns),
        (lengths[0], lengths[1]), _heat(_written(found, band)), _box(found, band),
    )  # fmt: skip


def _padding_sentence(found: HandedOver, t: Texts) -> str:
    """How many rows are padding, and whether the transformer looks at them."""
    padding = np.array([row.kind == "padding" for row in found.rows])
    if not padding.any():
        return t("control_vector.padding_none")
    key = "padding_seen" if found.seen[padding].any() else "padding_masked"
    return t(f"control_vector.own.{key}", count=grouped(int(padding.sum()), t))


def _longest_sentence(found: HandedOver, t: Texts) -> Markup:
    """Which row that the transformer looks at is the longest, against the mean of the words."""
    words = np.array([row.kind == "word" for row in found.rows])
    place = int(np.where(found.seen, found.lengths, 0).argmax())
    row = found.rows[place]
    name = row.text or t(f"control_vector.{'padding_name' if row.kind == 'padding' else 'own.blank'}")
    mean = float(found.lengths[words].mean()) if words.any() else float(found.lengths.mean())
    values = {"place": place + 1, "length": short(float(found.lengths[place]), t), "mean": short(mean, t)}
    return t.html("control_vector.own.longest", name=quote(name), **values)


def _given_sentence(found: HandedOver, t: Texts) -> str:
    """How many rows belong to words, and how many to what nobody typed."""
    kinds = [row.kind for row in found.rows]
    counts = {kind: grouped(kinds.count(kind), t) for kind in ("word", "mark", "template")}
    key = "given_template" if "template" in kinds else "given"
    return t(f"control_vector.own.{key}", **counts)


def _pooled(found: HandedOver, t: Texts) -> dict[str, str]:
    if found.pooled is None:
        return {"heat": "", "text": t("control_vector.own.pooled_none")}
    limit = float(np.percentile(np.abs(found.pooled), 99)) or 1.0
    text = t("control_vector.own.pooled", size=grouped(len(found.pooled), t))
    return {"heat": heat_uri(found.pooled[None], limit), "text": text}


def own_view(found: HandedOver, difference: bool, t: Texts) -> Markup:
    """The sequence to scale, each band its numbers as heat, a table of them, and the pooled vector.

    Args:
        found: what the text became.
        difference: whether the difference from the empty prompt was asked for, which is not shown here.
    """
    e, (places, width) = catalogue.entry(found.model), found.sequence.shape
    sentences = [_given_sentence(found, t), _padding_sentence(found, t), _longest_sentence(found, t)]
    if difference:
        sentences.append(t("control_vector.own.no_difference"))
    return _html.own(
        title=t("control_vector.sequence_title", places=grouped(places, t), width=grouped(width, t),
                title=e.title),
        bands=[_band_view(found, band, e, t) for band in found.bands], pooled=_pooled(found, t),
        sentences=sentences, width=grouped(width, t), most=MAX_COLUMNS, t=t,
    )  # fmt: skip


def own_table(found: HandedOver, t: Texts) -> Markup:
    """Which kind of model reads which part; where the chosen one has a row, that says its own numbers."""
    e, (places, width) = catalogue.entry(found.model), found.sequence.shape
    kind = "joint" if found.pooled is not None else "language_model" if e.denoiser == "joint" else ""
    pooled = 0 if found.pooled is None else len(found.pooled)
    key = "own_pooled" if pooled else "own"
    values = {"places": places, "width": width, "pooled": pooled, "encoder": e.encoder}
    facts = t(f"control_vector.table.{key}", title=e.title, **values)
    return templates("control_vector/view.html").table(TABLE, kind, facts, t)

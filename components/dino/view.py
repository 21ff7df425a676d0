"""Patches, heads and neighbours, as `view.html` shows them; what one can click is in the page at once."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from PIL import Image

from components.runs.frames import encode, encode_exactly, thumbnail
from components.ui.language import Texts
from components.ui.numbers import fixed, percent
from components.ui.templates import templates
from pipelines.dino.dino import Known, Neighbours, Patches

_VIEW = "dino/view.html"
_WORDS = ("legend_two", "legend_one", "head", "on_itself", "on_registers", "picture_alt")  # of the script


def waiting_html(t: Texts) -> Markup:
    """What stands where the first drawing will be."""
    return templates(_VIEW).waiting(t)


def alert_html(text: str) -> Markup:
    """A message in the place of what could not be computed."""
    return templates(_VIEW).alert(text)


def patches_html(seen: Patches, t: Texts) -> Markup:
    """The whole view of one or two pictures: similarity to a patch, colours, heads."""
    layers = seen.attention.shape[1]
    share = percent(seen.explained, t)
    said = t("dino.registers", count=seen.registers) if seen.registers else ""
    return templates(_VIEW).patches(len(seen.pictures), layers, share, seen.grid, said, _data(seen, t), t)


def _data(seen: Patches, t: Texts) -> dict[str, object]:
    """What the script draws from: pictures, and grids of numbers as grey pictures."""
    similarity = ((seen.similarity.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
    peaks = seen.attention.max((-2, -1)).clip(1e-6)  # [picture, layer, head]
    levels = (255 * seen.attention / peaks[..., None, None]).round().astype(np.uint8)
    tiles = levels.transpose(1, 3, 0, 2, 4).reshape(levels.shape[1] * seen.grid, -1)
    colours = [Image.fromarray((255 * c).round().astype(np.uint8)) for c in seen.colours]
    return {
        "grid": seen.grid,
        "pictures": [encode(p) for p in seen.pictures],
        "colours": [encode_exactly(c) for c in colours],
        "similarity": encode_exactly(Image.fromarray(similarity, "L")),
        "low": round(float(np.quantile(seen.similarity, 0.5)), 3),
        "attention": encode_exactly(Image.fromarray(tiles, "L")),
        "shares": seen.attention.sum((-2, -1)).round(4).tolist(),
        "registers": seen.on_registers.round(4).tolist() if seen.registers else None,
        "first": first_patch(seen),
        "decimal": "," if t.language == "de" else ".",
        "words": {key: t(f"dino.{key}") for key in _WORDS},
    }


def first_patch(seen: Patches) -> int:
    """The patch to begin with: that of the first picture which is most of all foreground."""
    return int(seen.foreground[0].argmax())


def neighbours_html(
    rows: Sequence[Neighbours], gallery: Sequence[Known], known: Known | None, t: Texts
) -> Markup:
    """What each way of comparing finds most similar, a row each.

    Args:
        rows: of one picture.
        gallery: the pictures that were searched.
        known: the picture itself if its truth is known: hits get a tick.
    """
    return templates(_VIEW).neighbours([_row(row, gallery, known, t) for row in rows], t)


def _row(row: Neighbours, gallery: Sequence[Known], known: Known | None, t: Texts) -> dict[str, object]:
    hits = [known is not None and bool(known.nouns & gallery[i].nouns) for i in row.found]
    found = [
        {"source": thumbnail(gallery[i].picture), "hit": hit, "cosine": fixed(cosine, t)}
        for i, cosine, hit in zip(row.found, row.cosines, hits, strict=True)
    ]
    verdict = "" if known is None else t("dino.hits", hits=sum(hits), total=len(hits))
    return {"kind": row.kind, "verdict": verdict, "found": found}

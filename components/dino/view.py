"""Patches, heads and neighbours as HTML; what one can click is in the page at once."""

import json
from collections.abc import Sequence

import numpy as np
from PIL import Image

from components.runs.frames import encode, encode_exactly, thumbnail
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed, percent
from pipelines.dino.dino import Known, Neighbours, Patches


def waiting_html(t: Texts) -> str:
    """What stands where the first drawing will be."""
    return f'<p class="dn-waiting" role="status">{html_escape(t("dino.waiting"))}</p>'


def patches_html(seen: Patches, t: Texts) -> str:
    """The whole view of one or two pictures: similarity to a patch, colours, heads.

    Args:
        seen: what the model made of them.
        t: texts.
    """
    count = len(seen.pictures)
    tiles = "".join(_tile("like", i, t, clickable=i == 0) for i in range(count))
    tiles += "".join(_tile("colours", i, t) for i in range(count))
    legend = f'<p class="legend" data-legend role="status"></p><p class="hint">{_explained(seen, t)}</p>'
    heads = html_escape(t("dino.heads_title"))
    return (
        f'<div class="dn" data-state="done"><div class="tiles" style="--tiles:{2 * count}">{tiles}</div>'
        f"{legend}<h4>{heads}</h4><p class='hint'>{html_escape(t('dino.heads_hint'))}</p>"
        f'{_layers(seen, t)}<div class="heads" data-heads role="group" aria-label="{heads}"></div>'
        f'<div hidden data-dino="{html_escape(json.dumps(_data(seen, t)))}"></div></div>'
    )


def _explained(seen: Patches, t: Texts) -> str:
    return html_escape(t("dino.colours_hint", share=percent(seen.explained, t), grid=seen.grid))


def _tile(kind: str, place: int, t: Texts, clickable: bool = False) -> str:
    """A picture with a grid of values over it; the script draws them."""
    caption = html_escape(t(f"dino.{kind}_{place + 1}"))
    focus = (
        f' tabindex="0" role="application" aria-label="{html_escape(t("dino.choose"))}"' if clickable else ""
    )
    return (
        f'<figure><div class="tile" data-tile="{kind}" data-picture="{place}"{focus}></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _layers(seen: Patches, t: Texts) -> str:
    """Which layer's heads are shown, as pills; the last one first chosen."""
    total = seen.attention.shape[1]
    pills = "".join(
        f'<label><input type="radio" name="dino-layer" value="{i}"{" checked" if i == total - 1 else ""}>'
        f"<span>{i + 1}</span></label>"
        for i in range(total)
    )
    return f'<fieldset class="pills"><legend>{html_escape(t("dino.layer"))}</legend>{pills}</fieldset>'


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
        "first": first_patch(seen),
        "decimal": "," if t.language == "de" else ".",
        "words": {
            key: t(f"dino.{key}") for key in ("legend_two", "legend_one", "head", "on_itself", "picture_alt")
        },
    }


def first_patch(seen: Patches) -> int:
    """The patch to begin with: that of the first picture which is most of all foreground."""
    return int(seen.foreground[0].argmax())


def neighbours_html(
    rows: Sequence[Neighbours], gallery: Sequence[Known], known: Known | None, t: Texts
) -> str:
    """What each way of comparing finds most similar, a row each.

    Args:
        rows: of one picture.
        gallery: the pictures that were searched.
        known: the picture itself if its truth is known: hits get a tick.
        t: texts.
    """
    lines = "".join(_row(row, gallery, known, t) for row in rows)
    return f'<div class="dn near">{lines}</div>'


def _row(row: Neighbours, gallery: Sequence[Known], known: Known | None, t: Texts) -> str:
    hits = [known is not None and bool(known.nouns & gallery[i].nouns) for i in row.found]
    figures = "".join(
        _neighbour(gallery[i], cosine, hit, t)
        for i, cosine, hit in zip(row.found, row.cosines, hits, strict=True)
    )
    verdict = "" if known is None else t("dino.hits", hits=sum(hits), total=len(hits))
    return (
        f'<section data-kind="{row.kind}"><header><h4>{html_escape(t(f"dino.kind.{row.kind}"))}</h4>'
        f"<p>{html_escape(t(f'dino.kind_hint.{row.kind}'))}</p>"
        f'<p class="hits">{html_escape(verdict)}</p></header><div class="found">{figures}</div></section>'
    )


def _neighbour(found: Known, cosine: float, hit: bool, t: Texts) -> str:
    said = t("dino.same_thing") if hit else t("dino.gallery_picture")
    tick = '<b aria-hidden="true">✓</b> ' if hit else ""
    kind = ' class="hit"' if hit else ""
    return (
        f'<figure{kind}><img src="{thumbnail(found.picture)}" alt="{html_escape(said)}">'
        f"<figcaption>{tick}{fixed(cosine, t)}</figcaption></figure>"
    )


def alert_html(text: str) -> str:
    """A message in the place of what could not be computed."""
    return f'<div class="dn"><p class="alert" role="alert">{html_escape(text)}</p></div>'

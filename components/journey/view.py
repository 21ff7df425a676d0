"""The stations of a prompt as cards that read from left to right; each is a door to its tab."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb

from components.control_vector.view import heat_uri
from components.runs.frames import Frames, LiveFrames, encode, encode_exactly
from components.runs.trace_view import facts
from components.ui.colors import text_on, token_colours
from components.ui.language import Texts
from components.ui.layout import html_escape
from components.ui.numbers import fixed, short
from components.ui.plots import SEQUENTIAL
from components.ui.token_text import first_word
from pipelines.clip.world_texts import picture as world_picture
from pipelines.image.cross_attention import has_maps, trace_maps
from pipelines.image.request import ImageRequest, Trace
from pipelines.journey import Reading
from pipelines.text.tokens import colour_keys

MAX_CHIPS = 14  # tokens that fit a card; the rest is counted
FILM = 5  # pictures of a run's way from noise
READING = ("tokens", "embeddings", "context", "control_vector")
STEERING = ("image", "guidance", "cross_attention", "clip_matrix")


def card(number_: int, stem: str, body: str, words: str, t: Texts) -> str:
    """One station: its question, what it looks like now, and a sentence; all of it is the door."""
    title = html_escape(t(f"journey.{stem}"))
    return (
        f'<button type="button" class="station" data-door="{stem}">'
        f'<span class="head"><i>{number_}</i><b>{title}</b>'
        f'<span class="go"><span class="sv-sr">{html_escape(t("journey.open", tab=t(f"{stem}.tab")))}</span>'
        f'<span aria-hidden="true">↗</span></span></span>'
        f'<span class="mini">{body}</span><span class="say">{words}</span></button>'
    )


def row(cards: Sequence[str], label: str) -> str:
    """Stations side by side."""
    return f'<div class="row" role="group" aria-label="{html_escape(label)}">{"".join(cards)}</div>'


def waiting_view(stems: Sequence[str], t: Texts) -> str:
    """The stations before anything is computed, so that nothing jumps when it comes.

    Args:
        stems: `READING` or `STEERING`.
        t: texts.
    """
    first = (*READING, *STEERING).index(stems[0]) + 1
    cards = [card(first + i, stem, hole(t), "…", t) for i, stem in enumerate(stems)]
    return f'<div data-state="waiting">{row(cards, t("journey.waiting"))}</div>'


def reading_view(reading: Reading, t: Texts) -> str:
    """The four stations at which the text is read.

    Args:
        reading: of one prompt.
        t: texts.
    """
    bodies = (_tokens(reading, t), _embeddings(reading, t), _context(reading, t), _vector(reading, t))
    cards = [
        card(i + 1, stem, body, words, t)
        for i, (stem, (body, words)) in enumerate(zip(READING, bodies, strict=True))
    ]
    return row(cards, t("journey.reading"))


def _tokens(reading: Reading, t: Texts) -> tuple[str, str]:
    pieces = [p for p in reading.context.tokens if not p.special]
    colours = token_colours(colour_keys(reading.context.tokens))[1:]
    chips = "".join(
        f'<em style="--c:{colour};--ink:{text_on(colour)}">{html_escape(piece.text)}'
        f"<small>{piece.id}</small></em>"
        for piece, colour in list(zip(pieces, colours, strict=False))[:MAX_CHIPS]
    )
    more = f'<em class="more">+{len(pieces) - MAX_CHIPS}</em>' if len(pieces) > MAX_CHIPS else ""
    words = t("journey.say_tokens", count=len(pieces))
    return f'<span class="chips">{chips}{more}</span>', html_escape(words)


def _embeddings(reading: Reading, t: Texts) -> tuple[str, str]:
    start = reading.context.states[0]
    strip = heat_uri(start, float(np.abs(start).max()) or 1.0)
    alt = html_escape(t("journey.alt_embeddings"))
    near = "".join(
        f'<img src="{encode(world_picture(n.world))}" alt="{html_escape(n.world.text)}">'
        for n in reading.neighbours
    )
    body = f'<img class="heat" src="{strip}" alt="{alt}"><span class="near">{near}</span>'
    return body, html_escape(t("journey.say_embeddings", width=start.shape[1]))


def _context(reading: Reading, t: Texts) -> tuple[str, str]:
    weights = reading.context.attention[-1].mean(0)
    names = [piece.text for piece in reading.context.tokens]
    word = first_word(reading.context.tokens)
    looks = weights[word].copy()
    looks[word] = 0
    looks[0] = 0  # the start mark is where heads look that need nothing
    most = names[int(looks.argmax())] if looks.any() else names[0]
    body = f'<img class="square" src="{_weights_uri(weights)}" alt="{html_escape(t("journey.alt_context"))}">'
    return body, html_escape(t("journey.say_context", word=names[word], most=most))


def _weights_uri(weights: np.ndarray) -> str:
    """Attention weights 0..1 as a picture; what a causal model closes is transparent."""
    levels = np.sqrt(weights / max(float(weights.max()), 1e-6))  # small weights are to be seen, too
    colours = [unlabel_rgb(c) for c in sample_colorscale(SEQUENTIAL, levels.ravel().tolist())]
    rgba = np.zeros((*weights.shape, 4), np.uint8)
    rgba[..., :3] = np.array(colours).reshape(*weights.shape, 3).round()
    rgba[..., 3] = np.where(weights > 0, 255, 0)
    return encode_exactly(Image.fromarray(rgba, "RGBA"))


def _vector(reading: Reading, t: Texts) -> tuple[str, str]:
    vector = reading.vector
    source = heat_uri(vector.sequence, vector.limit)
    places, width = vector.sequence.shape
    alt = html_escape(t("journey.alt_vector", places=places, width=width))
    end = 100 * (vector.end + 0.5) / places
    body = f'<span class="pool" style="--end:{end:.1f}%"><img class="heat" src="{source}" alt="{alt}"></span>'
    return body, html_escape(t("journey.say_vector", places=places, width=width))


def steering_view(
    request: ImageRequest, frames: Frames | LiveFrames, trace: Trace | None, score: float | None, t: Texts
) -> str:
    """The four stations at which the text steers.

    Args:
        request: of the run that is shown or under way.
        frames: its pictures so far.
        trace: of the finished run; None while it draws.
        score: CLIP's of its picture; None while it draws.
        t: texts.
    """
    bodies = (
        _film(request, frames, t), _guidance(request, frames, t), _looks(trace, frames, t),
        _picture(trace, frames, score, t),
    )  # fmt: skip
    cards = [
        card(len(READING) + i + 1, stem, body, words, t)
        for i, (stem, (body, words)) in enumerate(zip(STEERING, bodies, strict=True))
    ]
    state = "done" if trace else "running"
    return f'<div data-state="{state}">{row(cards, t("journey.steering"))}{facts(request, t)}</div>'


def hole(t: Texts) -> str:
    """Where something will stand."""
    return f'<span class="hole">{html_escape(t("image.waiting"))}</span>'


def _shot(source: str, alt: str, kind: str = "") -> str:
    return f'<img class="shot {kind}" src="{source}" alt="{html_escape(alt)}">'


def _film(request: ImageRequest, frames: Frames | LiveFrames, t: Texts) -> tuple[str, str]:
    total, done = request.num_inference_steps, len(frames.guided)
    shown = sorted({round(i * (total - 1) / (FILM - 1)) for i in range(FILM)})
    shots = [
        _shot(frames.guided[i], t("image.step", step=i + 1, total=total)) if i < done else hole(t)
        for i in shown
    ]
    words = t("journey.say_image", done=done, total=total)
    return f'<span class="film">{"".join(shots)}</span>', html_escape(words)


def _guidance(request: ImageRequest, frames: Frames | LiveFrames, t: Texts) -> tuple[str, str]:
    words = html_escape(t("journey.say_guidance", scale=short(request.guidance_scale, t)))
    if not frames.prompt:
        return hole(t), words
    if not frames.empty:  # a distilled model runs without that branch
        return _shot(frames.prompt[-1], t("image.prompt")), words
    at = (len(frames.prompt) - 1) // 3  # late enough for shapes, early enough for the text to matter
    sides = ((frames.prompt[at], t("image.prompt")), (frames.empty[at], t("image.empty")))
    pair = "".join(
        f"<span>{_shot(source, name)}<small>{html_escape(name)}</small></span>" for source, name in sides
    )
    return f'<span class="pair">{pair}</span>', words


def _looks(trace: Trace | None, frames: Frames | LiveFrames, t: Texts) -> tuple[str, str]:
    if trace is None or not has_maps(trace):
        return hole(t), html_escape(t("journey.say_attention_none"))
    maps = trace_maps(trace).finest
    row = first_word(maps.pieces)
    colour = token_colours(colour_keys(maps.pieces))[row]
    heat = _tint(maps.maps[:, row].mean(0), colour)
    word = maps.pieces[row].text
    alt = t("journey.alt_attention", word=word)
    body = (
        f'<span class="looks">{_shot(frames.guided[-1], "", "grey")}'
        f'<img class="over" src="{heat}" alt="{html_escape(alt)}"></span>'
    )
    return body, html_escape(t("journey.say_attention", word=word))


def _tint(cells: np.ndarray, colour: str) -> str:
    """A map as a picture of one colour, the more opaque the more attention."""
    rgba = np.zeros((*cells.shape, 4), np.uint8)
    rgba[..., :3] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    rgba[..., 3] = (235 * cells / max(float(cells.max()), 1e-6)).round()
    return encode_exactly(Image.fromarray(rgba, "RGBA"))


def _picture(
    trace: Trace | None, frames: Frames | LiveFrames, score: float | None, t: Texts
) -> tuple[str, str]:
    if trace is None or score is None:
        shown = _shot(frames.guided[-1], t("image.guided")) if frames.guided else hole(t)
        return shown, html_escape(t("journey.say_picture_none"))
    said = fixed(score, t)
    body = f"{_shot(encode(trace.image), trace.request.prompt)}<strong>{said}</strong>"
    return body, html_escape(t("journey.say_picture"))

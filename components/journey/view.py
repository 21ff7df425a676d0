"""The stations of a prompt as cards that read from left to right; each is a door to its tab."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb

from components.runs.frames import Frames, encode, encode_exactly
from components.runs.trace_view import facts
from components.ui.colors import text_on, token_colours
from components.ui.heat import heat_uri
from components.ui.language import Texts
from components.ui.numbers import fixed, grouped, short
from components.ui.plots import SEQUENTIAL
from components.ui.templates import quote, templates
from components.ui.token_text import are_unread, foreign_sentence, limit_sentence, unread_words
from pipelines.clip.world_texts import MAP_SIZE
from pipelines.clip.world_texts import picture as world_picture
from pipelines.image.cross_attention import first_thing, has_maps, trace_maps
from pipelines.image.handed_over import HandedOver
from pipelines.image.joint_attention import has_joint, word_maps
from pipelines.image.request import ImageRequest, Trace
from pipelines.journey import JourneyReading, Verdict
from pipelines.text.pieces import Piece, first_word
from pipelines.text.tokens import colour_keys

HTML = templates("journey/view.html")
MAX_CHIPS = 14  # tokens that fit a card; the rest is counted
MAX_COLUMNS = 768  # of a control vector that are drawn; of a wider one every n-th
FILM = 5  # pictures of a run's way from noise
READING = ("tokens", "embeddings", "context", "control_vector")
STEERING = ("image", "guidance", "cross_attention", "clip_matrix")


def waiting_view(stems: Sequence[str], t: Texts) -> str:
    """The stations before anything is computed, so that nothing jumps when it comes.

    Args:
        stems: `READING` or `STEERING`.
    """
    return HTML.waiting((*READING, *STEERING).index(stems[0]) + 1, stems, t)


def reading_view(reading: JourneyReading, t: Texts) -> str:
    """The four stations at which the text is read."""
    return HTML.reading(
        _tokens(reading, t), _embeddings(reading, t), _context(reading, t), _vector(reading), t
    )


def _tokens(reading: JourneyReading, t: Texts) -> dict[str, Any]:
    tokens = reading.context.tokens
    coloured = [
        (p, c) for p, c in zip(tokens, token_colours(colour_keys(tokens)), strict=True) if not p.special
    ]
    pieces, view = [p for p, _ in coloured], reading.context.view
    new = are_unread(pieces, view.model)
    chips = [(p, c, text_on(c), is_new) for (p, c), is_new in zip(coloured, new, strict=True)]
    cut, key = view.cut, "say_tokens"
    if cut:
        key = "say_tokens_cut_one" if cut == 1 else "say_tokens_cut"
    words = t(f"journey.{key}", count=len(pieces), cut=grouped(cut, t)) if pieces else limit_sentence(view, t)
    never_read = unread_words(view.prompt, view.model, t)
    unread = t.html("vocabulary.unread_short", words=never_read) if never_read else ""
    said = (words, unread, foreign_sentence(view.prompt, t))
    return {
        "chips": chips[:MAX_CHIPS],
        "more": len(pieces) - MAX_CHIPS,
        "words": Markup(" ").join(filter(None, said)),
    }


def _embeddings(reading: JourneyReading, t: Texts) -> dict[str, Any]:
    start = reading.context.states[0]
    key = "say_embeddings" if reading.neighbours else "say_embeddings_empty"
    return {
        "heat": heat_uri(start, float(np.abs(start).max()) or 1.0),
        "words": t(f"journey.{key}", width=start.shape[1]),
        "near": [(encode(world_picture(n.world)), n.world.text) for n in reading.neighbours],
    }


def _context(reading: JourneyReading, t: Texts) -> dict[str, Any]:
    weights = reading.context.attention[-1].mean(0)
    word = first_word(reading.context.tokens)
    looks = weights[word].copy()
    looks[word] = 0
    has_start = reading.context.tokens[0].special == "start"
    if has_start:
        looks[0] = 0  # where heads look that need nothing
    said = {"word": _quoted(reading.context.tokens[word], t)}
    key = ("say_context" if has_start else "say_context_plain") if looks.any() else "say_context_alone"
    if all(piece.special for piece in reading.context.tokens):
        key = "say_context_empty"
    if looks.any():
        said["most"] = _quoted(reading.context.tokens[int(looks.argmax())], t)
    return {"weights": _weights_uri(weights), "words": t.html(f"journey.{key}", **said)}


def _name(piece: Piece, t: Texts) -> str:
    """A token in a sentence; start and end by their names and not by their spelling."""
    return piece.text if piece.word >= 0 else t(f"tokens.strip.{piece.special}")


def _quoted(piece: Piece, t: Texts) -> str:
    """The same in HTML; a mark's name is a word of the page."""
    return quote(piece.text) if piece.word >= 0 else _name(piece, t)


def _weights_uri(weights: np.ndarray) -> str:
    """Attention weights 0..1 as a picture; what a causal model closes is transparent."""
    levels = np.sqrt(weights / max(float(weights.max()), 1e-6))  # small weights are to be seen, too
    colours = [unlabel_rgb(c) for c in sample_colorscale(SEQUENTIAL, levels.ravel().tolist())]
    rgba = np.zeros((*weights.shape, 4), np.uint8)
    rgba[..., :3] = np.array(colours).reshape(*weights.shape, 3).round()
    rgba[..., 3] = np.where(weights > 0, 255, 0)
    return encode_exactly(Image.fromarray(rgba, "RGBA"))


def _vector(reading: JourneyReading) -> dict[str, Any]:
    vector = reading.vector
    places, width = vector.sequence.shape
    if isinstance(vector, HandedOver):
        drawn = vector.sequence[:, :: -(-width // MAX_COLUMNS)]
        limit = float(np.percentile(np.abs(drawn), 99)) or 1.0
        heat = heat_uri(drawn, limit)
        return {"heat": heat, "places": places, "width": width, "end": "", "key": "_own"}
    end = f"{100 * (vector.end + 0.5) / places:.1f}"
    return {
        "heat": heat_uri(vector.sequence, vector.limit),
        "places": places,
        "width": width,
        "end": end,
        "key": "",
    }


def steering_view(
    request: ImageRequest, frames: Frames, trace: Trace | None, verdict: Verdict | None, t: Texts
) -> str:
    """The four stations at which the text steers.

    Args:
        request: of the run that is shown or under way.
        frames: its pictures so far.
        trace: of the finished run; None while it draws.
        verdict: CLIP's on its picture; None while it draws.
    """
    return HTML.steering(
        "done" if trace else "running", _film(request, frames), _guidance(request, frames, t),
        _attention(trace, frames, t), _picture(trace, frames, verdict, t), facts(request, t), t,
    )  # fmt: skip


def _film(request: ImageRequest, frames: Frames) -> dict[str, Any]:
    total, done = request.num_inference_steps, len(frames.guided)
    shown = sorted({round(i * (total - 1) / (FILM - 1)) for i in range(FILM)})
    film = [(frames.guided[i] if i < done else "", i + 1) for i in shown]
    return {"film": film, "done": done, "total": total}


def _guidance(request: ImageRequest, frames: Frames, t: Texts) -> dict[str, str]:
    """The estimates with and without the prompt; "" for those that are not there."""
    shown = {"scale": short(request.guidance_scale, t), "prompt": "", "empty": ""}
    if frames.prompt and frames.empty:
        at = (len(frames.prompt) - 1) // 3  # late enough for shapes, early enough for the text to matter
        shown |= {"prompt": frames.prompt[at], "empty": frames.empty[at]}
    elif frames.prompt:  # a distilled model runs without the other branch
        shown["prompt"] = frames.prompt[-1]
    return shown


def _attention(trace: Trace | None, frames: Frames, t: Texts) -> dict[str, str] | None:
    if trace is not None and has_joint(trace):
        return _joint_attention(trace, frames)
    if trace is None or not has_maps(trace):
        return None
    maps = trace_maps(trace).finest
    word = first_thing(maps.pieces)
    heat = _tint(maps.maps[:, word].mean(0), token_colours(colour_keys(maps.pieces))[word])
    return {"picture": frames.guided[-1], "heat": heat, "word": _name(maps.pieces[word], t)}


def _joint_attention(trace: Trace, frames: Frames) -> dict[str, str] | None:
    """A word's map from a transformer's attention; None where its text has no word."""
    maps = word_maps(trace)
    words = [i for i, row in enumerate(maps.rows) if row.kind == "word" and any(map(str.isalpha, row.text))]
    if not words:
        return None
    at = ([i for i in words if len(maps.rows[i].text) > 2] or words)[-1]
    colour = token_colours([maps.rows[i].text for i in words])[words.index(at)]
    heat = _tint(maps.word([at]), colour)
    return {"picture": frames.guided[-1], "heat": heat, "word": maps.rows[at].text}


def _tint(cells: np.ndarray, colour: str) -> str:
    """A map as a picture of one colour, the more opaque the more attention."""
    rgba = np.zeros((*cells.shape, 4), np.uint8)
    rgba[..., :3] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    rgba[..., 3] = (235 * cells / max(float(cells.max()), 1e-6)).round()
    return encode_exactly(Image.fromarray(rgba, "RGBA"))


def _picture(trace: Trace | None, frames: Frames, verdict: Verdict | None, t: Texts) -> dict[str, str]:
    if trace is None or verdict is None:
        source = frames.guided[-1] if frames.guided else ""
        return {
            "source": source,
            "alt": t("image.guided"),
            "score": "",
            "words": t("journey.say_picture_none"),
        }
    return {
        "source": encode(trace.image), "alt": trace.request.prompt, "score": fixed(verdict.score, t),
        "words": t("journey.say_picture", count=grouped(MAP_SIZE, t), usual=fixed(verdict.usual, t)),
    }  # fmt: skip

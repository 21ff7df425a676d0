"""Inside a sound's run: which codes were likely at each step, and which words the decoder looked at."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipelines.audio.audio import audio_model, delayed
from pipelines.audio.request import AudioFrame, Sound
from pipelines.serving.compute import on_compute_thread
from pipelines.serving.engine import whole_call

SHOWN = 8  # codes kept of each distribution
MAX_WORDS = 16  # rows of words; the rest of a long prompt is one more


@dataclass(frozen=True, eq=False)
class Guess:
    """The likeliest codes of one step, small enough to be kept for a whole sound.

    Attributes:
        codes: `[codebook, rank]` int, the likeliest after guidance first; the one that was drawn is always
            among them. -1 where a codebook takes no part.
        shares: `[branch, codebook, rank]` float32 probability of each: with the prompt, without it, guided.
        chosen: `[codebook]` int, what was drawn; -1 like `codes`.
    """

    codes: np.ndarray
    shares: np.ndarray
    chosen: np.ndarray


def guess_of(frame: AudioFrame, count: int = SHOWN) -> Guess:
    """The likeliest codes of a step.

    Args:
        frame: of a run.
        count: codes kept per codebook.
    """
    books = np.arange(len(frame.chosen))
    idle = frame.chosen < 0
    order = np.argsort(-np.nan_to_num(frame.guided), axis=1, kind="stable")[:, :count]
    missed = (order != frame.chosen[:, None]).all(1) & ~idle
    order[missed, -1] = frame.chosen[missed]
    branches = (frame.prompt, frame.empty, frame.guided)
    shares = np.stack([np.nan_to_num(p[books[:, None], order]) for p in branches]).astype(np.float32)
    return Guess(np.where(idle[:, None], -1, order), shares, frame.chosen)


@dataclass(frozen=True, eq=False)
class WordLooks:
    """How much the decoder looked at each word while it wrote.

    Attributes:
        words: of the prompt, in order; punctuation marks are words. "" stands for the end mark, "…" for all
            that follow `MAX_WORDS`.
        looks: `[step, word]` float32, the mean over layers and heads; each row sums to one.
    """

    words: tuple[str, ...]
    looks: np.ndarray


@whole_call("audio", audio_model)
@on_compute_thread
@torch.inference_mode()
def look_inside(sound: Sound) -> WordLooks | None:
    """Read a sound's codes once more, all at once, and note where cross-attention looks.

    Each step of the run saw exactly these codes before it, so it looked in just this way.

    Args:
        sound: of a run.

    Returns:
        None where the decoder is another library's alone.
    """
    loaded = audio_model(sound.request.model)
    if not hasattr(loaded, "tokenizer") or not sound.codes.size:
        return None
    codes = torch.from_numpy(sound.codes).long()
    with loaded.cores, _showing(loaded.model.decoder) as decoder:
        states, mask = loaded.read(sound.request.prompt)
        out = decoder(
            input_ids=delayed(codes, loaded.pad)[:, : codes.shape[1]].to(loaded.device),
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            output_attentions=True,
            use_cache=False,
        )
    looks = torch.stack(out.cross_attentions).float().mean((0, 1, 2)).cpu().numpy()
    return _by_word(sound.request.prompt, loaded.tokenizer, looks)


@contextmanager
def _showing(decoder: Any) -> Iterator[Any]:
    """A decoder whose attention can be seen; the quick kernels do not tell it."""
    before = decoder.config._attn_implementation
    decoder.set_attn_implementation("eager")
    try:
        yield decoder
    finally:
        decoder.set_attn_implementation(before)


def _by_word(prompt: str, tokenizer: Any, looks: np.ndarray) -> WordLooks:
    """`[step, token]` looks, added up by word."""
    spans = [m.span() for m in re.finditer(r"\w+|[^\w\s]", prompt)]
    offsets = tokenizer([prompt], return_offsets_mapping=True, truncation=True).offset_mapping[0]
    shown = min(len(spans), MAX_WORDS)
    more = len(spans) > shown
    out = np.zeros((len(looks), shown + more + 1), np.float32)
    for token, (begin, end) in enumerate(offsets):
        row = out.shape[1] - 1 if begin == end else min(_word_at(begin, spans), out.shape[1] - 2)
        out[:, row] += looks[:, token]
    words = [prompt[a:b] for a, b in spans[:shown]] + ["…"] * more
    return WordLooks((*words, ""), out)


def _word_at(place: int, spans: Sequence[tuple[int, int]]) -> int:
    """The word that a letter belongs to, or follows."""
    return max(0, sum(begin <= place for begin, _ in spans) - 1)

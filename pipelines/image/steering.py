"""Levers between the text and the picture: what the generator is handed, changed on its way."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.serving.errors import InputError

MAX_WEIGHT = 2.0
LEVERS = (
    "blend", "switch_at", "token_weights", "pooled_only", "blocks_off", "text_in_time", "places_hidden",
)  # fmt: skip


@dataclass(frozen=True)
class Steering:
    """What is changed between a text and its picture; the default changes nothing.

    Attributes:
        prompt_b: a second text; empty means none.
        blend: place on the straight line from the prompt's vectors (0) to those of `prompt_b` (1).
        switch_at: from this step on (0-based) `prompt_b` steers alone; None: never.
        token_weights: pairs of a token place and its weight, 0..2. 0 puts the empty prompt's vector at that
            place, 1 leaves the prompt's, 2 goes as far again.
        pooled_only: every place holds the vector of the end token, which stands for the whole sentence.
        blocks_off: names of U-Net blocks ("down_blocks.0") in which cross-attention adds nothing.
        text_in_time: whether the time embedding hears the prompt; otherwise it hears the empty one. Has no
            effect on models whose time embedding never does (Stable Diffusion 1.x).
        places_hidden: token places that cross-attention cannot look at, in any block.
    """

    prompt_b: str = ""
    blend: float = 0.0
    switch_at: int | None = None
    token_weights: tuple[tuple[int, float], ...] = ()
    pooled_only: bool = False
    blocks_off: tuple[str, ...] = ()
    text_in_time: bool = True
    places_hidden: tuple[int, ...] = ()

    @property
    def pulled(self) -> tuple[str, ...]:
        """Names of the levers that are not at rest, of `LEVERS`."""
        rest = {"text_in_time": True, "switch_at": None}
        return tuple(name for name in LEVERS if getattr(self, name) not in (rest.get(name, False), ()))

    @property
    def needs_recording(self) -> bool:
        """Whether the U-Net itself has to run differently, rather than on other vectors."""
        return bool(self.blocks_off or self.places_hidden or not self.text_in_time)

    def validated(self, steps: int) -> "Steering":
        """The same levers, checked and typed; lists, as JSON has them, become tuples.

        Args:
            steps: of the run.

        Raises:
            InputError: `blend_range`, `switch_range`, `token_weights_shape`, `token_weight_range`,
                `prompt_b_empty`, `token_place_unknown`, `token_place_twice`.
        """
        if not 0 <= _finite(self.blend) <= 1:
            raise InputError("blend_range", received=self.blend)
        at = 0.0 if self.switch_at is None else _finite(self.switch_at)
        if not (0 <= at <= steps and at == int(at)):
            raise InputError("switch_range", steps=steps, received=self.switch_at)
        if (self.blend or self.switch_at is not None) and not self.prompt_b.strip():
            raise InputError("prompt_b_empty")
        weights = tuple((_place(p), _weight(w)) for p, w in _pairs(self.token_weights))
        for place, times in Counter(place for place, _ in weights).items():
            if times > 1:
                raise InputError("token_place_twice", received=place)
        return replace(
            self,
            blend=float(self.blend),
            switch_at=None if self.switch_at is None else int(self.switch_at),
            token_weights=weights,
            blocks_off=tuple(self.blocks_off),
            places_hidden=tuple(sorted({_place(p) for p in self.places_hidden})),
        )


def _finite(value: object) -> float:
    """A float, or NaN for whatever is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value)


def _pairs(values: object) -> Sequence[Sequence[object]]:
    """Pairs, which JSON brings as lists of two; `None` stands for none."""
    pairs = [] if values is None else values
    if not isinstance(pairs, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs
    ):
        raise InputError("token_weights_shape", received=values)
    return pairs


def _place(value: object) -> int:
    number = _finite(value)
    if not (number >= 0 and number == int(number)):
        raise InputError("token_place_unknown", received=value)
    return int(number)


def _weight(value: object) -> float:
    number = _finite(value)
    if not 0 <= number <= MAX_WEIGHT:  # false for NaN, too
        raise InputError("token_weight_range", high=MAX_WEIGHT, received=value)
    return number


def check_places(places: Sequence[int], context: int) -> None:
    """Refuse token places that the encoder does not have.

    Raises:
        InputError: `token_place_unknown`.
    """
    for place in places:
        if place >= context:
            raise InputError("token_place_unknown", received=place)

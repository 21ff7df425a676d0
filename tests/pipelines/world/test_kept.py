"""What is kept of the drawn world is bounded in bytes."""

import numpy as np
import pytest

from pipelines.world import render
from pipelines.world.kept import kept_arrays


def test_the_least_recently_used_go_first() -> None:
    made: list[int] = []

    @kept_arrays(most_bytes=3000)
    def ones(k: int) -> np.ndarray:
        made.append(k)
        return np.ones(1000, np.uint8)

    for k in (0, 1, 2, 0, 3, 0, 1):
        ones(k)
    assert made == [0, 1, 2, 3, 1]
    with pytest.raises(ValueError, match="read-only"):
        ones(1)[0] = 7


def test_sprites_of_all_sizes_stay_within_their_limit() -> None:
    for side in range(150, 330):
        for flip in (True, False):
            render._scaled_sprite("cat", "red", side, flip)
    kept = render._scaled_sprite.kept.values()  # type: ignore[attr-defined]
    assert sum(array.nbytes for array in kept) <= render.SPRITE_BYTES
    assert all(array.base is None or array.base.nbytes == array.nbytes for array in kept)

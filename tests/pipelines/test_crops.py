"""Multi-crop: crops are what their boxes say, and nothing but a seed decides them."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator

from pipelines.dino.crops import MultiCrop, cut, draw_boxes, multi_crop, recolour


def smooth(count: int = 4, side: int = 64) -> torch.Tensor:
    """Slow gradients, which two ways of resampling must agree on."""
    line = torch.linspace(-1, 1, side)
    pictures = torch.stack([line[None] * torch.ones(side, 1), line[:, None] * torch.ones(1, side)])
    shift = torch.linspace(-0.3, 0.3, count)[:, None, None]
    return torch.stack([pictures[0] + 0 * shift, pictures[1] + 0 * shift, pictures[0] * shift], 1).clamp(
        -1, 1
    )


@pytest.mark.parametrize("flip", [False, True])
def test_a_cut_is_what_pillow_cuts(flip: bool) -> None:
    pictures = smooth()
    boxes = torch.tensor([[0.25, 0.125, 0.5, 0.75]]).expand(4, 4)
    found = cut(pictures, boxes, torch.full((4,), flip), 16)
    for picture, crop in zip(pictures, found, strict=True):
        for channel, seen in zip(picture, crop, strict=True):
            image = Image.fromarray(channel.numpy())
            expected = np.asarray(image.resize((16, 16), Image.Resampling.BOX, box=(16, 8, 48, 56)))
            expected = expected[:, ::-1] if flip else expected
            np.testing.assert_allclose(seen.numpy(), expected, atol=0.02)


def test_boxes_lie_inside_and_have_the_areas_asked_for() -> None:
    boxes = draw_boxes(2000, (0.2, 0.5), Generator().manual_seed(0)).numpy()
    left, top, width, height = boxes.T
    assert (boxes >= 0).all() and (left + width <= 1 + 1e-6).all() and (top + height <= 1 + 1e-6).all()
    area, shape = width * height, width / height
    assert 0.2 - 1e-6 <= area.min() < 0.22 and 0.48 < area.max() <= 0.5 + 1e-6
    assert shape.min() >= 3 / 4 - 1e-6 and shape.max() <= 4 / 3 + 1e-6


def test_a_seed_decides_everything() -> None:
    one, two, other = (
        multi_crop(smooth(), smooth(), MultiCrop(), Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert torch.equal(one.large, two.large) and torch.equal(one.small, two.small)
    assert not torch.equal(one.large, other.large)
    assert one.large.shape == (2, 4, 3, 48, 48) and one.small.shape == (4, 4, 3, 24, 24)
    assert not torch.equal(one.large[0], one.large[1])


def test_a_model_that_is_loaded_in_half_precision_meanwhile_changes_nothing() -> None:
    """Libraries set the default precision of all threads while they build a model."""
    expected = multi_crop(smooth(), smooth(), MultiCrop(), Generator().manual_seed(1))
    pictures = smooth(), smooth()
    torch.set_default_dtype(torch.float16)
    try:
        found = multi_crop(*pictures, MultiCrop(), Generator().manual_seed(1))
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found.large, expected.large) and torch.equal(found.small, expected.small)


def test_large_crops_come_from_one_drawing_each_and_small_ones_in_turn() -> None:
    dark, light = torch.full((3, 3, 64, 64), -0.5), torch.full((3, 3, 64, 64), 0.5)
    crops = multi_crop(dark, light, MultiCrop(colour=0), Generator().manual_seed(0))
    assert crops.large.mean((1, 2, 3, 4)).tolist() == pytest.approx([-0.5, 0.5])
    assert crops.small.mean((1, 2, 3, 4)).tolist() == pytest.approx([-0.5, 0.5, -0.5, 0.5])


def test_no_small_crops_is_possible() -> None:
    crops = multi_crop(smooth(), smooth(), MultiCrop(local_count=0), Generator().manual_seed(0))
    assert len(crops.small) == len(crops.small_boxes) == 0


def test_recolouring_keeps_grey_grey_and_outlines_where_they_are() -> None:
    grey = torch.linspace(-0.4, 0.4, 32)[None, None, None].expand(64, 3, 32, 32)
    out = recolour(grey, 1.0, Generator().manual_seed(0))
    # The hue turns around the grey axis, so what has no colour gets none.
    torch.testing.assert_close(out[:, 0], out[:, 1], atol=1e-4, rtol=0)
    rising = out[:, 0, 16].diff(dim=-1)
    assert (rising > -1e-5).all() and out.abs().max() <= 1
    assert out.mean((1, 2, 3)).std() > 0.1
    assert torch.equal(recolour(grey, 0.0, Generator().manual_seed(0)), grey)


def test_hues_turn_all_the_way_round() -> None:
    red = torch.tensor([0.6, -0.6, -0.6])[None, :, None, None].expand(512, 3, 8, 8)
    out = recolour(red, 1.0, Generator().manual_seed(0))
    hottest = out.mean((2, 3)).argmax(1).bincount(minlength=3)
    assert (hottest > 40).all(), "red, green and blue all occur"
    assert math.isclose(hottest.sum().item(), 512)

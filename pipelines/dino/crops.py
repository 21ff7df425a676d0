"""Multi-crop: two large and several small looks at one picture, each cut, mirrored and recoloured anew.

Source: Caron et al. 2020, arXiv:2006.09882, section 3.3; Caron et al. 2021, arXiv:2104.14294, section 3.1.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

_GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class MultiCrop:
    """How pictures are cut.

    Attributes:
        global_side, local_side: px of a large and of a small crop.
        local_count: small crops a picture; the large ones are always two.
        global_scale, local_scale: least and greatest area of a crop, as a share of the picture's.
        colour: strength of the recolouring, 0 (none) to 1.
    """

    global_side: int = 48
    local_side: int = 24
    local_count: int = 4
    global_scale: tuple[float, float] = (0.35, 1.0)
    local_scale: tuple[float, float] = (0.10, 0.35)
    colour: float = 1.0


@dataclass(frozen=True, eq=False)
class Crops:
    """What teacher and student see of a batch.

    Attributes:
        large: `[2, batch, 3, y, x]`, -1..1: both the teacher's and the student's.
        small: `[local_count, batch, 3, y, x]`: the student's alone.
        large_boxes, small_boxes: `[crop, batch, 4]` left, top, width, height as shares of the picture.
    """

    large: Tensor
    small: Tensor
    large_boxes: Tensor
    small_boxes: Tensor


def multi_crop(first: Tensor, second: Tensor, how: MultiCrop, rng: Generator) -> Crops:
    """Cut each picture of a batch.

    Args:
        first, second: `[batch, 3, y, x]` in -1..1, two drawings of the same things, or twice the
            same pictures. Large crops come from one each, small ones from both in turn.
        how: sizes and numbers.
        rng: source of all randomness.
    """
    pictures = (first, second)
    large = [_crop(p, how.global_side, how.global_scale, how.colour, rng) for p in pictures]
    small = [
        _crop(pictures[i % 2], how.local_side, how.local_scale, how.colour, rng)
        for i in range(how.local_count)
    ]
    small_pixels = [pixels for pixels, _ in small] or [first.new_zeros(len(first), 3, 8, 8)]
    small_boxes = [boxes for _, boxes in small] or [first.new_zeros(len(first), 4)]
    return Crops(
        torch.stack([pixels for pixels, _ in large]),
        torch.stack(small_pixels)[: how.local_count],
        torch.stack([boxes for _, boxes in large]),
        torch.stack(small_boxes)[: how.local_count],
    )


def _crop(
    pictures: Tensor, side: int, scale: tuple[float, float], colour: float, rng: Generator
) -> tuple[Tensor, Tensor]:
    boxes = draw_boxes(len(pictures), scale, rng)
    flips = torch.rand(len(pictures), generator=rng, dtype=torch.float32) < 0.5
    pixels = cut(pictures, boxes, flips, side)
    return recolour(pixels, colour, rng), boxes


def draw_boxes(count: int, scale: tuple[float, float], rng: Generator) -> Tensor:
    """Boxes of random area, shape (3:4 to 4:3) and place: `[count, 4]` left, top, width, height."""
    area = _uniform(count, scale, rng)
    shape = _uniform(count, (-math.log(4 / 3), math.log(4 / 3)), rng).exp()
    width = (area * shape).sqrt().clamp(max=1)
    height = (area / shape).sqrt().clamp(max=1)
    left, top = torch.rand(2, count, generator=rng, dtype=torch.float32)
    return torch.stack([left * (1 - width), top * (1 - height), width, height], 1)


def cut(pictures: Tensor, boxes: Tensor, flips: Tensor, side: int) -> Tensor:
    """Cut boxes out of pictures and bring them to `side` px, mirrored where `flips` says so."""
    left, top, width, height = boxes.to(pictures.device).unbind(1)
    sign = 1 - 2 * flips.to(pictures.device, pictures.dtype)
    still = torch.zeros_like(width)
    rows = torch.stack([width * sign, still, 2 * left + width - 1], 1)
    columns = torch.stack([still, height, 2 * top + height - 1], 1)
    grid = F.affine_grid(torch.stack([rows, columns], 1), [len(pictures), 3, side, side], align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def recolour(pictures: Tensor, strength: float, rng: Generator) -> Tensor:
    """Change light, contrast, saturation and hue; some lose their colours, some their sharpness.

    Args:
        pictures: `[batch, 3, y, x]` in -1..1.
        strength: 0 leaves them as they are.

    Returns:
        The same shape, clipped to -1..1.
    """
    if strength == 0:
        return pictures
    count, device = len(pictures), pictures.device
    jittered = _jitter_weights(count, strength, rng).to(device)
    mean = pictures.mean((2, 3), keepdim=True)
    contrast = _column(_uniform(count, (1 - 0.4 * strength, 1 + 0.4 * strength), rng), device)
    light = _column(_uniform(count, (-0.4 * strength, 0.4 * strength), rng), device)
    changed = torch.einsum("bij,bjyx->biyx", jittered, (pictures - mean) * contrast + mean) + light
    blurred = _blur(changed)
    soft = _column(
        (torch.rand(count, generator=rng, dtype=torch.float32) < 0.3 * strength).to(torch.float32), device
    )
    return (changed + soft * (blurred - changed)).clamp(-1, 1)


def _jitter_weights(count: int, strength: float, rng: Generator) -> Tensor:
    """`[count, 3, 3]` matrices that turn the hue around the grey axis and scale the saturation."""
    angle = _uniform(count, (-math.pi * strength, math.pi * strength), rng)
    angle = angle * (torch.rand(count, generator=rng, dtype=torch.float32) < 0.8)
    saturation = _uniform(count, (1 - 0.6 * strength, 1 + 0.4 * strength), rng)
    saturation = saturation * (torch.rand(count, generator=rng, dtype=torch.float32) >= 0.2 * strength)
    cos, sin = (torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None])
    axis = torch.full((3, 3), 1 / 3, dtype=torch.float32)
    r = 1 / math.sqrt(3)
    cross = torch.tensor([[0, -r, r], [r, 0, -r], [-r, r, 0]], dtype=torch.float32)
    turn = cos * torch.eye(3, dtype=torch.float32) + sin * cross + (1 - cos) * axis
    grey = torch.tensor(_GREY, dtype=torch.float32).expand(3, 3)
    s = saturation[:, None, None]
    return (s * torch.eye(3, dtype=torch.float32) + (1 - s) * grey) @ turn


def _blur(pictures: Tensor) -> Tensor:
    """A small soft focus: binomial weights 1 4 6 4 1 both ways."""
    line = torch.tensor([1.0, 4, 6, 4, 1], device=pictures.device, dtype=pictures.dtype) / 16
    kernel = (line[:, None] * line[None]).expand(3, 1, 5, 5)
    return F.conv2d(F.pad(pictures, (2, 2, 2, 2), mode="replicate"), kernel, groups=3)


def _uniform(count: int, limits: tuple[float, float], rng: Generator) -> Tensor:
    low, high = limits
    return low + (high - low) * torch.rand(count, generator=rng, dtype=torch.float32)


def _column(values: Tensor, device: torch.device) -> Tensor:
    return values.to(device)[:, None, None, None]

"""A picture model that draws films: attention between frames is put into its U-Net, which stays as it is.

Source: Guo et al. 2023 (AnimateDiff), arXiv:2307.04725, section 4.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel
from torch import Tensor, nn


class TextTimeEmbedding(nn.Module):
    """A time embedding to which what the text says is added.

    Attributes:
        said: `[film, dim]`, or None for a text that says nothing to it.
    """

    def __init__(self, time_embedding: nn.Module) -> None:
        super().__init__()
        self.time_embedding = time_embedding
        self.said: Tensor | None = None

    def forward(self, timesteps: Tensor, condition: Tensor | None = None) -> Tensor:
        embedded: Tensor = self.time_embedding(timesteps, condition)
        return embedded if self.said is None else embedded + self.said


class TextTimeMotionModel(UNetMotionModel):
    """A `UNetMotionModel` whose time embedding hears the text, as `addition_embed_type="text"` has it.

    The library's own has no such embedding, so a U-Net that needs one would draw as if it were deaf.
    """

    def forward(
        self, sample: Tensor, timestep: Any, encoder_hidden_states: Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        """As the library's; `sample` is `[film, channel, frame, y, x]`, text rows come frame by frame."""
        rows = encoder_hidden_states.unflatten(0, (len(sample), -1))
        self.time_embedding.said = self.add_embedding(rows[:, 0])
        with ExitStack() as stack:
            stack.callback(setattr, self.time_embedding, "said", None)
            if not rows[:, 1:].equal(rows[:, :-1]):  # a text that changes while the film runs
                apart = self.add_embedding(
                    encoder_hidden_states
                ) - self.time_embedding.said.repeat_interleave(rows.shape[1], 0)
                for block in (*self.down_blocks, self.mid_block, *self.up_blocks):
                    stack.callback(
                        block.register_forward_pre_hook(_per_frame_text(apart), with_kwargs=True).remove
                    )
            return super().forward(sample, timestep, encoder_hidden_states, *args, **kwargs)


def _per_frame_text(apart: Tensor) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
    """A hook that tells each frame what its own text says; the library tells all frames of a film the same.

    Args:
        apart: `[film * frame, dim]`, added to a block's time embedding.
    """

    def told(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if "temb" in kwargs:
            return args, kwargs | {"temb": kwargs["temb"] + apart}
        return (args[0], args[1] + apart, *args[2:]), kwargs

    return told


def with_motion(unet: UNet2DConditionModel, adapter: MotionAdapter) -> UNetMotionModel:
    """A U-Net for films that has a picture U-Net's own layers, and an adapter's between them.

    The picture's layers are shared, not copied: they take no memory twice, and what is trained in one is
    trained in both. The adapter's weights are copied.

    Args:
        unet: of a Stable Diffusion model.
        adapter: its blocks must have the U-Net's widths and numbers of layers.

    Raises:
        ValueError: if they have not.
    """
    kind = TextTimeMotionModel if unet.config.addition_embed_type == "text" else UNetMotionModel
    model = kind.from_unet2d(unet, adapter, load_weights=False)
    for part in ("conv_in", "time_proj", "time_embedding", "conv_norm_out", "conv_act", "conv_out"):
        setattr(model, part, getattr(unet, part))
    if kind is TextTimeMotionModel:
        model.time_embedding = TextTimeEmbedding(unet.time_embedding)
        model.add_embedding = unet.add_embedding
    pairs = [
        *zip(model.down_blocks, unet.down_blocks, strict=True),
        *zip(model.up_blocks, unet.up_blocks, strict=True),
        (model.mid_block, unet.mid_block),
    ]
    for block, pictures in pairs:
        for part in ("resnets", "attentions", "downsamplers", "upsamplers"):
            if getattr(pictures, part, None) is not None:
                setattr(block, part, getattr(pictures, part))
    model.load_motion_modules(adapter)
    return model


def motion_modules(model: UNetMotionModel) -> dict[str, nn.Module]:
    """The layers between frames by name, in the order of computation."""
    blocks = [*model.down_blocks, model.mid_block, *model.up_blocks]
    names = {id(module): name for name, module in model.named_modules()}
    found = [module for block in blocks for module in getattr(block, "motion_modules", [])]
    return {names[id(module)]: module for module in found}

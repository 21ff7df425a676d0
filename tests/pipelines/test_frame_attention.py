"""Where frames look: against a softmax written out, and without a trace left in the model."""

import math

import numpy as np
import pytest
import torch
from diffusers import WanTransformer3DModel

from pipelines.video.animatediff_recorder import recording_video
from pipelines.video.motion_unet import with_motion
from pipelines.video.wan_recorder import recording_patches
from tests.pipelines.test_motion import HEARING, PLAIN, adapter, tiny

FRAMES = 4


@pytest.fixture(params=[PLAIN, HEARING], ids=["plain", "hearing"])
def unet(request: pytest.FixtureRequest):
    return with_motion(tiny(request.param), adapter(1)).eval()


def call(unet, films: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return unet(films, 300, encoder_hidden_states=rows).sample


def inputs(seed: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    films = torch.randn(2, 4, FRAMES, 8, 8, generator=generator)
    return films, torch.randn(2 * FRAMES, 5, 16, generator=generator)


def test_looking_changes_nothing_and_leaves_nothing_behind(unet) -> None:
    films, rows = inputs()
    before = call(unet, films, rows)
    processors = dict(unet.attn_processors)
    hooks = sum(len(m._forward_hooks) for m in unet.modules())
    with recording_video(unet, 2, (8, 8), look=True, keep=True, motion=True) as desk:
        assert torch.equal(call(unet, films, rows), before)
    assert desk is not None and desk.inside().features is not None
    with pytest.raises(RuntimeError, match="mid"), \
            recording_video(unet, 2, (8, 8), look=True, keep=True, motion=False):  # fmt: skip
        raise RuntimeError("mid")
    assert unet.attn_processors == processors
    assert sum(len(m._forward_hooks) for m in unet.modules()) == hooks
    assert torch.equal(call(unet, films, rows), before)


def test_looks_are_the_softmax_of_the_layers_own_queries_and_keys(unet) -> None:
    films, rows = inputs()
    attn = unet.down_blocks[0].motion_modules[0].transformer_blocks[0].attn1
    seen: list[torch.Tensor] = []
    handle = attn.register_forward_pre_hook(lambda m, args, kwargs: seen.append(args[0]), with_kwargs=True)
    second = unet.down_blocks[0].motion_modules[0].transformer_blocks[0].attn2
    other = second.register_forward_pre_hook(lambda m, args, kwargs: seen.append(args[0]), with_kwargs=True)
    with recording_video(unet, 2, (8, 8), look=True, keep=True, motion=True) as desk:
        call(unet, films, rows)
    handle.remove()
    other.remove()
    inside = desk.inside()
    expected = []
    for layer, hidden in zip((attn, second), seen, strict=True):
        x = hidden.double().numpy()
        q, k = (x @ w.weight.detach().double().numpy().T for w in (layer.to_q, layer.to_k))
        q, k = (v.reshape(len(v), FRAMES, layer.heads, -1) for v in (q, k))
        scores = np.einsum("sqhd,skhd->shqk", q, k) / math.sqrt(q.shape[-1])
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        expected.append(weights.mean(1)[len(weights) // 2 :])  # the branch with the prompt is the last
    modules = len(unet.down_blocks[0].motion_modules)
    assert modules == 1 and inside.blocks[0] == "down_blocks.0"
    np.testing.assert_allclose(inside.frames[0], np.mean(expected, 0).mean(0), atol=1e-5)
    np.testing.assert_allclose(inside.frames.sum(-1), 1, atol=1e-5)
    assert inside.places is not None and inside.places.shape == (8, 8, FRAMES, FRAMES)
    np.testing.assert_allclose(inside.places.astype(float).sum(-1), 1, atol=2e-3)
    assert inside.features.shape[0] == FRAMES and inside.features.shape[2:] == (8, 8)


def test_without_motion_no_frame_changes_another(unet) -> None:
    films, rows = inputs()
    changed = films.clone()
    changed[:, :, 0] += 1
    asked: list[str] = []
    attn = unet.up_blocks[0].motion_modules[0].transformer_blocks[0].attn1
    handle = attn.register_forward_hook(lambda *_: asked.append("between frames"))
    with recording_video(unet, 2, (8, 8), look=True, keep=True, motion=False) as desk:
        before, after = call(unet, films, rows), call(unet, changed, rows)
    assert desk is None and not asked
    call(unet, films, rows)
    handle.remove()
    assert asked, "the motion modules were not put back"
    torch.testing.assert_close(before[:, :, 1:], after[:, :, 1:], atol=1e-5, rtol=1e-4)
    assert (before[:, :, 0] - after[:, :, 0]).abs().max() > 1e-3
    assert (call(unet, films, rows) - before).abs().max() > 1e-3


def tiny_wan(layers: int = 2) -> WanTransformer3DModel:
    torch.manual_seed(0)
    return WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16, text_dim=32,
        freq_dim=256, ffn_dim=32, num_layers=layers, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", rope_max_seq_len=32,
    ).eval()  # fmt: skip


def ask(wan: WanTransformer3DModel, latents: torch.Tensor) -> torch.Tensor:
    text = torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return wan(latents, torch.tensor([400.0]), text, return_dict=False)[0]


LATENTS = torch.randn(1, 16, 3, 8, 4, generator=torch.Generator().manual_seed(2))  # 3 × 4 × 2 patches


def test_patches_are_looked_at_without_changing_them_and_summed_up_by_frame() -> None:
    wan = tiny_wan()
    before, seen = ask(wan, LATENTS), []
    handle = wan.blocks[0].attn1.register_forward_pre_hook(lambda m, args: seen.append(args))
    with recording_patches(wan, LATENTS.shape, look=True, keep=True, motion=True) as desk:
        assert torch.equal(ask(wan, LATENTS), before)
    handle.remove()
    inside = desk.inside()
    assert inside.blocks == ("blocks.0", "blocks.1") and not inside.same_place
    weights = slow_attention(wan.blocks[0].attn1, seen[0][0][0], seen[0][3])  # [patch, patch]
    by_frame = weights.reshape(3, 8, 3, 8).sum(-1)
    np.testing.assert_allclose(inside.frames[0], by_frame.mean(1), atol=1e-5)
    assert inside.places is not None and inside.places.shape == (4, 2, 3, 3)
    np.testing.assert_allclose(inside.places.astype(float).sum(-1), 1, atol=2e-3)
    assert inside.features is not None and inside.features.shape == (3, 24, 4, 2)
    assert torch.equal(ask(wan, LATENTS), before)


def slow_attention(attn, hidden: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]) -> np.ndarray:
    """All pairs, averaged over heads; positions turned pair by pair as complex numbers."""
    turn = torch.complex(rotary[0][0, :, 0, ::2].double(), rotary[1][0, :, 0, 1::2].double())
    out = []
    with torch.inference_mode():
        q, k = (n(p(hidden)) for n, p in ((attn.norm_q, attn.to_q), (attn.norm_k, attn.to_k)))
    for head_q, head_k in zip(q.chunk(attn.heads, -1), k.chunk(attn.heads, -1), strict=True):
        a, b = (torch.view_as_complex(x.double().reshape(len(x), -1, 2)) * turn for x in (head_q, head_k))
        scores = (a[:, None] * b[None].conj()).real.sum(-1) / math.sqrt(head_q.shape[-1])
        out.append(scores.softmax(-1))
    return torch.stack(out).mean(0).numpy()


def test_patches_kept_apart_see_their_own_frame_alone() -> None:
    wan = tiny_wan(layers=1)
    changed = LATENTS.clone()
    changed[:, :, 0] += 1
    with recording_patches(wan, LATENTS.shape, look=True, keep=True, motion=False) as desk:
        before, after = ask(wan, LATENTS), ask(wan, changed)
        # a frame keeps its own place in time: one film of its first frame alone says the same of that frame
        first = ask(wan, LATENTS)[:, :, :1]
    assert desk is None
    torch.testing.assert_close(before[:, :, 1:], after[:, :, 1:], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(first, ask(wan, LATENTS[:, :, :1]), atol=1e-5, rtol=1e-4)
    assert (ask(wan, LATENTS) - before).abs().max() > 1e-4

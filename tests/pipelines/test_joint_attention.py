"""Joint attention: who looks at whom, against the plain softmax; and recording changes no picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from pipelines.image import image, stepper
from pipelines.image.conditioning import PARTS, modulation
from pipelines.image.families import transformer_recorder
from pipelines.image.families.family import Segment
from pipelines.image.families.transformer_recorder import (
    Attended,
    TransformerLayout,
    TransformerRecord,
    log_sums,
    look,
)
from pipelines.image.joint_attention import has_joint, who_looks, word_changes, word_maps
from pipelines.image.load import image_pipeline
from pipelines.image.request import DenoiseStep, ImageRequest, TextRow
from pipelines.image.steering import Steering
from pipelines.serving.errors import InputError

pytestmark = pytest.mark.usefixtures("transformers_of_today")

SD3 = ImageRequest("a small cat", "blur", 5, 4.5, 2, "euler", "tiny-sd3", look_inside=True)
KLEIN = replace(SD3, model="tiny-klein", negative_prompt="", guidance_scale=1, height=64, width=64)
QWEN = 512  # places
PICTURE = 16  # patches of a picture of 64 px, four by four
CLIP, T5 = 77, 256  # places


def first_step(request: ImageRequest) -> DenoiseStep:
    """Of a run that has but one, so that none goes on when another test begins."""
    (step,) = image.generate(replace(request, num_inference_steps=1))
    return step


def naive(query: Tensor, key: Tensor, allowed: Tensor | None = None) -> Tensor:
    """`[query, key]` softmax of scaled products, head by head, mean over heads."""
    heads = []
    for q, k in zip(query.double(), key.double(), strict=True):
        scores = torch.einsum("qd,kd->qk", q, k) / q.shape[-1] ** 0.5
        heads.append(torch.softmax(scores if allowed is None else scores.masked_fill(~allowed, -1e9), dim=-1))
    return torch.stack(heads).mean(0)


class Spy(TorchFunctionMode):
    """Keeps what attention was given and gave."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is F.scaled_dot_product_attention:
            query, key = args[:2] if args else (kwargs["query"], kwargs["key"])
            self.seen.append((query, key, out))
        return out


@contextmanager
def spied(model: str, blocks: str, part: str = "attn") -> Iterator[dict[str, tuple[Tensor, Tensor, Tensor]]]:
    """By block, what the attention of the last call was given and gave."""
    found: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    transformer, hooks = image_pipeline(model).transformer, []
    for i, block in enumerate(getattr(transformer, blocks)):
        attention = getattr(block, part)

        def watched(*args: Any, name: str = f"{blocks}.{i}", attn: Any = attention, **kwargs: Any) -> Any:
            with Spy() as spy:
                out = type(attn).forward(attn, *args, **kwargs)
            found[name] = spy.seen[0]
            return out

        attention.forward = watched
        hooks.append(attention)
    try:
        yield found
    finally:
        for attention in hooks:
            del attention.forward


def rows_of(values: Tensor, tokens: tuple[int, int], together: Any) -> Tensor:
    """`[word, ...]` to rows: CLIP's tokens and padding, T5's tokens and padding."""
    clip, t5 = values[:CLIP], values[CLIP:]
    parts = [(clip, tokens[0]), (t5, tokens[1])]
    return torch.cat([x for part, n in parts for x in (part[:n], together(part[n:])[None])])


@pytest.mark.parametrize("kernel", ["with sums", "without"])
@pytest.mark.in_process
def test_shares_and_maps_are_those_of_the_plain_softmax(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kernel == "without":  # as on other devices, where sums are taken row by row
        monkeypatch.setattr(transformer_recorder, "_with_sums", lambda *_: (None, None))
        monkeypatch.setattr(transformer_recorder, "SCORES_AT_ONCE", 5000)
    else:
        monkeypatch.delattr(transformer_recorder, "log_sums")  # none is taken row by row
    with spied("tiny-sd3", "transformer_blocks") as seen:
        inside = first_step(SD3).inside
    assert inside is not None and len(inside.joint) == 3
    tokens = 5, len("a small cat".replace(" ", "▁")) + 2  # start and end; a leading blank and the end
    for layer in inside.joint:
        query, key, out = (x[-1] for x in seen[layer.block])  # the prompt's branch is the last
        weights = naive(query, key)
        words, picture = weights[PICTURE:], weights[:PICTURE]
        expected = [[w[:, PICTURE:].sum(), w[:, :PICTURE].sum()] for w in (words, picture)]
        np.testing.assert_allclose(layer.shares, np.array(expected) / len(weights), atol=1e-5)
        assert layer.shares.sum() == pytest.approx(1, abs=1e-5)
        assert layer.grid == (4, 4)
        looked_at = rows_of(picture[:, PICTURE:].T, tokens, lambda rest: rest.sum(0))
        looking = rows_of(words[:, :PICTURE], tokens, lambda rest: rest.mean(0))
        vectors = rows_of(out[:, PICTURE:].transpose(0, 1).flatten(1), tokens, lambda rest: rest.mean(0))
        products = vectors @ out[:, :PICTURE].transpose(0, 1).flatten(1).T
        alike = torch.cat([part.softmax(0) for part in products.split([tokens[0] + 1, tokens[1] + 1])])
        for found, wanted in ((layer.looked_at, looked_at), (layer.looking, looking), (layer.output, alike)):
            assert found is not None and found.shape == (len(inside.rows), 4, 4)
            np.testing.assert_allclose(found.reshape(len(found), -1), wanted.numpy(), atol=1e-3)


def test_sums_are_the_same_whether_told_or_taken_row_by_row() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(3, n, 8, generator=generator) for n in (50, 70))
    mask = torch.rand(70, generator=generator) > 0.3
    expected = (query @ key.transpose(1, 2) / 8**0.5).masked_fill(~mask, -torch.inf).logsumexp(-1)
    torch.testing.assert_close(log_sums(query, key, mask), expected)
    weights = look(query, key, expected, mask)
    torch.testing.assert_close(weights.sum(1), torch.ones(50))
    assert not weights[:, ~mask].any()


def test_the_chat_around_a_prompt_has_rows_of_its_own() -> None:
    inside = first_step(KLEIN).inside
    assert inside is not None
    text = {
        kind: "".join(row.text for row in inside.rows if row.kind == kind) for kind in ("word", "template")
    }
    assert text == {"word": "asmallcat", "template": "userassistant"}
    assert [row.text for row in inside.rows if row.kind == "mark"] == [
        "<|im_start|>",
        "<|im_end|>",
        "<|im_start|>",
    ]


def test_both_kinds_of_klein_blocks_are_held_against_the_plain_softmax() -> None:
    for blocks in ("transformer_blocks", "single_transformer_blocks"):
        with spied("tiny-klein", blocks) as seen:
            inside = first_step(KLEIN).inside
        assert inside is not None and len(inside.joint) == 4
        tokens = len(inside.rows) - 1
        for layer in (j for j in inside.joint if j.block in seen):
            query, key, _ = (x[0] for x in seen[layer.block])
            weights = naive(query, key)
            words, picture = weights[:QWEN], weights[QWEN:]
            expected = [[w[:, :QWEN].sum(), w[:, QWEN:].sum()] for w in (words, picture)]
            np.testing.assert_allclose(layer.shares, np.array(expected) / len(weights), atol=1e-5)
            rows = torch.cat([picture[:, :tokens].T, picture[:, tokens:QWEN].sum(1)[None]])
            np.testing.assert_allclose(layer.looked_at.reshape(tokens + 1, -1), rows.numpy(), atol=1e-3)
    assert inside.word_changes is not None and np.isfinite(inside.word_changes[:3]).all()
    assert np.isfinite(inside.attention_effect[:2]).all() and np.isnan(inside.attention_effect[2:]).all()


@pytest.mark.parametrize(
    ("model", "blocks", "part", "words", "padded_left"),
    [("tiny-sana", "transformer_blocks", "attn2", 300, False), ("tiny-prx", "blocks", "attention", 64, True)],
)
@pytest.mark.in_process
def test_text_that_does_not_look_is_looked_at(
    model: str, blocks: str, part: str, words: int, padded_left: bool
) -> None:
    with spied(model, blocks, part) as seen:
        inside = first_step(replace(SD3, model=model, height=64, width=64)).inside
    assert inside is not None and len(inside.joint) == 2 and inside.word_changes is None
    shown = [row for row in inside.rows if row.kind == "word"]
    assert "".join(row.text for row in shown) == "asmallcat" and inside.rows[-1].kind == "padding"
    tokens = len(inside.rows) - 1
    for layer in inside.joint:
        query, key, _ = (x[-1] for x in seen[layer.block])
        first = words - tokens if padded_left else 0
        allowed = [first <= i < first + tokens or i >= words for i in range(key.shape[1])]
        weights = naive(query, key, torch.tensor(allowed))
        rows = torch.cat([weights[:, first : first + tokens].T, torch.zeros(1, len(weights))])
        np.testing.assert_allclose(layer.looked_at.reshape(tokens + 1, -1), rows.numpy(), atol=1e-3)
        share = float(weights[:, :words].sum(1).mean())
        np.testing.assert_allclose(layer.shares, [[np.nan, np.nan], [share, 1 - share]], atol=1e-5)
        assert layer.looking is None and layer.output is None
    assert np.isfinite(inside.attention_effect).all() and (inside.text_effect > 0).all()


@pytest.mark.parametrize(
    "model", ["tiny-sd3", "tiny-klein", "tiny-klein-base", "tiny-sana", "tiny-sprint", "tiny-prx"]
)
def test_recording_changes_no_picture_and_leaves_nothing_behind(model: str) -> None:
    transformer = image_pipeline(model).transformer
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in transformer.modules())
    request = replace(KLEIN, model=model, scheduler="ddim")
    seen, plain = image.run(request), image.run(replace(request, look_inside=False))
    assert all(np.array_equal(a.latents, b.latents) for a, b in zip(seen.steps, plain.steps, strict=True))
    assert seen.image.tobytes() == plain.image.tobytes()
    assert plain.steps[0].inside is None
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in transformer.modules()) == hooks


def test_rows_say_what_they_are() -> None:
    inside = first_step(SD3).inside
    assert inside is not None
    clip = [(row.text, row.kind) for row in inside.rows if row.tokenizer == "tokenizer"]
    assert [kind for _, kind in clip] == ["mark", "word", "word", "word", "mark", "padding"]
    assert [text for text, kind in clip if kind == "word"] == ["a", "small", "cat"]
    letters = [row.text for row in inside.rows if row.tokenizer == "tokenizer_3" and row.kind == "word"]
    assert "".join(letters) == "asmallcat"
    assert inside.rows[-1] == TextRow("tokenizer_3", "", "padding")


@pytest.mark.in_process
def test_effects_and_changes_are_what_the_blocks_show() -> None:
    transformer = image_pipeline("tiny-sd3").transformer
    kept: list[tuple[Any, Any]] = []
    hook = transformer.transformer_blocks[1].register_forward_hook(
        lambda _, args, kwargs, out: kept.append((kwargs, out)), with_kwargs=True
    )
    try:
        inside = first_step(SD3).inside
    finally:
        hook.remove()
    given, (words, picture) = kept[0]
    empty, prompt = picture
    assert inside is not None and inside.word_changes is not None
    assert inside.text_effect[1] == pytest.approx(float((prompt - empty).norm() / empty.norm()), rel=1e-4)
    before = given["encoder_hidden_states"][-1]
    change = (words[-1] - before).norm(dim=1) / before.norm(dim=1)
    np.testing.assert_allclose(inside.word_changes[1, :5], change[:5].numpy(), rtol=1e-4)
    assert inside.word_changes[1, 5] == pytest.approx(float(change[5:CLIP].mean()), rel=1e-4)
    assert np.isnan(inside.word_changes[-1]).all()  # nothing reads the words after the last block
    block, step = (
        transformer.transformer_blocks[0],
        first_step(replace(SD3, guidance_scale=1)),
    )
    assert step.inside is not None and np.isnan(step.inside.text_effect).all()
    assert (step.inside.attention_effect > 0).all() and block.use_dual_attention


@pytest.mark.in_process
def test_the_effect_of_attention_is_what_a_model_without_it_lacks() -> None:
    """Attention whose output is nothing adds nothing; with a gate of one, it adds what it gives."""
    block = image_pipeline("tiny-sd3").transformer.transformer_blocks[1]
    weight, bias = block.attn.to_out[0].weight.clone(), block.attn.to_out[0].bias.clone()
    try:
        block.attn.to_out[0].weight.zero_()
        block.attn.to_out[0].bias.zero_()
        inside = first_step(SD3).inside
    finally:
        block.attn.to_out[0].weight.copy_(weight)
        block.attn.to_out[0].bias.copy_(bias)
    assert inside is not None
    assert inside.attention_effect[1] == 0 and inside.attention_effect[0] > 0


def test_what_a_batch_notes_belongs_to_its_runs() -> None:
    deaf = replace(SD3, look_inside=False, steering=Steering(text_in_time=False))
    requests = [SD3, replace(SD3, prompt="two red cars", seed=8), deaf]
    runs = [list(run) for run in stepper.submit_all(requests)]
    for request, steps in zip(requests[:2], runs[:2], strict=True):
        alone = first_step(request).inside
        inside = steps[0].inside
        assert alone is not None and inside is not None and inside.rows == alone.rows
        for ours, theirs in zip(inside.joint, alone.joint, strict=True):
            np.testing.assert_allclose(ours.shares, theirs.shares, atol=1e-4)
            np.testing.assert_allclose(ours.looked_at, theirs.looked_at, atol=2e-3)
        np.testing.assert_allclose(inside.time_effect, alone.time_effect, rtol=1e-3)
    assert [step.inside for step in runs[2]] == [None, None]


def test_maps_keep_the_shape_of_a_wide_picture() -> None:
    inside = first_step(replace(SD3, height=96, width=160)).inside
    assert inside is not None
    assert {layer.looked_at.shape[1:] for layer in inside.joint} == {(6, 10)}


def test_a_run_shows_who_looks_at_whom_and_where_its_words_are() -> None:
    trace = image.run(SD3)
    shown = who_looks(trace)
    assert shown.layers == tuple(f"transformer_blocks.{i}.attn" for i in range(3))
    assert shown.shares.shape == (3, 2, 2, 2)
    np.testing.assert_allclose(shown.shares.sum((2, 3)), 1, atol=1e-5)
    np.testing.assert_allclose(shown.by_looker.sum(-1), 1, atol=1e-5)
    inside = trace.steps[1].inside
    assert inside is not None
    assert np.array_equal(shown.shares[2, 1], inside.joint[2].shares)
    maps = word_maps(trace)
    assert maps.looked_at.shape == (2, len(maps.rows), 4, 4) and maps.steps == (0, 1)
    mean = np.mean([layer.looked_at.astype(float) for layer in inside.joint], axis=0)
    np.testing.assert_allclose(maps.looked_at[1], mean, atol=1e-5)
    cat = [i for i, row in enumerate(maps.rows) if row.text == "cat"]
    np.testing.assert_allclose(maps.word(cat), maps.looked_at[:, cat[0]].mean(0), atol=1e-6)
    assert not np.allclose(maps.word(cat), maps.word(cat, by_output=True))
    assert word_maps(trace, ["transformer_blocks.1"]).layers == ("transformer_blocks.1.attn",)
    assert word_changes(trace).changes.shape == (3, 2, len(maps.rows))


def test_a_prompt_that_was_swapped_on_the_way_shows_the_steps_of_the_first() -> None:
    swapped = replace(SD3, num_inference_steps=3, steering=Steering("two red cars in the snow", switch_at=2))
    trace = image.run(swapped)
    assert word_maps(trace).steps == word_changes(trace).steps == (0, 1)
    assert who_looks(trace).shares.shape[1] == 3


def test_a_run_that_did_not_look_says_so() -> None:
    trace = image.run(replace(SD3, look_inside=False))
    assert not has_joint(trace) and has_joint(image.run(SD3)) and not has_joint(None)
    for view in (who_looks, word_maps, word_changes):
        with pytest.raises(InputError, match="joint_not_traced"):
            view(trace)
    with pytest.raises(InputError, match="joint_not_traced"):
        word_maps(image.run(SD3), ["attic"])


def test_attention_between_patches_is_never_held() -> None:
    """Of 1,024 patches, no tensor that the instruments make has as many numbers as pairs of patches."""
    patches, words = 32 * 32, 60
    generator = torch.Generator().manual_seed(0)
    query, key, out = (torch.randn(1, 2, patches + words, 8, generator=generator) for _ in range(3))
    segments = (Segment("tokenizer", 0, words, 0, (TextRow("tokenizer", "cat", "word"),) * 10),)
    layout = TransformerLayout(("a",), ("a",), picture_first=True)
    for sums in (None, torch.stack([log_sums(q, k) for q, k in zip(query, key, strict=True)])):
        record = TransformerRecord(layout, [segments], 1, (32, 32))
        with pytest.MonkeyPatch.context() as patch, Largest() as largest:
            patch.setattr(transformer_recorder, "SCORES_AT_ONCE", 2**18)
            record.note_attention("a", Attended(query, key, out, sums, None))
        assert 0 < largest.numbers < patches**2
        assert record._layers["a"][0] is not None


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that is made."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.numbers = max(self.numbers, out.numel())
        return out


@pytest.mark.parametrize(
    ("model", "where"),
    [
        ("tiny-sd3", "transformer_blocks.1.norm1.linear"),
        ("tiny-klein-base", "single_stream_modulation.linear"),
        ("tiny-prx", "blocks.1.modulation.lin"), ("tiny-sana", "time_embed.linear"),
    ],
)  # fmt: skip
@pytest.mark.in_process
def test_modulation_is_what_the_layer_gives(model: str, where: str) -> None:
    transformer, given = image_pipeline(model).transformer, []
    hook = transformer.get_submodule(where).register_forward_hook(lambda _, __, out: given.append(out))
    request = replace(SD3, model=model, height=64, width=64, num_inference_steps=1)
    try:
        trace = image.run(request)
    finally:
        hook.remove()
    shown = modulation(trace)
    block = -1 if model == "tiny-klein-base" else 1
    own = given[-1][-1]
    if model == "tiny-sana":
        own = own + transformer.transformer_blocks[1].scale_shift_table.flatten()
    width = transformer.config.get("hidden_size") or transformer.inner_dim if model != "tiny-sana" else 16
    expected = own.reshape(-1, 3, width).square().mean((0, 2)).sqrt()
    np.testing.assert_allclose(shown.strength[block, 0], expected.numpy(), rtol=1e-4)
    assert shown.strength.shape == (len(shown.blocks), 1, len(PARTS))
    if model == "tiny-sd3":
        by_text = (given[-1][1] - given[-1][0]).reshape(-1, 3, width).square().mean((0, 2)).sqrt()
        np.testing.assert_allclose(shown.by_text[block, 0], by_text.numpy(), rtol=1e-4)
    elif model == "tiny-klein-base":
        assert np.isnan(shown.by_text).all()  # its branches go through the model apart
    else:
        assert not shown.by_text.any()  # the prompt is not in their time embedding
    with pytest.raises(InputError, match="modulation_not_traced"):
        modulation(image.run(replace(request, look_inside=False)))

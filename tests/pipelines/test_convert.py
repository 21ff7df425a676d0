"""The text tower inside Stable Diffusion's classes is the CLIP that was trained, token for token."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from transformers import CLIPTextModel

from pipelines.clip.convert import clip_tokenizer, text_encoder_of
from pipelines.world.captions import caption
from pipelines.world.layout import draw_scene

ASSETS = Path(__file__).parents[2] / "assets" / "models" / "clip"
TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 3},
}
PROMPTS = (
    "A small cat on a bed.",
    "A  cat in front of a House.",
    "A cat. Cozy atmosphere. Dimm lighting.",
    "",
    "Straße, Übergröße, ß",
    "cat 🐈‍⬛ 👍🏽 é",
    "a cat's don't we've I'll",
    "1234567890 !?;:-()[]{}",
)


@pytest.fixture(scope="module")
def tokenizer():
    return clip_tokenizer()


@pytest.fixture(scope="module", params=["random", "classroom"])
def clip(request: pytest.FixtureRequest) -> open_clip.CLIP:
    torch.manual_seed(0)
    if request.param == "random":
        model = open_clip.CLIP(**TINY)
        for parameter in model.parameters():  # nothing may hide behind a zero or a one
            parameter.data += 0.02 * torch.randn_like(parameter)
        return model.eval()
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{ASSETS}")
    return model.float().eval()


def ids_of(tokenizer, texts) -> torch.Tensor:
    return tokenizer(
        list(texts), padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids


def test_ids_are_those_of_open_clip(tokenizer) -> None:
    rng = np.random.default_rng(0)
    texts = [*PROMPTS, *(caption(draw_scene(rng, unseen=True), rng) for _ in range(1500)), "cat " * 200]
    ours, theirs = ids_of(tokenizer, texts), open_clip.tokenize(texts)
    for text, a, b in zip(texts, ours, theirs, strict=True):
        end = int(b.argmax())  # open_clip fills up with zeros, Stable Diffusion with the end token
        assert torch.equal(a[: end + 1], b[: end + 1]), text
        assert (a[end:] == 49407).all(), text


def test_curly_quotes_are_read_differently(tokenizer) -> None:
    """open_clip cleans them into straight ones first; Stable Diffusion's tokenizer does not."""
    curly, straight = "a “cat’s” bed", 'a "cat\'s" bed'
    assert torch.equal(open_clip.tokenize(curly), open_clip.tokenize(straight))
    assert not torch.equal(ids_of(tokenizer, [curly]), ids_of(tokenizer, [straight]))


def test_the_vocabulary_is_clips(tokenizer) -> None:
    assert len(tokenizer) == 49408
    assert tokenizer.convert_tokens_to_ids(["<|startoftext|>", "<|endoftext|>"]) == [49406, 49407]
    # The ids that every user of Stable Diffusion knows.
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]


def same_features(clip: open_clip.CLIP, encoder: CLIPTextModel, tokens: torch.Tensor) -> float:
    """Largest difference of the two classes' outputs on `[batch, 77]` token ids."""
    with torch.no_grad():
        ours = encoder(tokens).last_hidden_state
        x = clip.token_embedding(tokens) + clip.positional_embedding
        theirs = clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask))
    return float((ours - theirs).abs().max())


def test_features_are_those_of_open_clip(clip: open_clip.CLIP, tokenizer) -> None:
    encoder = text_encoder_of(clip)
    tokens = ids_of(tokenizer, PROMPTS)
    assert same_features(clip, encoder, tokens) < 1e-5

    # Against open_clip's own, whole forward pass, not only against the tower taken apart.
    theirs = open_clip.tokenize(list(PROMPTS))
    with torch.no_grad():
        expected = clip.encode_text(theirs)
        states = encoder(theirs).last_hidden_state
    pooled = states[torch.arange(len(theirs)), theirs.argmax(1)] @ clip.text_projection
    torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-5)


def test_the_converted_tower_is_frozen_and_reads_the_order(clip: open_clip.CLIP, tokenizer) -> None:
    encoder = text_encoder_of(clip)
    assert not encoder.training
    assert not any(p.requires_grad for p in encoder.parameters())
    one, other = encoder(ids_of(tokenizer, ["a cat on a bed", "a bed on a cat"])).last_hidden_state
    assert (one[:6] - other[:6]).abs().max() > 1e-3

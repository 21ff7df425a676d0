"""Attention and hidden states of text transformers, against the libraries' own eager outputs."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPTextModel, XLMRobertaConfig, XLMRobertaTokenizer

from pipelines.clip import model as clip
from pipelines.clip.convert import text_encoder_of
from pipelines.clip.model import clip_model
from pipelines.serving import catalogue, loading
from pipelines.serving.errors import InputError
from pipelines.text import context
from pipelines.text.context import first_choice, look_up, most_telling, read_contexts, shared_words
from pipelines.text.self_attention import is_causal, recorded, run_causal
from pipelines.text.tokens import token_view

MODEL = "classroom-clip"
PROMPTS = ["A small cat on a bed.", "A cat. Cozy atmosphere. Dimm lighting.", "", "cat " * 90]


def build_xlm_roberta(folder: Path) -> Path:
    """A folder laid out as the multilingual OpenCLIP: a transformers text tower that reads both ways."""
    torch.manual_seed(3)
    folder.mkdir(parents=True, exist_ok=True)
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"▁a ▁cat ▁small ▁on ▁bed ▁Katze s .".split()]
    vocab = [(piece, -float(i)) for i, piece in enumerate(pieces)] + [("<mask>", 0.0)]
    XLMRobertaTokenizer(vocab=vocab).save_pretrained(folder)
    XLMRobertaConfig(
        vocab_size=len(vocab), hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=40, initializer_range=0.4,
    ).save_pretrained(folder)  # fmt: skip
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
        "text_cfg": {
            "hf_model_name": str(folder), "hf_tokenizer_name": str(folder), "hf_proj_type": "mlp",
            "hf_pooler_type": "mean_pooler", "context_length": 24,
        },
    }  # fmt: skip
    made = json.loads(json.dumps(config))
    made["text_cfg"]["hf_model_pretrained"] = False
    model = open_clip.CustomTextCLIP(**made)
    weights = {name: weight.contiguous() for name, weight in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic"}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    return folder


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> Iterator[str]:
    """A tiny multilingual CLIP and a tiny usual one in the catalogue; yields the id of the first."""
    folder = tmp_path_factory.mktemp("both-ways")
    source = build_xlm_roberta(folder / "xlm")
    rows = (("tiny-xlm", source), ("tiny-open-clip", checkpoints / "open_clip"))
    (folder / "models.toml").write_text(
        "\n".join(f'[[model]]\nid="{i}"\nrole="clip"\nsource="{s}"\nlicence="none"\n' for i, s in rows)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEUERVEKTOR_MODELS", str(folder / "models.toml"))
        catalogue._added.cache_clear()
        yield "tiny-xlm"
    for entry in ("tiny-xlm", "tiny-open-clip"):
        loading.unload(entry)
    catalogue._added.cache_clear()


def _reference(loaded: clip.Clip, prompt: str) -> tuple[np.ndarray, np.ndarray]:
    """Attention and states by transformers: the converted tower, all places, eager attention."""
    encoder: CLIPTextModel = text_encoder_of(loaded.model)
    encoder.set_attn_implementation("eager")
    with torch.inference_mode():
        out = encoder(loaded.tokenize([prompt]), output_attentions=True, output_hidden_states=True)
    return torch.cat(out.attentions).numpy(), torch.cat(out.hidden_states).numpy()


@pytest.mark.parametrize("prompt", PROMPTS)
def test_attention_and_states_are_those_of_transformers_on_the_converted_tower(prompt):
    (found,) = read_contexts([prompt], MODEL)
    attention, states = _reference(clip_model(MODEL), prompt)
    n = found.view.used
    assert found.attention.shape == (4, 4, n, n) and found.states.shape == (5, n, 128)
    np.testing.assert_allclose(found.attention, attention[:, :, :n, :n], atol=2e-6)
    np.testing.assert_allclose(found.states, states[:, :n], atol=2e-5)
    assert found.causal


@pytest.mark.parametrize("prompt", PROMPTS)
def test_rows_sum_to_one_and_nothing_looks_ahead(prompt):
    (found,) = read_contexts([prompt], MODEL)
    np.testing.assert_allclose(found.attention.sum(-1), 1, atol=1e-5)
    assert not np.triu(found.attention, 1).any()
    assert found.attention[:, :, 0, 0] == pytest.approx(1)


def test_tokens_and_ids_are_those_of_the_tokens_tab():
    (found,) = read_contexts(["Dimm lighting"], MODEL)
    assert found.tokens == token_view("Dimm lighting", MODEL).fed
    assert [p.text for p in found.tokens[1:-1]] == ["di", "mm", "lighting"]
    assert found.tokens[-1].special == "end"


def test_the_last_state_is_the_one_that_clip_compares():
    (found,) = read_contexts([PROMPTS[0]], MODEL)
    model = clip_model(MODEL).model
    with torch.inference_mode():
        end = model.ln_final(torch.from_numpy(found.states[-1, -1])) @ model.text_projection
    vector = clip.encode_texts([PROMPTS[0]], MODEL)[0]
    np.testing.assert_allclose((end / end.norm()).numpy(), vector, atol=1e-5)


def _hooks(module: torch.nn.Module) -> int:
    """Hooks of ours: transformers leaves some of its own the first time it is asked for attention."""
    hooks = [
        h for m in module.modules() for h in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())
    ]
    return sum(not h.__module__.startswith("transformers.") for h in hooks)


def _encode(loaded: clip.Clip, prompt: str) -> torch.Tensor:
    with torch.inference_mode():
        return loaded.model.encode_text(loaded.tokenize([prompt]))


@pytest.mark.parametrize("model", [MODEL, "tiny-open-clip", "tiny-xlm"])
def test_recording_leaves_the_result_the_same_to_the_bit_and_the_model_as_it_was(both_ways, model):
    loaded = clip_model(model)
    transformer = context._transformer(loaded.model)
    before = _encode(loaded, "a small cat")
    with recorded(transformer) as record:
        during = _encode(loaded, "a small cat")
        _encode(loaded, "a cat")
        assert len(record.states) == len(record.attention) + 1  # of the last pass alone
    assert torch.equal(before, during)
    assert torch.equal(before, _encode(loaded, "a small cat"))
    assert _hooks(loaded.model) == 0


@pytest.mark.parametrize("model", [MODEL, "tiny-xlm"])
def test_an_error_in_between_restores_the_model_too(both_ways, model):
    loaded = clip_model(model)
    transformer = context._transformer(loaded.model)
    kind = getattr(getattr(transformer, "config", None), "_attn_implementation", None)
    tower = getattr(loaded.model, "text", loaded.model)
    run = tower if kind else partial(run_causal, tower)
    with pytest.raises((RuntimeError, IndexError)), recorded(transformer):
        run(torch.full((1, 5), 10**6))
    with pytest.raises(KeyError), recorded(transformer):
        raise KeyError
    assert _hooks(loaded.model) == 0
    assert getattr(getattr(transformer, "config", None), "_attn_implementation", None) == kind


def test_a_text_model_of_transformers_is_recorded_to_the_bit():
    encoder = text_encoder_of(clip_model(MODEL).model)
    ids = clip_model(MODEL).tokenize([PROMPTS[0]])
    with torch.inference_mode():
        plain = encoder(ids).last_hidden_state
        with recorded(encoder) as record:
            during = encoder(ids).last_hidden_state
    assert torch.equal(plain, during)
    assert encoder.config._attn_implementation == "sdpa"
    n = token_view(PROMPTS[0], MODEL).used
    (found,) = read_contexts([PROMPTS[0]], MODEL)
    for ours, theirs in zip(found.attention, record.attention, strict=True):
        np.testing.assert_allclose(ours, theirs[0, :, :n, :n].numpy(), atol=2e-6)


def test_a_tower_of_transformers_reads_both_ways_and_ignores_its_padding(both_ways):
    prompt = "a small cat on a bed"
    (found,) = read_contexts([prompt], both_ways)
    assert not found.causal
    assert found.attention.shape == (3, 4, 8, 8) and found.states.shape == (4, 8, 32)
    np.testing.assert_allclose(found.attention.sum(-1), 1, atol=1e-5)
    loaded = clip_model(both_ways)
    ids = loaded.tokenize([prompt])  # all places, padding masked, as the model itself is fed
    transformer = loaded.model.text.transformer
    transformer.set_attn_implementation("eager")
    with torch.inference_mode():
        out = transformer(
            ids, attention_mask=(ids != 1).long(), output_attentions=True, output_hidden_states=True
        )
    transformer.set_attn_implementation("sdpa")
    np.testing.assert_allclose(found.attention, torch.cat(out.attentions)[:, :, :8, :8].numpy(), atol=2e-6)
    np.testing.assert_allclose(found.states, torch.cat(out.hidden_states)[:, :8].numpy(), atol=1e-5)


def test_a_hub_layout_of_other_dimensions_is_read_by_the_same_code(both_ways):
    (found,) = read_contexts(["a cat"], "tiny-open-clip")
    assert found.attention.shape == (2, 2, 4, 4) and found.states.shape == (3, 4, 32)
    attention, _ = _reference(clip_model("tiny-open-clip"), "a cat")
    np.testing.assert_allclose(found.attention, attention[:, :, :4, :4], atol=2e-6)


@pytest.mark.in_process
def test_a_tower_of_another_build_says_so(both_ways, monkeypatch):
    loaded = clip_model(MODEL)
    odd = open_clip.CustomTextCLIP(
        16, {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
        {"context_length": 8, "vocab_size": 99, "width": 32, "heads": 2, "layers": 1, "embed_cls": True},
    )  # fmt: skip
    monkeypatch.setitem(loading._loaded, MODEL, replace(loaded, model=odd))
    with pytest.raises(InputError, match="context_closed"):
        read_contexts(["a cat"], MODEL)


def test_distances_are_one_minus_the_cosine_with_the_embedding():
    (found,) = read_contexts([PROMPTS[0]], MODEL)
    by_hand = np.zeros((5, 9))
    for layer, states in enumerate(found.states):
        for i, (s, e) in enumerate(zip(states, found.states[0], strict=True)):
            by_hand[layer, i] = 1 - np.dot(s, e) / (np.linalg.norm(s) * np.linalg.norm(e))
    np.testing.assert_allclose(found.distances, by_hand, atol=1e-5)
    assert (found.distances[0] == 0).all()
    assert (found.distances[1:] > 0.1).all()


def test_the_start_marks_share_is_the_mean_of_a_plain_loop():
    (found,) = read_contexts([PROMPTS[0]], MODEL)
    n = found.attention.shape[-1]
    given = [found.attention[k, h, i, 0] for k in range(4) for h in range(4) for i in range(1, n)]
    assert found.start_share == pytest.approx(
        (np.mean(given), np.mean([1 / (i + 1) for i in range(1, n)])), abs=1e-6
    )


def _shared(a: str, b: str, model: str = MODEL) -> dict[str, context.SharedWord]:
    return {word.key: word for word in shared_words(*read_contexts([a, b], model))}


def test_a_word_cannot_change_by_what_stands_after_it():
    words = _shared("a cat on a bed", "a cat on a car")
    assert list(words) == ["a·1", "cat·1", "on·1", "a·2", "·1"]
    for key in ("a·1", "cat·1", "on·1", "a·2"):
        assert (words[key].similarity == 1).all() and not words[key].is_open
    assert words["·1"].is_open and words["·1"].similarity[-1] < 0.95


def test_a_word_changes_by_what_stands_before_it():
    words = _shared("on a bed, a cat", "on a car, a cat")
    assert words["cat·1"].is_open
    assert words["cat·1"].similarity[0] == 1 and words["cat·1"].similarity[-1] < 0.95
    assert (words["on·1"].similarity == 1).all()


def test_similarities_are_cosines_of_the_last_token_of_a_word_at_its_places():
    a, b = read_contexts(["a dimm red cat", "dimm blue cat"], MODEL)
    word = next(w for w in shared_words(a, b) if w.text == "dimm")
    assert (word.a_place, word.b_place) == (3, 2)  # "mm"
    for layer, value in enumerate(word.similarity):
        x, y = a.states[layer, 3], b.states[layer, 2]
        assert value == pytest.approx(np.dot(x, y) / np.linalg.norm(x) / np.linalg.norm(y), abs=1e-5)
    assert word.similarity[0] < 1  # another place


def test_the_same_word_in_a_model_that_reads_both_ways_changes_by_what_follows(both_ways):
    words = _shared("a cat on", "a cat small", both_ways)
    assert words["a·1"].is_open
    assert words["a·1"].similarity[0] == 1 and words["a·1"].similarity[-1] < 1


def test_equal_prompts_share_everything_and_nothing_parts():
    words = _shared("A  CAT.", "a cat.")
    assert list(words) == ["a·1", "cat·1", ".·1", "·1"]
    assert all((w.similarity == 1).all() and not w.is_open for w in words.values())


def test_prompts_without_a_common_word_share_the_end_alone():
    assert list(_shared("cat", "dog")) == ["·1"]
    assert list(_shared("", "")) == ["·1"]


def test_words_that_are_cut_off_are_not_compared():
    words = _shared("cat " * 74 + "a dog", "cat " * 74 + "a dog")
    assert "dog·1" not in words and "a·1" in words
    (found,) = read_contexts(["cat " * 90], MODEL)
    assert found.view.cut == 15 and len(found.tokens) == 77


def test_the_first_choice_is_a_thing_whose_surroundings_differ():
    a, b = read_contexts(["a cat and a small bed", "a cat and a large bed"], MODEL)
    assert first_choice(shared_words(a, b)).text == "bed"
    assert first_choice(()) is None
    assert most_telling(["a", "lighting", "cat", "bed"]) == 2
    assert most_telling(["a", "lighting", "of"]) == 1


def test_attention_is_causal_if_nothing_lies_above_the_diagonal():
    assert is_causal(torch.tril(torch.ones(2, 2, 3, 3)))
    assert not is_causal(torch.ones(3, 3))


@pytest.mark.parametrize(
    ("prompt", "model", "key"),
    [
        ("a" * 20_001, MODEL, "prompt_too_long"),
        ("\ud83d", MODEL, "text_broken"),
        ("a", "<b>", "model_unknown"),
        ("a", "classroom-image", "model_unknown"),
    ],
)
def test_inputs_that_cannot_be_read_are_explained(prompt, model, key):
    with pytest.raises(InputError) as error:
        read_contexts([prompt], model)
    assert error.value.key == key


@pytest.mark.parametrize(
    "prompt", ["🐈‍⬛👍🏽", "שלום", "<|endoftext|> cat", "<end_of_text> a <start_of_text>", "a\u0000b"]
)
def test_hostile_texts_are_read(prompt):
    a, b = read_contexts([prompt, "a cat"], MODEL)
    assert np.isfinite(a.states).all()
    np.testing.assert_allclose(a.attention.sum(-1), 1, atol=1e-5)
    shared_words(a, b)


def test_the_end_of_two_prompts_is_the_mark_at_which_clip_pools():
    prompts = ["cat <end_of_text> dog", "red cat <end_of_text> sea"]
    contexts = read_contexts(prompts, "classroom-clip")
    found = next(word for word in shared_words(*contexts) if not word.text)
    assert (found.a_place, found.b_place) == (2, 3)
    tower = clip_model("classroom-clip").model
    for read, prompt in zip(contexts, prompts, strict=True):
        pooled = torch.from_numpy(read.states[-1, read.view.pooled_at])
        with torch.inference_mode():
            features = tower.ln_final(pooled) @ tower.text_projection
        features = (features / features.norm()).numpy()
        np.testing.assert_allclose(features, clip.encode_texts([prompt], "classroom-clip")[0], atol=1e-5)


def test_the_look_up_is_the_models_own_table_whatever_stands_around_a_token():
    tower = clip_model(MODEL).model
    found = look_up("a cat on a cat", MODEL)
    ids = found.view.ids[: found.view.used]
    own = tower.token_embedding(torch.from_numpy(ids)).detach().numpy()
    assert np.array_equal(found.rows, own) and found.entries == tower.token_embedding.num_embeddings
    cats = [i for i, piece in enumerate(found.view.fed) if piece.text == "cat"]
    alone = look_up("cat", MODEL).rows[1]
    assert len(cats) == 2 and all(np.array_equal(found.rows[i], alone) for i in cats)
    # what training never read has kept its random start, which is shorter than what it has moved
    assert found.usual_length < found.lengths[cats[0]]

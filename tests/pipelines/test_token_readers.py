"""The same prompt under other tokenizers, those of models that are out of reach included."""

import pytest
from transformers import ByT5Tokenizer

from pipelines.serving.catalogue import ModelEntry
from pipelines.serving.errors import InputError
from pipelines.text import readers as token_readers
from pipelines.text import tokens
from pipelines.text.tokens import other_readers, token_view

CLIP, IMAGE = "classroom-clip", "classroom-image"


def test_the_other_tokenizers_at_hand_and_those_that_are_not():
    rows, missing = other_readers(token_view("don’t", CLIP))
    assert {m for row in rows for m in row.models} >= {CLIP, IMAGE}
    assert {"sd-turbo", "clip-vit-b-32"} <= set(missing) | {m for row in rows for m in row.models}
    assert rows[0].view.reader != rows[1].view.reader
    assert rows[-1].models == ()
    assert rows[-1].view.ids.tolist() == ByT5Tokenizer()("don’t").input_ids
    assert [p.data for p in rows[-1].view.pieces[:-1]] == [bytes([b]) for b in "don’t".encode()]


def test_models_with_the_same_tokenizer_share_a_row(tiny_models):
    rows, missing = other_readers(token_view("cat", IMAGE))
    assert any({IMAGE, "tiny-sd", "tiny-turbo"} <= set(row.models) for row in rows)
    assert any({CLIP, "tiny-clip"} <= set(row.models) for row in rows)
    assert "absent" in missing


def test_a_tokenizer_without_merges_is_shown_too(tmp_path):
    """A small Unigram tokenizer, the kind of XLM-RoBERTa, in a Stable Diffusion folder."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import Unigram
    from transformers import PreTrainedTokenizerFast

    vocab = [
        ("<s>", 0.0),
        ("</s>", 0.0),
        ("<unk>", -9.0),
        ("▁a", -1.0),
        ("▁", -3.0),
        ("cat", -2.0),
        ("s", -2.5),
    ]
    raw = Tokenizer(Unigram(vocab, unk_id=2))
    raw.normalizer = normalizers.NFKC()
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )
    fast.model_max_length = 8
    fast.save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "model_index.json").write_text("{}")
    entry = ModelEntry("unigram", "image", "local", "Unigram", str(tmp_path), "none", 0)
    reader = token_readers._image_reader(entry)
    view = tokens._view("a cats ☃", "unigram", reader)
    assert (
        view.ids.tolist() == fast("a cats ☃", padding="max_length", max_length=8, truncation=True).input_ids
    )
    assert [p.text for p in view.fed[1:-1]][:1] == ["a"]
    assert "☃" in [p.text for p in view.fed]
    assert view.kind == "other"
    assert all(word.symbols == () for word in view.words)


def test_a_hub_model_out_of_reach_says_so(tiny_models, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for _ in range(2):  # the second time from memory
        with pytest.raises(InputError, match="model_needs_network"):
            token_view("a", "absent")

"""The tokenizers that the catalogue's models read with, all in one shape.

A reader is the library's own tokenizer plus what is needed to show its work: the steps of
cleaning, the words, the pieces of each word, and the merge rules where it has any. Readers are
separate from the loaded models: they need no weights, and transformers' tokenizers must not be
used by two threads at once.
"""

import html
import json
import string
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import ftfy
from huggingface_hub import try_to_load_from_cache

from pipelines.clip.convert import clip_tokenizer
from pipelines.serving import catalogue
from pipelines.serving.catalogue import ModelEntry
from pipelines.serving.errors import InputError
from pipelines.serving.loading import explained, raise_if_just_failed
from pipelines.text.bpe import Ranks


@dataclass(frozen=True)
class Cleaned:
    """One step that a tokenizer takes before it splits the text.

    Attributes:
        name: what the step does: "repair", "html", "space", "punctuation" (goes), "lower", "unicode",
            "unread" (characters go that no word of the tokenizer's pattern takes) or "other".
        text: the text after it.
    """

    name: str
    text: str


@dataclass(frozen=True)
class Tokenization:
    """A text as a tokenizer splits it, before anything is cut off, start and end left out.

    Attributes:
        cleaning: the steps of cleaning, in order.
        ids: `[token]` vocabulary entries.
        symbols: `[token]` spelling of each entry in the vocabulary.
        words: `[token]` which word each token belongs to.
        texts: `[token]` the text a token stands for; only where symbols do not spell bytes.
    """

    cleaning: tuple[Cleaned, ...]
    ids: tuple[int, ...]
    symbols: tuple[str, ...]
    words: tuple[int, ...]
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reader:
    """A tokenizer, ready to be shown.

    Attributes:
        name: library and class of the tokenizer.
        kind: "bpe" where merges can be shown, "bytes" or "other".
        vocabulary: number of entries.
        places: how many tokens the model reads, special tokens included; 0 where none is set.
        start: id and spelling of the token put before the text, or None.
        end: id and spelling of the token put after the text, or None.
        special: ids that mark start, end or padding, and that a visitor may have typed.
        ranks: rank of each merge rule; empty where there are none.
        suffix: mark of a word's last symbol; "" where there is none.
        byte_of: the byte that each stand-in letter means; empty where symbols are plain text.
        read: text to `Tokenization`.
        feed: text, and its reading, to the ids that the model is given, `[places]`.
        lock: held while `read` or `feed` runs.
    """

    name: str
    kind: str
    vocabulary: int
    places: int
    start: tuple[int, str] | None
    end: tuple[int, str] | None
    special: frozenset[int]
    ranks: Ranks
    suffix: str
    byte_of: Mapping[str, int]
    read: Callable[[str], Tokenization]
    feed: Callable[[str, Tokenization], list[int]]
    lock: threading.Lock = field(default_factory=threading.Lock)


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _open_clip_cleaning(text: str, clean: Callable[[str], str]) -> tuple[Cleaned, ...]:
    """open_clip's cleaning taken apart: encoding mishaps and typographic quotes, HTML, space, case."""
    repaired = ftfy.fix_text(text)
    unescaped = html.unescape(html.unescape(repaired))
    spaced = " ".join(unescaped.split())
    steps = [Cleaned("repair", repaired), Cleaned("html", unescaped), Cleaned("space", spaced)]
    final = clean(text)
    bare = " ".join(spaced.replace("_", " ").translate(_NO_PUNCTUATION).split())
    if final not in (spaced, spaced.lower()) and final == bare.lower():  # as SigLIP's
        steps.append(Cleaned("punctuation", bare))
    if final != steps[-1].text:
        steps.append(Cleaned("lower" if final == steps[-1].text.lower() else "other", final))
    return tuple(steps)


def _read_by(pattern: Any, text: str) -> str:
    """A text without the characters that a tokenizer's pattern passes over, blanks aside.

    open_clip's leaves out U+0345: as it ignores case, that mark counts as the letter iota where marks
    are asked for, and as a mark where letters are.
    """
    parts, at = [], 0
    for match in pattern.finditer(text):
        parts += [*filter(str.isspace, text[at : match.start()]), match[0]]
        at = match.end()
    return "".join([*parts, *filter(str.isspace, text[at:])])


def open_clip_reader(tokenizer: Any) -> Reader:
    """A reader of open_clip's own tokenizer, `open_clip.tokenizer.SimpleTokenizer`.

    The library joins pairs in pure Python, in a time that grows with the square of a word's
    length: 3.5 s for 10,000 letters without a space. Here the same rules run in `tokenizers`'
    BPE, which takes 9 ms; a test holds the two against each other. Every token of CLIP's list has
    exactly one rule that makes it, so the order of equal merges cannot matter.
    """
    from tokenizers.models import BPE

    bpe = BPE(
        vocab=tokenizer.encoder,
        merges=list(tokenizer.bpe_ranks),
        end_of_word_suffix="</w>",
        cache_capacity=5000,
    )
    start, end = tokenizer.sot_token_id, tokenizer.eot_token_id
    special = {tokenizer.decoder[i]: i for i in tokenizer.all_special_ids}

    def read(text: str) -> Tokenization:
        cleaning = _open_clip_cleaning(text, tokenizer.clean_fn)
        cleaned = cleaning[-1].text
        if (left := _read_by(tokenizer.pat, cleaned)) != cleaned:
            cleaning += (Cleaned("unread", left),)
        ids, symbols, words = [], [], []
        for index, word in enumerate(tokenizer.pat.findall(cleaned)):
            if word in special:
                found = [(special[word], word)]
            else:
                letters = "".join(tokenizer.byte_encoder[b] for b in word.encode())
                found = [(token.id, token.value) for token in bpe.tokenize(letters)]
            ids += [i for i, _ in found]
            symbols += [s for _, s in found]
            words += [index] * len(found)
        return Tokenization(cleaning, tuple(ids), tuple(symbols), tuple(words))

    def feed(text: str, reading: Tokenization) -> list[int]:
        ids = [start, *reading.ids, end][: tokenizer.context_length]
        ids[-1] = end
        return ids + [0] * (tokenizer.context_length - len(ids))

    return Reader(
        name="open_clip SimpleTokenizer", kind="bpe", vocabulary=tokenizer.vocab_size,
        places=tokenizer.context_length, start=(start, tokenizer.decoder[start]),
        end=(end, tokenizer.decoder[end]), special=frozenset(tokenizer.all_special_ids),
        ranks=tokenizer.bpe_ranks, suffix="</w>", byte_of=tokenizer.byte_decoder, read=read, feed=feed,
    )  # fmt: skip


_NORMALIZERS = {"NFC": "unicode", "NFKC": "unicode", "Replace": "space", "Lowercase": "lower"}


def _normalizer_cleaning(text: str, clean: Callable[[str], str] | None, backend: Any) -> tuple[Cleaned, ...]:
    """The cleaning of a transformers tokenizer, one step per normalizer."""
    steps: list[Cleaned] = []
    if clean is not None:
        steps += _open_clip_cleaning(text, clean)
        text = steps[-1].text
    normalizer = backend.normalizer
    if normalizer is None:
        return tuple(steps) or (Cleaned("other", text),)
    parts = list(normalizer) if type(normalizer).__name__ == "Sequence" else [normalizer]
    for part in parts:
        text = part.normalize_str(text)
        steps.append(Cleaned(_NORMALIZERS.get(type(part).__name__, "other"), text))
    return tuple(steps)


_NO_LIMIT = 10**9  # transformers writes a number far beyond where a tokenizer has none


def _bpe_rules(backend: Any) -> tuple[Ranks, str, Mapping[str, int]]:
    """Merge ranks, word-end mark and byte letters of a byte-level BPE; empty for other kinds."""
    described = json.loads(backend.to_str())
    rules = described["model"]
    if rules["type"] != "BPE" or '"ByteLevel"' not in json.dumps(described["pre_tokenizer"]):
        return {}, "", {}
    from open_clip.tokenizer import bytes_to_unicode

    byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}
    pairs = (tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in rules["merges"])
    return {pair: rank for rank, pair in enumerate(pairs)}, rules["end_of_word_suffix"] or "", byte_of


def transformers_reader(
    tokenizer: Any, places: int, clean: Callable[[str], str] | None = None, feed: Any = None
) -> Reader:
    """A reader of a fast transformers tokenizer.

    Args:
        tokenizer: any `PreTrainedTokenizerFast`, not shared with a model.
        places: how many tokens the model reads; 0 where nobody says.
        clean: what is done to the text before the tokenizer sees it.
        feed: the call that makes the model's ids; by default that of diffusers' pipelines.
    """
    backend = tokenizer.backend_tokenizer
    ranks, suffix, byte_of = _bpe_rules(backend)
    spelled = tokenizer.convert_ids_to_tokens
    framed = tokenizer("a", verbose=False).encodings[0]
    marks = [i for i, mark in zip(framed.ids, framed.special_tokens_mask, strict=True) if mark]
    starts = framed.special_tokens_mask[0] == 1
    start = (marks[0], spelled(marks[0])) if starts else None
    end = (marks[-1], spelled(marks[-1])) if framed.special_tokens_mask[-1] else None

    def read(text: str) -> Tokenization:
        cleaning = _normalizer_cleaning(text, clean, backend)
        source = clean(text) if clean else text
        coded = tokenizer(source, verbose=False).encodings[0]
        inside = slice(int(starts), len(coded.ids) - (end is not None))
        texts = tuple(source[a:b].strip() for a, b in coded.offsets[inside])
        words = tuple(w if w is not None else -1 for w in coded.word_ids[inside])
        if len(set(words)) == 1:  # Gemma's pieces are cut from the whole text, its spaces written as ▁
            words = tuple(accumulate(symbol.startswith("▁") for symbol in coded.tokens[inside]))
        return Tokenization(
            cleaning, tuple(coded.ids[inside]), tuple(coded.tokens[inside]), words, () if byte_of else texts
        )

    def pipeline_feed(text: str, reading: Tokenization) -> list[int]:
        if not places:
            return tokenizer(text, verbose=False).input_ids
        return tokenizer(text, padding="max_length", max_length=places, truncation=True).input_ids

    return Reader(
        name=f"transformers {type(tokenizer).__name__}", kind="bpe" if ranks else "other",
        vocabulary=len(tokenizer), places=places, start=start, end=end,
        special=frozenset(tokenizer.all_special_ids), ranks=ranks, suffix=suffix, byte_of=byte_of,
        read=read, feed=feed or pipeline_feed,
    )  # fmt: skip


@lru_cache(maxsize=1)
def byte_reader() -> Reader:
    """A reader that knows no words at all: one token per byte, as ByT5 reads.

    Source: Xue et al. 2021, arXiv:2105.13626; no model of this app reads so, it is there for
    comparison.
    """
    from transformers import ByT5Tokenizer

    tokenizer = ByT5Tokenizer(extra_ids=0)
    letters = {chr(byte): byte for byte in range(256)}

    def read(text: str) -> Tokenization:
        ids = tuple(tokenizer(text, add_special_tokens=False, verbose=False).input_ids)
        symbols = tuple(tokenizer.convert_ids_to_tokens(ids))
        return Tokenization((Cleaned("other", text),), ids, symbols, (0,) * len(ids))

    end = tokenizer.eos_token_id
    return Reader(
        name="transformers ByT5Tokenizer", kind="bytes", vocabulary=len(tokenizer), places=0, start=None,
        end=(end, tokenizer.eos_token), special=frozenset(), ranks={}, suffix="", byte_of=letters, read=read,
        feed=lambda text, reading: [*reading.ids, end],
    )  # fmt: skip


def _clip_reader(e: ModelEntry) -> Reader:
    import open_clip

    name = f"local-dir:{e.source}" if Path(e.source).is_dir() else f"hf-hub:{e.source}"
    if not Path(e.source).is_dir():
        # Without the config, open_clip would quietly take a tokenizer of another kind.
        from huggingface_hub import hf_hub_download

        hf_hub_download(e.source, "open_clip_config.json")
    tokenizer = open_clip.get_tokenizer(name)
    if hasattr(tokenizer, "bpe_ranks"):
        return open_clip_reader(tokenizer)

    def feed(text: str, reading: Tokenization) -> list[int]:
        return tokenizer([text])[0].tolist()

    return transformers_reader(tokenizer.tokenizer, int(tokenizer.context_length), tokenizer.clean_fn, feed)


def _image_reader(e: ModelEntry) -> Reader:
    folder = Path(e.source)
    if folder.is_dir() and not (folder / "model_index.json").exists():
        tokenizer: Any = clip_tokenizer()
    else:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(e.source, subfolder="tokenizer", trust_remote_code=False)
    length = int(tokenizer.model_max_length)
    return transformers_reader(tokenizer, e.places or (length if length < _NO_LIMIT else 0))


_MAKERS: dict[str, Callable[[ModelEntry], Reader]] = {"clip": _clip_reader, "image": _image_reader}
_FILES = {"clip": "open_clip_config.json", "image": "tokenizer/tokenizer_config.json"}
_readers: dict[str, Reader] = {}
_lock = threading.RLock()


def _entry(model: str) -> ModelEntry:
    """The entry of a model that reads prompts with a tokenizer of its own.

    Raises:
        InputError: `model_unknown`, also for an id of another role.
    """
    known = [e for role in _MAKERS for e in catalogue.entries(role)]
    for e in known:
        if e.id == model:
            return e
    raise InputError("model_unknown", received=model, known=", ".join(e.id for e in known))


def reader(model: str) -> Reader:
    """The tokenizer of a catalogue entry, loaded once; hub tokenizers may be downloaded.

    Raises:
        InputError: `model_unknown`, and what `loading.load` raises.
    """
    if model in _readers:
        return _readers[model]
    e, key = _entry(model), f"{model}+tokenizer"
    with _lock:
        if model in _readers:
            return _readers[model]
        raise_if_just_failed(key)
        try:
            _readers[model] = _MAKERS[e.role](e)
        except Exception as error:
            raise explained(e, error, key) from error
        return _readers[model]


def at_hand(e: ModelEntry) -> bool:
    """Whether `reader(e.id)` works without the network."""
    return e.id in _readers or (
        isinstance(try_to_load_from_cache(e.source, _FILES[e.role]), str)
        if e.family == "hub"
        else Path(e.source).is_dir()
    )

"""Letters, pieces and words: a tokenizer's output tied back to the text that a person typed."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipelines.text.bpe import Merge, first_symbols, merge_steps
from pipelines.text.readers import Reader, Tokenization

MAX_WORD = 64  # bytes of a word whose merges are shown
LOOK_AHEAD = 4  # tokens that complete a letter of which the last token shown holds the first byte


def visible(char: str) -> str:
    """A character as something that can be seen and never takes its neighbours along."""
    if char == " ":
        return "\N{OPEN BOX}"
    kind = unicodedata.category(char)
    if kind[0] in "CZ" or char == "\N{REPLACEMENT CHARACTER}" or "\ufe00" <= char <= "\ufe0f":
        return f"U+{ord(char):04X}"
    return "\N{DOTTED CIRCLE}" + char if kind[0] == "M" else char


@dataclass(frozen=True)
class Letter:
    """A letter, or the part of one that a token holds.

    Attributes:
        char: the Unicode character.
        data: the bytes of it that lie in this token.
        first: which byte of the letter `data` starts with, 0-based.
        size: how many bytes the whole letter has.
    """

    char: str
    data: bytes
    first: int
    size: int

    @property
    def whole(self) -> bool:
        """Whether the token holds all of the letter."""
        return len(self.data) == self.size

    @property
    def label(self) -> str:
        """The letter as something that can be seen: invisible ones by their code point."""
        return visible(self.char)


@dataclass(frozen=True)
class Piece:
    """One token.

    Attributes:
        id: entry of the vocabulary.
        symbol: how the vocabulary spells it, `cat</w>`.
        letters: what it stands for; empty for start, end and padding.
        word: index into `TokenView.words`; -1 for start and end.
        special: "start", "end", or "typed" for a mark that the visitor typed; else "".
        ends_word: whether a word ends here.
    """

    id: int
    symbol: str
    letters: tuple[Letter, ...]
    word: int
    special: str = ""
    ends_word: bool = True

    @property
    def text(self) -> str:
        """What to write on the token."""
        return "".join(letter.label for letter in self.letters) or self.symbol

    @property
    def data(self) -> bytes:
        """The bytes of the text that it stands for."""
        return b"".join(letter.data for letter in self.letters)

    @property
    def key(self) -> str:
        """What decides its colour: its text, or its spelling where letters are broken."""
        if self.special:
            return f"<|{self.special}|>"
        return self.text if all(letter.whole for letter in self.letters) else self.symbol


@dataclass(frozen=True)
class Word:
    """A word as the tokenizer splits the text, and how it becomes tokens.

    Attributes:
        letters: the word's letters.
        first: index of its first piece in `TokenView.pieces`.
        count: how many pieces it has.
        symbols: the word before any merge, one symbol per byte; empty where the tokenizer has no
            merge rules or the word is too long to draw.
        merges: every merge, in order.
    """

    letters: tuple[Letter, ...]
    first: int
    count: int
    symbols: tuple[str, ...] = ()
    merges: tuple[Merge, ...] = ()

    @property
    def text(self) -> str:
        return "".join(letter.label for letter in self.letters)


def _letters_of(chunks: list[bytes]) -> Iterator[tuple[Letter, ...]]:
    """For each chunk of a word's bytes, the letters that it holds, whole or in part."""
    text = b"".join(chunks).decode(errors="ignore")
    letters = [(char, char.encode()) for char in text]
    at, done = 0, 0  # current letter, and how many of its bytes are spent
    for chunk in chunks:
        found: list[Letter] = []
        left = len(chunk)
        while left and at < len(letters):
            char, data = letters[at]
            taken = data[done : done + left]
            found.append(Letter(char, taken, done, len(data)))
            left -= len(taken)
            done += len(taken)
            if done == len(data):
                at, done = at + 1, 0
        yield tuple(found)


def _chunks(source: Reader, reading: Tokenization, begin: int, end: int) -> list[bytes]:
    """The bytes that each token of a word stands for."""
    if reading.texts:
        return [text.encode() for text in reading.texts[begin:end]]
    symbols = reading.symbols[begin:end]
    if reading.ids[begin] in source.special:
        return [symbol.encode() for symbol in symbols]
    return [bytes(source.byte_of[c] for c in symbol.removesuffix(source.suffix)) for symbol in symbols]


def _whole(letters: tuple[Letter, ...]) -> tuple[Letter, ...]:
    """The letters of a word, put together from those of its pieces."""
    return tuple(
        Letter(x.char, x.char.encode(), 0, x.size) for x in letters if x.first + len(x.data) == x.size
    )


def _word(
    source: Reader, reading: Tokenization, begin: int, end: int, shown: int
) -> tuple[list[Piece], Word]:
    """Tokens `begin` to `end`, which form one word, of which `shown` are taken apart."""
    special = "typed" if reading.ids[begin] in source.special else ""
    chunks = _chunks(source, reading, begin, min(end, begin + shown + LOOK_AHEAD))
    letters = list(_letters_of(chunks))[:shown]
    pieces = [
        Piece(reading.ids[i], reading.symbols[i], found, 0, special, i == end - 1)
        for i, found in enumerate(letters, start=begin)
    ]
    word = Word(_whole(sum(letters, ())), 0, len(pieces))
    if special or not source.ranks or shown < end - begin or sum(map(len, chunks)) > MAX_WORD:
        return pieces, word
    spelled = "".join(symbol.removesuffix(source.suffix) for symbol in reading.symbols[begin:end])
    merges = merge_steps(spelled, source.ranks, source.suffix)
    return pieces, replace(word, symbols=first_symbols(spelled, source.suffix), merges=merges)


def words_of(source: Reader, reading: Tokenization, limit: int) -> tuple[list[Piece], list[Word]]:
    """The first `limit` tokens of a reading, grouped into words.

    Args:
        source: the tokenizer that made the reading.
        reading: a whole text, uncut.
        limit: how many tokens to take apart; a prompt of 10,000 letters has thousands.
    """
    pieces: list[Piece] = []
    words: list[Word] = []
    offset = int(source.start is not None)
    begin = 0
    while begin < min(limit, len(reading.ids)):
        end = begin + 1
        while end < len(reading.ids) and reading.words[end] == reading.words[begin]:
            end += 1
        found, word = _word(source, reading, begin, end, min(end, limit) - begin)
        words.append(replace(word, first=offset + len(pieces)))
        pieces += [replace(piece, word=len(words) - 1) for piece in found]
        begin = end
    return pieces, words


def first_word(pieces: Sequence[Piece]) -> int:
    """The row to begin with: the last word with letters, which most often is a noun, else the last token."""
    wordy = [i for i, p in enumerate(pieces) if not p.special and any(c.isalpha() for c in p.text)]
    named = [i for i in wordy if len(pieces[i].text) > 2]
    content = [i for i, p in enumerate(pieces) if p.word >= 0]
    return (named or wordy or content or [0])[-1]

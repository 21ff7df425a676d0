"""One name per concept in all texts, and facts in them that the shipped models can be asked for."""

import re

import numpy as np
import pytest

from components.ui.language import load_texts
from pipelines.clip.embeddings import arithmetic, embed
from pipelines.world.captions import parse

CLIP = "classroom-clip"
# What the words were that the lecture's, or the field's, have replaced.
REPLACED = {
    "de": r"Bildturm|Textseite|\bFelder|Stapel|verkleinert|[Ff]ilm|[Ss]tartmarke|[Ee]ndmarke|Ende-Token"
    r"|(Start|Ende)-Zeichen|Füllung|Füllzeile|Zeit-Einbettung|CLIP-Wert|Passung|Bildtext|\bblick(t|en)\b"
    r"|Einheitlichkeit|Trägheit|Schüler|\bRichter|\bDinge?\b|Rauschstufe|Bildaufbau|Token-Pl[aä]tz"
    r"|\b(das|müsst|könnt|habt) ihr\b|\beuch\b|\beuer|[Nn]ehmt |Verlust(funktion)?(?!\))"
    r"|(?<!\()Aufmerksamkeit",
    "en": r"\bfilms?\b|(start|end) mark\b|text side|(picture|text) tower|token place|noise level|\bspots?\b"
    r"|likel(ier|iest)|learnt|\bkin\b|\bKin:|makers",
}
ALLOWED = {"de": r"zwei Dinge", "en": r"$^"}  # in no technical sense


@pytest.mark.parametrize("language", ["de", "en"])
def test_replaced_terms_do_not_come_back(language: str) -> None:
    found = {
        key: match[0]
        for key, text in load_texts(language).entries.items()
        if (match := re.search(REPLACED[language], re.sub(ALLOWED[language], "", text)))
    }
    assert found == {}


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("stem", ["tokens", "embeddings", "clip_matrix", "contrastive"])
def test_clip_is_spelled_out_where_it_is_met_first(stem: str, language: str) -> None:
    t = load_texts(language)
    assert "Contrastive Language-Image Pretraining" in t(f"{stem}.claim") + t(f"{stem}.note")


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("guidance.claim", r"[Cc]lassifier-free [Gg]uidance.*CFG"),
        ("dino.claim", r"(?i)self-distillation|selbst-destillation"),
        ("dino.momentum_info", r"[Tt]eacher ← m · [Tt]eacher \+ \(1 − m\) · [Ss]tudent"),
        ("contrastive.note", r"(?i)bias"),
        ("clip_matrix.note", "ImageNet"),
        ("clip_matrix.temperature_hint", r"exp\(c/τ\) / Σ exp\(c/τ\)"),
        ("clip_matrix.view_hint.cosine", r"a·b / \(\|a\|·\|b\|\)"),
        ("video.similarity_hint", r"½ · \[cos\("),
        ("attention.hint", r"Σ (weight · value|Gewicht · Wert)"),
        ("image.note", r"FLUX\.2"),
    ],
)
def test_terms_and_formulas_are_named_where_they_belong(key: str, name: str, language: str) -> None:
    assert re.search(name, load_texts(language)(key))


def _cosine(first: str, second: str) -> float:
    a, b = (found.vector for found in embed([first, second], CLIP, 1))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize(
    ("key", "first", "second", "told"),
    [
        ("tokens.note", "dimm lighting", "dim lighting", 0.99),
        ("tokens.note", "brigth light", "bright light", 0.76),
        ("embeddings.note", "a cat on a chair", "a chair on a cat", 0.97),
    ],
)
def test_cosines_in_the_notes_are_those_of_the_shipped_model(
    key: str, first: str, second: str, told: float
) -> None:
    assert _cosine(first, second) == pytest.approx(told, abs=0.006)
    assert f"{told:.2f}" in load_texts("en")(key)
    assert f"{told:.2f}".replace(".", ",") in load_texts("de")(key)


def test_one_typo_of_the_notes_is_of_the_training_grammar_and_the_other_is_not() -> None:
    assert parse("a cat, dimm lighting").atmosphere == "dim"
    assert parse("a cat, brigth light").atmosphere is None


def test_the_small_model_does_not_know_kings() -> None:
    """`embeddings.arithmetic_text` invites the class to try."""
    assert "queen" not in arithmetic("king", "man", "woman", CLIP).answer.short.world.text

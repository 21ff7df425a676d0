"""What the evaluation says, and about which weights."""

import json
from pathlib import Path

import pytest

from training import figures
from training.evaluate import parse_all
from training.figures import Row, judged, share_row, still_true, wilson, write


def test_two_lights_are_two_readings() -> None:
    lights = [f.atmosphere for f in parse_all("A cat. Cozy atmosphere. Dimm lighting.")]
    assert lights == ["cozy", "dim"]
    assert [f.atmosphere for f in parse_all("A small cat on a bed.")] == [None]


def test_interval_of_a_share() -> None:
    # Worked example: 8 of 10, z = 1.96.
    low, high = wilson(8, 10)
    assert low == pytest.approx(0.4902, abs=1e-3)
    assert high == pytest.approx(0.9433, abs=1e-3)


def row(name: str, *, must: float | None = 0.5, ok: bool = True) -> Row:
    return Row(name, 0.9, must, 10, (0.8, 1.0), ok)


def test_figures_of_other_weights_are_dropped_and_those_of_the_same_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {"clip/a.safetensors": "1", "image/unet/b.safetensors": "2", "scorers/c.safetensors": "3"}
    monkeypatch.setattr(figures, "DOCS", tmp_path)
    monkeypatch.setattr(figures, "weight_hashes", lambda: dict(weights))
    write([row("clip.spearman"), row("image.single"), row("scorers.single")])
    weights["image/unet/b.safetensors"] = "new"
    write([row("image.two")])
    found = json.loads((tmp_path / "evaluation.json").read_text())
    assert [r["id"] for r in found["rows"]] == ["clip.spearman", "image.two", "scorers.single"]
    assert found["weights"] == weights
    table = (tmp_path / "evaluation.md").read_text()
    assert "| image.two | 0.9 | 0.5 | 10 | 0.8 … 1.0 | reached |" in table


def test_a_figure_speaks_of_all_weights_that_made_it() -> None:
    then = {"clip/x": "1", "image/vae/y": "2", "scorers/z": "3"}
    assert still_true("clip.five_by_five", then, then | {"image/vae/y": "other"})
    assert not still_true("image.single", then, then | {"clip/x": "other"})
    assert not still_true("scorers.single", then, {"clip/x": "1"})


def test_a_category_whose_judge_is_too_weak_does_not_count() -> None:
    rows = [
        row("image.single"), row("image.size"), row("image.geneval_mean"), row("image.unseen", must=None),
        row("image.lecture"), row("image.negative_ratio"),
        row("scorers.single", ok=False), row("scorers.size"), row("scorers.relation", ok=False),
    ]  # fmt: skip
    ok = {r["id"]: r["ok"] for r in judged([vars(r) for r in rows])}
    assert ok == {
        "image.single": False, "image.size": True, "image.geneval_mean": False, "image.unseen": True,
        "image.lecture": False, "image.negative_ratio": True,
        "scorers.single": False, "scorers.size": True, "scorers.relation": False,
    }  # fmt: skip


def test_a_share_is_held_against_what_it_must_reach() -> None:
    assert share_row("x", [True, True, True, False], 0.75).ok
    assert not share_row("x", [True, True, False, False], 0.75).ok
    assert share_row("x", [False], None).ok


def test_sounds_have_judges_of_their_own() -> None:
    rows = [
        row("sound_scorers.mood", ok=False), row("scorers.tempo", ok=False), row("audio.mood"),
        row("audio.tempo"), row("image.mood"), row("audio.codec_si_sdr", must=None),
    ]  # fmt: skip
    found = {r["id"]: r for r in judged([figures.asdict(r) for r in rows])}
    assert not found["audio.mood"]["ok"] and found["audio.mood"]["judge"] == ["mood"]
    assert found["audio.tempo"]["ok"] and found["image.mood"]["ok"]
    assert "judge" not in found["audio.codec_si_sdr"]

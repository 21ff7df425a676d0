"""What the evaluation says, how sure it is, and about which weights."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.serving import measured
from pipelines.serving.measured import still_true
from training import evaluate, evaluation_rows
from training.evaluate import Part, parse_all
from training.evaluation_meanings import MEANINGS
from training.evaluation_rows import (
    EvaluationRow,
    judged,
    mean_row,
    over_prompts,
    ratio_interval,
    share_row,
    wilson,
    write,
)


def test_two_lights_are_two_readings() -> None:
    lights = [f.atmosphere for f in parse_all("A cat. Cozy atmosphere. Dimm lighting.")]
    assert lights == ["cozy", "dim"]
    assert [f.atmosphere for f in parse_all("A small cat on a bed.")] == [None]


def test_interval_of_a_share() -> None:
    # Worked example: 8 of 10, z = 1.96.
    low, high = wilson(8, 10)
    assert low == pytest.approx(0.4902, abs=1e-3)
    assert high == pytest.approx(0.9433, abs=1e-3)


def test_prompts_are_resampled_not_their_seeds() -> None:
    # Four prompts with two seeds each; one prompt fails. Of four drawn prompts the number k that fail is
    # binomial with p = 1/4: P(k = 4) = 0.004, P(k >= 3) = 0.051, P(k = 0) = 0.316. The share is 1 - k / 4,
    # so its quantiles 2.5 % and 97.5 % are 1/4 and 1.
    hits = [True, True, True, True, False, False, True, True]
    found = share_row("image.x", hits, None, seeds=2)
    assert (found.value, found.n, found.prompts, found.ci95) == (0.75, 8, 4, (0.25, 1.0))
    alone = share_row("image.x", hits, None)
    assert alone.prompts is None and alone.ci95 == tuple(round(x, 4) for x in wilson(6, 8))
    assert found.ci95[0] < alone.ci95[0], "seeds of one prompt are no independent trials"


@pytest.mark.parametrize("outcome", [True, False])
def test_where_all_prompts_agree_each_counts_once(outcome: bool) -> None:
    found = share_row("image.x", [outcome] * 40, None, seeds=4)
    assert found.ci95 == tuple(round(x, 4) for x in wilson(10 * outcome, 10))


def test_interval_of_a_ratio_resamples_numerator_and_denominator_together() -> None:
    # Two prompts: a resample is the first twice (1/4: 0.25 / 1), the second twice (1/4: 0.5 / 0.5) or both.
    assert ratio_interval(np.array([0.25, 0.5]), np.array([1.0, 0.5])) == (0.25, 1.0)


def test_interval_of_a_ratio_of_independent_trials_is_that_of_katz() -> None:
    rng = np.random.default_rng(2)
    n = 1000
    with_it, without = (rng.permutation(np.arange(n) < hits).astype(float) for hits in (90, 600))
    # Katz et al. 1978: the logarithm has variance 1/a - 1/n + 1/b - 1/n.
    half = 1.96 * np.sqrt(1 / 90 - 1 / n + 1 / 600 - 1 / n)
    expected = 0.15 * np.exp([-half, half])
    np.testing.assert_allclose(ratio_interval(with_it, without), expected, rtol=0.05)
    # That of the numerator alone is narrower.
    numerator = np.array(over_prompts(np.mean, with_it)) / 0.6
    assert np.ptp(numerator) < np.ptp(expected)


def test_a_ratio_without_any_hit_has_an_upper_bound_nevertheless() -> None:
    low, high = ratio_interval(np.zeros(10), np.full(10, 0.5))
    assert low == 0 and high == pytest.approx(wilson(0, 10)[1] / wilson(5, 10)[0])


def test_interval_of_a_mean() -> None:
    # Mean 2, deviation 1 (n - 1), standard error 0.5.
    found = mean_row("image.x", [1.0, 2.0, 2.0, 3.0], 2.0)
    half = 1.96 * np.sqrt(2 / 3) / 2
    assert found.ci95 == pytest.approx((2 - half, 2 + half), abs=1e-4) and found.ok


def test_rows_of_pictures_resample_their_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the prompts succeed with all seeds, the others with none."""

    def judge(prompts: list, scorer: None) -> list[bool]:
        return [i % 2 == 0 for i in range(len(prompts)) for _ in range(evaluate.SEEDS)]

    monkeypatch.setattr(evaluate, "judge_prompts", judge)
    rows = {r.id: r for r in (*evaluate.evaluate_geneval(None), *evaluate.evaluate_unseen(None))}
    assert {(r.value, r.n, r.prompts) for r in rows.values()} == {
        (0.5, 200, 50), (0.5, 1200, 300), (0.0, 200, 50),
    }  # fmt: skip
    # The standard error is that of 50 prompts, 0.071, not that of 200 pictures, 0.035.
    assert np.ptp(rows["image.two"].ci95) == pytest.approx(2 * 1.96 * 0.0707, rel=0.1)
    assert np.ptp(rows["image.geneval_mean"].ci95) == pytest.approx(2 * 1.96 * 0.0707 / 6**0.5, rel=0.1)
    assert np.ptp(rows["image.unseen_minus_seen"].ci95) == pytest.approx(2 * 1.96 * 0.1, rel=0.1)


def test_the_negative_ratio_compares_the_same_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a negative prompt every other prompt's defect is drawn, with it every fourth one's."""
    pairs = evaluate.inviting()

    def draw(texts: list[str], seeds: list[int], negative: list[str] | None) -> list[str | None]:
        every = 2 if negative is None else 4
        places = [i // evaluate.SEEDS for i in range(len(texts))]
        return [pairs[k][1] if k % every == 0 else None for k in places]

    def look_at(images: list[str | None], scorer: None) -> list[SimpleNamespace]:
        return [SimpleNamespace(looks={"defect": image}) for image in images]

    monkeypatch.setattr(evaluate, "draw", draw)
    monkeypatch.setattr(evaluate, "look_at", look_at)
    invited, ratio = evaluate.evaluate_negative(None)
    assert (invited.value, invited.n, invited.prompts) == (0.5, 200, 50)
    assert (ratio.value, ratio.ok, ratio.prompts) == (0.52, False, 50)  # 13 of 25
    assert 0.25 < ratio.ci95[0] < 0.52 < ratio.ci95[1] < 0.8


def row(name: str, *, must: float | None = 0.5, value: float = 0.9) -> EvaluationRow:
    return EvaluationRow(name, value, must, 10, (0.8, 1.0), True)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Hashes of some weights, to be changed; the evaluation is written to a folder of its own."""
    hashes = {"clip/a.safetensors": "1", "image/unet/b.safetensors": "2", "scorers/c.safetensors": "3"}
    monkeypatch.setattr(measured, "EVALUATION", tmp_path)
    monkeypatch.setattr(evaluation_rows, "TABLE", tmp_path / "docs" / "evaluation.md")
    monkeypatch.setattr(evaluation_rows, "weight_hashes", lambda: dict(hashes))
    return hashes


def test_figures_of_other_weights_are_dropped_and_those_of_the_same_are_kept(
    tmp_path: Path, weights: dict[str, str]
) -> None:
    write([row("clip.spearman"), row("image.single"), row("scorers.single")])
    weights["image/unet/b.safetensors"] = "new"
    write([row("image.two"), share_row("image.three", [True, False] * 2, None, seeds=2)])
    found = json.loads((tmp_path / "evaluation.json").read_text())
    ids = ["clip.spearman", "image.three", "image.two", "scorers.single"]
    assert [r["id"] for r in found["rows"]] == ids
    assert found["weights"] == weights
    assert set(found["rows"][2]) == {"id", "value", "must", "n", "ci95", "ok"}
    table = (tmp_path / "docs" / "evaluation.md").read_text()
    assert f"| image.two | {MEANINGS['image.two']} | 0.9 | 0.5 | 10 | 0.8 … 1.0 | reached |" in table
    assert "| image.three |  | 0.5 |  | 4 (2 prompts) | 0.5 … 0.5 |  |" in table
    assert "bootstrap that resamples whole prompts" in table


def test_parts_that_are_done_are_left_out_until_their_weights_change(
    tmp_path: Path, weights: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    ran: list[str] = []

    def part(*ids: str) -> Part:
        return Part(lambda: ran.append(ids[0]) or [row(name) for name in ids], ids[0])

    def stopped() -> list[EvaluationRow]:
        raise KeyboardInterrupt

    def run(*options: str) -> list[str]:
        """The parts that were measured."""
        ran.clear()
        monkeypatch.setattr(sys, "argv", ["evaluate", *options])
        evaluate.main()
        return list(ran)

    parts = {"clip": part("clip.a"), "own": part("image.a", "image.b"), "negative": part("image.c")}
    monkeypatch.setattr(evaluate, "PARTS", parts | {"own": Part(stopped, "image.a")})
    with pytest.raises(KeyboardInterrupt):
        run("--only", "clip,own,negative")
    assert ran == ["clip.a"]
    monkeypatch.setattr(evaluate, "PARTS", parts)
    whole = ("--only", "clip,own,negative")
    assert run(*whole) == ["image.a", "image.c"], "what was done before the stop is there"
    capsys.readouterr()
    assert run(*whole) == []
    printed = [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["clip.a", "image.a", "image.b", "image.c"], "the whole table, whatever was measured"
    assert run("--only", "clip", "--again") == ["clip.a"]
    weights["image/unet/b.safetensors"] = "new"
    assert run(*whole) == ["image.a", "image.c"]
    assert [r["id"] for r in json.loads((tmp_path / "evaluation.json").read_text())["rows"]] == printed


def test_every_part_names_a_row_that_was_measured() -> None:
    found = json.loads((measured.EVALUATION / "evaluation.json").read_text())
    assert {part.row for part in evaluate.PARTS.values()} <= {r["id"] for r in found["rows"]}


def test_every_figure_is_said_in_plain_words_too() -> None:
    ids = {row["id"] for row in json.loads((measured.EVALUATION / "evaluation.json").read_text())["rows"]}
    assert ids - MEANINGS.keys() == set()


def test_what_counted_is_judged_again_with_every_row(weights: dict[str, str]) -> None:
    write([row("scorers.single", must=0.98), row("image.single", must=0.8)])
    assert [r.get("judge") for r in evaluation_rows.read()] == [["single"], None]
    write([row("scorers.single", must=0.98, value=0.99)])
    assert all(r["ok"] and "judge" not in r for r in evaluation_rows.read())


def test_a_figure_speaks_of_all_weights_that_made_it() -> None:
    then = {"clip/x": "1", measured.TEXT_TOWER: "4", "image/vae/y": "2", "scorers/z": "3"}
    assert still_true("clip.five_by_five", then, then | {"image/vae/y": "other"})
    assert still_true("image.single", then, then | {"clip/x": "its pictures' tower learned on"})
    assert not still_true("image.single", then, then | {measured.TEXT_TOWER: "other"})
    assert not still_true("image.word_style", then, then | {"clip/x": "other"})
    assert not still_true("scorers.single", then, {"clip/x": "1"})


def test_a_category_whose_judge_is_too_weak_does_not_count() -> None:
    rows = [
        row("image.single"), row("image.size"), row("image.geneval_mean"), row("image.unseen", must=None),
        row("image.lecture"), row("image.negative_ratio", must=0.3, value=0.2),
        row("scorers.single", value=0.4), row("scorers.size"), row("scorers.relation", value=0.4),
    ]  # fmt: skip
    ok = {r["id"]: r["ok"] for r in judged([asdict(r) for r in rows])}
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
        row("sound_scorers.mood", value=0.4), row("scorers.tempo", value=0.4), row("audio.mood"),
        row("audio.tempo"), row("image.mood"), row("audio.codec_si_sdr", must=None),
    ]  # fmt: skip
    found = {r["id"]: r for r in judged([asdict(r) for r in rows])}
    assert not found["audio.mood"]["ok"] and found["audio.mood"]["judge"] == ["mood"]
    assert found["audio.tempo"]["ok"] and found["image.mood"]["ok"]
    assert "judge" not in found["audio.codec_si_sdr"]

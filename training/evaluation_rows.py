"""The rows of `make evaluate`: their intervals, which weights they belong to, and how they are written."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from pipelines.serving import measured
from pipelines.serving.measured import still_true, weight_hashes
from training.evaluation_meanings import MEANINGS
from training.evaluation_prompts import GENEVAL

TABLE = Path("docs/evaluation.md")
_RESAMPLES = 4000
AT_MOST = {"image.negative_ratio", "clip.relation_cosine"}  # all others must reach `must` at least
_HEADER = """# What the classroom models reach

Written by `make evaluate`.

Where n names prompts, a prompt was tried with several seeds, whose outcomes resemble each other: the interval
is a percentile bootstrap that resamples whole prompts (Efron 1979; Field & Welsh 2007). All other shares have
Wilson's interval and all other means the normal one, which take the n trials for independent.

| what | in plain words | value | required | n | 95 % interval | |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class EvaluationRow:
    """One figure.

    Attributes:
        id: stable name.
        value: what came out.
        must: what it has to reach, or None.
        n: trials.
        ci95: 95 % interval.
        ok: whether it reaches what it must.
        prompts: where several trials share a prompt, how many prompts the interval resamples.
    """

    id: str
    value: float
    must: float | None
    n: int
    ci95: tuple[float, float]
    ok: bool
    prompts: int | None = None


def evaluation_row(
    name: str,
    value: float,
    must: float | None,
    n: int,
    ci95: tuple[float, float],
    prompts: int | None = None,
) -> EvaluationRow:
    """A figure to four digits, judged against what it must reach."""
    low, high = (round(float(bound), 4) for bound in ci95)
    value = round(float(value), 4)
    return EvaluationRow(name, value, must, n, (low, high), _reached(name, value, must), prompts)


def _reached(name: str, value: float, must: float | None) -> bool:
    return must is None or (value <= must if name in AT_MOST else value >= must)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share of independent trials. Source: Wilson 1927."""
    low, high = stats.binomtest(hits, n).proportion_ci(method="wilson")
    return float(low), float(high)


def over_prompts(
    statistic: Callable[..., float], *samples: np.ndarray, paired: bool = False
) -> tuple[float, float]:
    """95 % interval that resamples prompts: a percentile bootstrap, the same in every run.

    Seeds of one prompt resemble each other; taken for independent, they would make intervals too narrow.

    Args:
        statistic: of the samples.
        samples: each has one entry a prompt.
        paired: whether the samples are of the same prompts, which are then drawn together.

    Source: Efron 1979; for clusters, Field & Welsh 2007.
    """
    found = stats.bootstrap(
        samples,
        statistic,
        paired=paired,
        vectorized=False,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=0,
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def ratio_interval(numerator: np.ndarray, denominator: np.ndarray) -> tuple[float, float]:
    """95 % interval of the ratio of two shares, both of which are uncertain.

    Prompts are resampled for both at once, so that the denominator varies with the numerator. For independent
    trials this agrees with Katz et al. 1978. Where the numerator has no hits at all, the upper bound is that
    of Wilson's intervals over prompts.

    Args:
        numerator, denominator: `[prompt]` shares of the same prompts.
    """
    if not numerator.any():
        count = len(numerator)
        return 0.0, wilson(0, count)[1] / wilson(round(float(denominator.mean()) * count), count)[0]
    return over_prompts(lambda a, b: a.mean() / max(b.mean(), 1e-6), numerator, denominator, paired=True)


def share_row(name: str, hits: Sequence[bool], must: float | None, seeds: int = 1) -> EvaluationRow:
    """A row for a share of successes.

    Args:
        name: the row's id.
        hits: prompt by prompt, seed by seed.
        must: what the share has to reach.
        seeds: trials of each prompt.
    """
    found, n = int(sum(hits)), len(hits)
    if seeds == 1:
        return evaluation_row(name, found / n, must, n, wilson(found, n))
    shares = np.reshape(hits, (-1, seeds)).mean(1)
    # Prompts that all agree leave nothing to resample; then each counts once.
    alike = found in (0, n)
    ci95 = wilson(found // seeds, len(shares)) if alike else over_prompts(np.mean, shares)
    return evaluation_row(name, found / n, must, n, ci95, len(shares))


def mean_row(name: str, values: Sequence[float], must: float | None) -> EvaluationRow:
    """A row for a mean of independent values, with the interval of the normal distribution."""
    mean = float(np.mean(values))
    half = 1.96 * float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return evaluation_row(name, mean, must, len(values), (mean - half, mean + half))


_JUDGE_OF = {"image": "scorers", "audio": "sound_scorers", "video": "film_scorers"}
# Judges of rows that no single category judges.
_JUDGES = {
    "geneval_mean": GENEVAL,
    "lecture": ("size", "relation", "atmosphere"),
    "unseen_minus_seen": ("colours", "relation", "atmosphere", "style"),
}


def judged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose judge is too weak do not count: `ok` is false, `judge` names the judges."""
    rows = [
        {k: v for k, v in r.items() if k != "judge"} | {"ok": _reached(r["id"], r["value"], r["must"])}
        for r in rows
    ]
    weak: dict[str, set[str]] = {judge: set() for judge in _JUDGE_OF.values()}
    for part, name in (r["id"].split(".", 1) for r in rows if not r["ok"]):
        weak.get(part, set()).add(name)
    out = []
    for row in rows:
        part, name = row["id"].split(".", 1)
        suspects = weak.get(_JUDGE_OF.get(part, ""), set())
        judges = sorted(suspects & set(_JUDGES.get(name, (name,))))
        out.append(row | {"ok": False, "judge": judges} if row["must"] is not None and judges else row)
    return out


def read() -> list[dict[str, Any]]:
    """The rows of the present weights; those measured on other weights are left out."""
    path = measured.EVALUATION / "evaluation.json"
    if not path.exists():
        return []
    found, weights = json.loads(path.read_text()), weight_hashes()
    return [row for row in found["rows"] if still_true(row["id"], found["weights"], weights)]


def write(rows: Sequence[EvaluationRow]) -> None:
    """Add rows to assets/evaluation/evaluation.json and docs/evaluation.md.

    Rows that are already there are kept as long as their weights are the same, so that an evaluation can
    be made in parts.
    """
    new = {row.id: {k: v for k, v in asdict(row).items() if (k, v) != ("prompts", None)} for row in rows}
    everything = judged([*(row for row in read() if row["id"] not in new), *new.values()])
    everything.sort(key=lambda row: row["id"])
    measured.EVALUATION.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"weights": weight_hashes(), "rows": everything}, indent=1) + "\n"
    (measured.EVALUATION / "evaluation.json").write_text(content)
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(_HEADER + "".join(_line(row) for row in everything))


def _line(row: dict[str, Any]) -> str:
    must = "" if row["must"] is None else row["must"]
    n = row["n"] if row.get("prompts") is None else f"{row['n']} ({row['prompts']} prompts)"
    low, high = row["ci95"]
    meaning = MEANINGS.get(row["id"], "")
    return f"| {row['id']} | {meaning} | {row['value']} | {must} | {n} | {low} … {high} | {_mark(row)} |\n"


def _mark(row: dict[str, Any]) -> str:
    if row["must"] is None:
        return ""
    if row.get("judge"):
        return f"does not count: judge of {', '.join(row['judge'])} too weak"
    return "reached" if row["ok"] else "**missed**"

"""The figures of `make evaluate`: what a row is, which weights it speaks of, and how it is written."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.serving.measured import still_true, weight_hashes
from training.evaluation_prompts import GENEVAL

DOCS = Path("docs")


@dataclass(frozen=True)
class Row:
    """One figure: `must` is what it has to reach (at most, where `ok` says so by `below`)."""

    id: str
    value: float
    must: float | None
    n: int
    ci95: tuple[float, float]
    ok: bool


def wilson(hits: float, n: int) -> tuple[float, float]:
    """95 % interval of a share. Source: Wilson 1927."""
    z, p = 1.96, hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return round(centre - half, 4), round(centre + half, 4)


def share_row(name: str, hits: Sequence[bool], must: float | None) -> Row:
    """A row for a share of successes."""
    value = float(np.mean(hits))
    ok = must is None or value >= must
    return Row(name, round(value, 4), must, len(hits), wilson(sum(hits), len(hits)), ok)


def mean_row(name: str, values: Sequence[float], must: float | None) -> Row:
    """A row for a mean, with the interval of the normal distribution."""
    mean = float(np.mean(values))
    half = 1.96 * float(np.std(values, ddof=1) / np.sqrt(len(values)))
    ci95 = (round(mean - half, 4), round(mean + half, 4))
    return Row(name, round(mean, 4), must, len(values), ci95, must is None or mean >= must)


_JUDGE_OF = {"image": "scorers", "audio": "sound_scorers", "video": "film_scorers"}
# Judges of rows that no single category judges.
_JUDGES = {
    "geneval_mean": GENEVAL,
    "lecture": ("size", "relation", "atmosphere"),
    "unseen_minus_seen": ("colours", "relation", "atmosphere", "style"),
}


def judged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose judge is too weak do not count: `ok` is false, `judge` names the judges."""
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


def _mark(row: dict[str, Any]) -> str:
    if row["must"] is None:
        return ""
    if row.get("judge"):
        return f"does not count: judge of {', '.join(row['judge'])} too weak"
    return "reached" if row["ok"] else "**missed**"


def write(rows: list[Row]) -> list[dict[str, Any]]:
    """docs/evaluation.json and docs/evaluation.md.

    Rows of parts that were not run this time are kept, as long as they speak of the same weights.

    Returns:
        The new rows as they were written.
    """
    DOCS.mkdir(exist_ok=True)
    path, weights = DOCS / "evaluation.json", weight_hashes()
    old = json.loads(path.read_text()) if path.exists() else {"rows": [], "weights": {}}
    new = [asdict(r) for r in rows]
    measured = {r["id"] for r in new}
    kept = [
        r for r in old["rows"] if r["id"] not in measured and still_true(r["id"], old["weights"], weights)
    ]
    everything = judged(sorted([*kept, *new], key=lambda r: r["id"]))
    path.write_text(json.dumps({"weights": weights, "rows": everything}, indent=1) + "\n")
    lines = ["# What the classroom models reach", "", "Written by `make evaluate`.", "",
             "| what | value | must | n | 95 % interval | |", "|---|---|---|---|---|---|"]  # fmt: skip
    for r in everything:
        must = "" if r["must"] is None else r["must"]
        low, high = r["ci95"]
        lines.append(f"| {r['id']} | {r['value']} | {must} | {r['n']} | {low} … {high} | {_mark(r)} |")
    (DOCS / "evaluation.md").write_text("\n".join(lines) + "\n")
    return [r for r in everything if r["id"] in measured]

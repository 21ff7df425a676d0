"""Whether another way to sample draws as well: the rows of pictures, held against those of the app's own way.

Run: `python -m training.evaluate_sampling [--ways dpm++10,interval,…] [--only geneval,own,…]`. Ends with one
JSON object a line: `{"id", "value", "before", "ci95_before", "ok"}`, `ok` where the row is not below its
interval. Writes no table: what is adopted is measured by `make evaluate` afterwards.
"""

import argparse
import json

from training.drawing import Sampling, drawn_with
from training.evaluate import PARTS
from training.evaluation_rows import AT_MOST, EvaluationRow, read

WAYS = {
    "ddim20": Sampling(),
    "dpm++10": Sampling("dpm++", 10),
    "dpm++12": Sampling("dpm++", 12),
    "dpm++15": Sampling("dpm++", 15),
    "rescale": Sampling(rescale=0.7),
    "interval": Sampling(guided=(0.1, 0.8)),
    "late": Sampling(guided=(0.1, 1.0)),
}
PICTURES = ("geneval", "own", "unseen", "negative", "lecture")


def held_against(row: EvaluationRow, before: dict) -> dict:
    """A row beside the same one of the app's own way, and whether it stays within or above its interval."""
    low, high = before["ci95"]
    ok = row.value <= high if row.id in AT_MOST else row.value >= low
    return {"value": row.value, "before": before["value"], "ci95_before": before["ci95"], "ok": ok}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate_sampling")
    parser.add_argument("--ways", default=",".join(WAYS), help="comma-separated ways to sample")
    parser.add_argument("--only", default=",".join(PICTURES), help="comma-separated parts of the evaluation")
    args = parser.parse_args()
    known = {row["id"]: row for row in read()}
    for way in args.ways.split(","):
        for part in args.only.split(","):
            with drawn_with(WAYS[way]):
                rows = PARTS[part].run()
            for row in rows:
                print(json.dumps({"id": f"{way}:{row.id}"} | held_against(row, known[row.id])), flush=True)


if __name__ == "__main__":
    main()

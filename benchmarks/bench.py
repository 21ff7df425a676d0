"""Speed of the app on this machine; `make bench`.

Rivals take turns within one run and medians are compared, so that a busy machine slows both.
The last lines are one JSON object each: {"id", "value", "must", "n", "ok"}; the ids stay stable.
"""

import argparse
import json
from dataclasses import asdict

from benchmarks import engine, film, learning, lesson, page, reading, sound, steering

PARTS = {
    "engine": engine.measure,
    "reading": reading.measure,
    "steering": steering.measure,
    "learning": learning.measure,
    "film": film.measure,
    "sound": sound.measure,
    "page": page.measure,
    "class": lesson.measure,
}


def main() -> None:
    """Measure, tell what was measured, and end with the figures for programs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5, help="of every measurement")
    parser.add_argument("--only", choices=list(PARTS), help="leave the other parts out")
    options = parser.parse_args()
    rows = [
        line
        for name, measure in PARTS.items()
        if options.only in (None, name)
        for line in measure(options.repetitions)
    ]
    for line in rows:
        print(json.dumps(asdict(line)), flush=True)


if __name__ == "__main__":
    main()

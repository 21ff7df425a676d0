"""Write the classroom picture model as a complete diffusers folder, for use elsewhere.

Run: `make export`, or `python -m training.export FOLDER`. Afterwards
`StableDiffusionPipeline.from_pretrained(FOLDER)` needs nothing of this repository.
"""

import argparse
from pathlib import Path

from pipelines.image.load import image_pipeline


def export(folder: Path) -> None:
    """Write all parts: in the repository CLIP's text tower is shipped once, in open_clip's format.

    Args:
        folder: where to; made if it is not there.
    """
    image_pipeline("classroom-image").save_pretrained(folder, safe_serialization=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.export")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/classroom-image"))
    folder = parser.parse_args().folder
    export(folder)
    print(f"written to {folder}: StableDiffusionPipeline.from_pretrained({str(folder)!r})")


if __name__ == "__main__":
    main()

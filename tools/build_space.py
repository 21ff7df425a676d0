"""Build the folder of a Hugging Face Space: `make space`.

It holds what the app imports and reads, and nothing of the development: the modules that `app.py` reaches,
what lies beside them (texts, templates, styles, scripts), the assets, the requirements, and a README whose
front matter is the project's.
"""

import argparse
import ast
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("components", "pipelines")
WHOLE = ("LICENSE",)  # as they stand
ZEROGPU_PYTHON = "3.12.12"  # one of two that Spaces of this kind take, and the one that this project can
# Files that are no text. The hub takes such files, and any of more than 10 MB, by Git LFS alone.
BINARY = (".png", ".safetensors", ".woff2")
MADE = {"README.md", "app.py", "assets", ".gitattributes", "requirements.txt", *PACKAGES, *WHOLE}
ABOUT = """
This folder was built by `make space` from the project of the same name. It starts with `python app.py` once
`requirements.txt` is installed, here as on any machine.
"""


def _imported(path: Path) -> Iterator[str]:
    """Dotted names that a module imports at its top; of `from a import b`, "a" and "a.b"."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files_of(name: str) -> Iterator[Path]:
    """The module of that name, if it is ours, and the packages that it lies in."""
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return
    for end in range(1, len(parts) + 1):
        place = ROOT.joinpath(*parts[:end])
        yield from (path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file())


@cache
def modules() -> frozenset[Path]:
    """`app.py` and all modules of ours that it reaches: none is imported inside a function."""
    found: set[Path] = set()
    waiting = [ROOT / "app.py"]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [file for name in _imported(path) for file in _files_of(name)]
    return frozenset(found)


def contents() -> list[Path]:
    """All files that are copied, relative to the repository."""
    read = [p for folder in PACKAGES for p in (ROOT / folder).rglob("*") if p.suffix not in (".py", ".pyc")]
    files = [*modules(), *read, *(ROOT / "assets").rglob("*"), *(ROOT / name for name in WHOLE)]
    return sorted(path.relative_to(ROOT) for path in files if path.is_file())


def requirements(zerogpu: bool) -> str:
    """The one list that a Space reads; of versions that ZeroGPU takes, if it shall."""
    usual = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    if not zerogpu:
        return usual
    others = (ROOT / "requirements-zerogpu.txt").read_text(encoding="utf-8")
    replaced = {line.partition("==")[0] for line in others.splitlines() if not line.startswith("#")}
    kept = [line for line in usual.splitlines() if line.partition("==")[0] not in replaced]
    return "\n".join([*kept, others])


def readme(zerogpu: bool) -> str:
    """The project's README without what links to the development: front matter, beginning, licences."""
    whole = (ROOT / "README.md").read_text(encoding="utf-8")
    front = re.match(r"---\n.*?\n---\n", whole, re.DOTALL)
    beginning = re.search(r"^# .*?(?=^```)", whole, re.DOTALL | re.MULTILINE)
    privacy = re.search(r"^## Privacy and licences\n.*?(?=^## |\Z)", whole, re.DOTALL | re.MULTILINE)
    if not (front and beginning and privacy):
        raise SystemExit("README.md needs front matter, a beginning, and the section 'Privacy and licences'.")
    licences = privacy[0].replace(" (table above)", "")
    matter = front[0]
    if zerogpu:
        matter = re.sub(r'(?<=^python_version: ")[^"]+', ZEROGPU_PYTHON, matter, flags=re.MULTILINE)
    return "\n".join([matter, beginning[0].rstrip(), ABOUT, licences])


def empty(folder: Path) -> None:
    """Remove what an earlier call made, and keep the history of a Space that was cloned here.

    Raises:
        SystemExit: the folder holds something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    there = {path.name for path in folder.iterdir()} - {".git"}
    if others := sorted(there - MADE):
        raise SystemExit(f"{folder} holds {others[0]}, which is no part of a Space; name an empty folder.")
    for path in (folder / name for name in there):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def build(folder: Path, zerogpu: bool = False) -> None:
    """Write a Space into a folder that is empty or holds one already.

    Raises:
        SystemExit: the folder holds something else.
    """
    empty(folder)
    for path in contents():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / path)
    (folder / "README.md").write_text(readme(zerogpu), encoding="utf-8", newline="\n")
    (folder / "requirements.txt").write_text(requirements(zerogpu), encoding="utf-8", newline="\n")
    rules = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in BINARY)
    (folder / ".gitattributes").write_text(rules, encoding="utf-8", newline="\n")


def main() -> None:
    """Build it where the command line says, and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "space")
    parser.add_argument("--zerogpu", action="store_true", help="for a Space without a paid plan")
    said = parser.parse_args()
    folder = said.folder
    build(folder, said.zerogpu)
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    size = sum(path.stat().st_size for path in files) / 2**20
    print(f"{folder}: {len(files)} files, {size:.0f} MiB")


if __name__ == "__main__":
    main()

"""The folder of a Space: all that the app needs, nothing else, and the app starts from it alone."""

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tests.conftest import start_app
from tools import build_space

ROOT = Path(__file__).parents[1]
MIB = 2**20
# Source: huggingface/hub-docs, docs/hub/spaces-config-reference.md
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
KNOWN = {
    "title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "app_file", "python_version", "license",
    "short_description", "pinned", "suggested_hardware", "models", "tags", "startup_duration_timeout",
}  # fmt: skip
# Runs the app as `python app.py` does in its folder, and tells at the end which files it was made of.
TELLING = """
import atexit, runpy, sys
ours = ("components", "pipelines", "training", "benchmarks", "tests", "docs", "tools")
def tell():
    modules = [m for name, m in sys.modules.items() if name.partition(".")[0] in ours]
    open(sys.argv[1], "w").write("\\n".join(m.__file__ for m in modules if m.__file__))
atexit.register(tell)
runpy.run_path("app.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spaces") / "space"
    subprocess.run([sys.executable, ROOT / "tools" / "build_space.py", folder], check=True)
    return folder


def files_of(space: Path) -> list[Path]:
    return [path for path in space.rglob("*") if path.is_file()]


def front_matter(text: str) -> dict[str, object]:
    found = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert found is not None
    said = yaml.safe_load(found[1])
    assert isinstance(said, dict)
    return said


def test_a_space_holds_what_is_in_the_repository_and_no_development(space: Path) -> None:
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    known = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    made = {path.relative_to(space).as_posix() for path in files_of(space)}
    assert made - {".gitattributes"} <= set(known)
    assert {path.split("/")[0] for path in made} == build_space.MADE
    # all of them but the Python files that the app does not import
    left_out = {n for n in known if n.startswith(("assets/", "components/", "pipelines/"))} - made
    assert all(name.endswith(".py") for name in left_out)


def test_its_files_are_those_of_the_repository(space: Path) -> None:
    for path in build_space.contents():
        assert (space / path).read_bytes() == (ROOT / path).read_bytes(), path


def test_its_requirements_are_the_projects(space: Path) -> None:
    assert (space / "requirements.txt").read_bytes() == (ROOT / "requirements.txt").read_bytes()


def test_one_for_zerogpu_takes_other_versions_of_what_is_replaced_and_the_package_itself(
    space: Path, tmp_path: Path
) -> None:
    build_space.build(tmp_path / "space", zerogpu=True)
    usual, other = (
        dict(
            re.findall(r"^([^#\s=]+)==(\S+)$", (folder / "requirements.txt").read_text("utf-8"), re.MULTILINE)
        )
        for folder in (space, tmp_path / "space")
    )
    assert {name for name in other if other[name] != usual.get(name)} == {"torch", "torchvision", "spaces"}
    assert usual.keys() < other.keys()
    listed = (tmp_path / "space" / "requirements.txt").read_text("utf-8")
    assert all(listed.count(f"\n{name}==") == 1 for name in other)
    # Source: huggingface/hub-docs, docs/hub/spaces-zerogpu.md, of August 2026
    assert (
        other["torch"] in ("2.8.0", "2.9.1", "2.10.0", "2.11.0")
        and other["torch"][:4] == other["torchaudio"][:4]
    )
    said, before = (front_matter((f / "README.md").read_text("utf-8")) for f in (tmp_path / "space", space))
    assert said["python_version"] in ("3.12.12", "3.10.13")
    assert said == before | {"python_version": said["python_version"]}


def test_its_front_matter_is_one_that_the_hub_reads(space: Path) -> None:
    said = front_matter((space / "README.md").read_text("utf-8"))
    assert said == front_matter((ROOT / "README.md").read_text("utf-8"))
    assert set(said) <= KNOWN
    assert said["sdk"] == "gradio" and {said["colorFrom"], said["colorTo"]} <= COLOURS
    pinned = re.search(r"^gradio\S*==(\S+)$", (space / "requirements.txt").read_text("utf-8"), re.MULTILINE)
    assert pinned is not None and said["sdk_version"] == pinned[1]
    assert isinstance(said["python_version"], str), "as a number, 3.10 would be 3.1"
    least = re.search(r'target-version = "py(\d)(\d+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert least is not None and said["python_version"] == f"{least[1]}.{least[2]}"
    assert (space / str(said["app_file"])).is_file()
    assert len(str(said["short_description"])) <= 60


def test_its_readme_links_to_what_is_there(space: Path) -> None:
    text = (space / "README.md").read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links and all((space / link).is_file() for link in links)
    assert "table above" not in text


def test_it_keeps_the_hubs_limits(space: Path) -> None:
    """A repository of 1 GB at most; what is no text, or larger than 10 MB, is stored by LFS."""
    files = files_of(space)
    assert sum(path.stat().st_size for path in files) < 100 * MIB
    for path in (path for path in files if path.suffix not in build_space.BINARY):
        assert path.stat().st_size < 10 * MIB
        path.read_text("utf-8")  # raises where it is none
    rules = (space / ".gitattributes").read_text("utf-8").splitlines()
    assert [line.split()[:2] for line in rules] == [[f"*{s}", "filter=lfs"] for s in build_space.BINARY]


def test_it_is_built_anew_beside_a_history_and_over_nothing_else(space: Path, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "of_before.py").touch()
    build_space.empty(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".git"]
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(SystemExit, match=r"thesis\.txt"):
        build_space.build(tmp_path)
    assert (tmp_path / "thesis.txt").exists()
    with pytest.raises(SystemExit):
        build_space.empty(ROOT)


def test_no_module_of_ours_is_imported_by_a_name_that_is_put_together(space: Path) -> None:
    """What would be left out of a Space unseen."""
    for path in space.rglob("*.py"):
        assert not re.search(r"import_module|__import__", path.read_text("utf-8")), path


@pytest.mark.slow
def test_the_app_starts_from_that_folder_alone_and_imports_all_of_it(space: Path, tmp_path: Path) -> None:
    before = files_of(space)
    program = ("-c", TELLING, str(tmp_path / "imported"))
    app = start_app(
        tmp_path, space, without="PYTHONPATH", program=program, STEUERVEKTOR_EXAMPLES="0", MCP="0",
        PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1",
    )  # fmt: skip
    try:
        app.wait()
        assert httpx.get(f"{app.address}/de", timeout=60).status_code == 200
    finally:
        app.stop()
    imported = {Path(line) for line in (tmp_path / "imported").read_text("utf-8").splitlines()}
    assert imported == {path for path in before if path.suffix == ".py" and path.name != "app.py"}
    assert "Traceback" not in app.log.read_text()
    assert files_of(space) == before

"""What may lie in the repository: nothing too large, nothing that runs on loading, no one's own paths."""

import re
import subprocess
from pathlib import Path

import pytest

import app
from docs.take_screenshots import FILLED

ROOT = Path(__file__).parents[1]
MIB = 2**20
PICKLES = {".bin", ".ckpt", ".joblib", ".npy", ".pickle", ".pkl", ".pt", ".pth"}
TEXTS = {"", ".cfg", ".html", ".js", ".json", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml"}
OWN_PATH = re.compile(r"""(?<![\w.:/-])/(home|root|Users|work|mnt)/\w|[A-Z]:\\Users""")


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """Everything that is committed or about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [p for name in listing.split("\0") if name and (p := ROOT / name).is_file()]


def test_no_file_is_too_large(files: list[Path]) -> None:
    assert not [p for p in files if p.stat().st_size >= 48 * MIB]


def test_the_weights_fit_their_budget(files: list[Path]) -> None:
    models = ROOT / "assets" / "models"
    sizes = {p.relative_to(models): p.stat().st_size for p in files if p.is_relative_to(models)}
    pictures = [size for p, size in sizes.items() if p.parts[0] in ("clip", "image", "scorers")]
    assert pictures
    assert sum(pictures) <= 32 * MIB


def test_everything_together_is_small_enough_to_clone(files: list[Path]) -> None:
    assert sum(p.stat().st_size for p in files) <= 48 * MIB


def test_no_weights_can_run_code(files: list[Path]) -> None:
    assert not [p for p in files if p.suffix in PICKLES]


def test_every_model_has_a_card_and_the_sprites_their_licence(files: list[Path]) -> None:
    for weights in (p for p in files if p.suffix == ".safetensors"):
        cards = [folder / "README.md" for folder in weights.parents if folder.is_relative_to(ROOT / "assets")]
        assert any(card in files for card in cards), weights
    assert "SIL OPEN FONT LICENSE" in (ROOT / "assets" / "world" / "LICENSE").read_text(encoding="utf-8")


def test_no_path_of_one_machine(files: list[Path]) -> None:
    for path in (p for p in files if p.suffix in TEXTS and p != Path(__file__)):
        found = OWN_PATH.search(path.read_text(encoding="utf-8"))
        assert not found, f"{path}: {found and found.group()}"


def test_pictures_are_taken_of_every_tab_once_it_is_filled() -> None:
    stems = {"journey", *(stem for _, tabs in app.CHAPTERS for stem in tabs)}
    assert set(FILLED) == stems and all(FILLED.values())


def test_the_proxy_in_the_readme_lets_through_what_the_app_takes_and_streams() -> None:
    """The block was run by hand with nginx; here it is held against what the app says of itself."""
    block = re.search(r"```nginx\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert block is not None
    said = dict(re.findall(r"^\s*([a-z_]+) ([^;{]+);", block[1], re.MULTILINE))
    largest = int(str(app.launch_options()["max_file_size"]).removesuffix("mb"))
    assert int(said["client_max_body_size"].removesuffix("m")) > largest
    assert said["proxy_buffering"] == "off" and said["proxy_http_version"] == "1.1"
    assert said["proxy_pass"].endswith("/")  # without it, the folder would be handed on, too
    headers = dict(re.findall(r"proxy_set_header (\S+) (\S+);", block[1]))
    assert headers["Host"] == headers["X-Forwarded-Host"] == "$http_host"
    assert headers["X-Forwarded-Proto"] == "$scheme"

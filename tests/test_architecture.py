"""The plan of the house: who may import whom, where things lie, and what importing must not do.

app → components → pipelines; training and benchmarks → pipelines. Inside, floors stand on floors below them.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODELS = {"torch", "diffusers", "transformers", "open_clip", "audiocraft"}
PAGE = {"gradio", "plotly"}
OWN = ("app", "components", "pipelines", "training", "benchmarks")
FORBIDDEN = {
    "components": MODELS | {"app", "training", "benchmarks"},
    "pipelines": PAGE | {"app", "components", "training", "benchmarks"},
    "training": PAGE | {"app", "components", "benchmarks"},
    "benchmarks": {"training"},
}
TABS = (
    "journey", "tokens", "embeddings", "context", "control_vector", "clip_matrix", "contrastive", "dino",
    "image", "guidance", "cross_attention", "conditioning", "prompt_lab", "video", "audio", "quiz",
)  # fmt: skip
# What each room may use beside itself. A tab uses what all tabs share, and any pipeline; journey alone, which
# shows them all in small, uses other tabs, and `warm_up` computes their first examples.
PIPELINES = {
    "world": set(),
    "serving": set(),
    "clip": {"serving", "world"},
    "audio": {"serving", "world"},
    "text": {"clip", "serving", "world"},
    "dino": {"clip", "serving", "world"},
    "image": {"text", "clip", "serving", "world"},
    "video": {"image", "dino", "text", "clip", "serving", "world"},
    "journey": {"image", "text", "clip", "dino", "audio", "video", "serving", "world"},
}
SHARED = {"page", "runs", "ui"}
COMPONENTS = {
    "ui": set(),
    "runs": {"ui"},
    "page": {"runs", "ui"},
    "lesson": SHARED,
    **dict.fromkeys(TABS, SHARED),
    "journey": SHARED | set(TABS),
    "warm_up": SHARED | set(TABS),
}
UI_PIPELINES = {"serving", "text"}  # the only pipelines that `components/ui` knows
MODULES = [p for folder in FORBIDDEN for p in sorted((ROOT / folder).rglob("*.py"))]
# Importing a module must not load weights, start a thread or open a connection.
PROBE = """
import socket, sys, threading, importlib
def refuse(*args, **kwargs): raise AssertionError("the import uses the network")
socket.socket.connect = socket.create_connection = refuse
import safetensors, torch, gradio, plotly, transformers, diffusers, open_clip
def loads(*args, **kwargs): raise AssertionError("the import loads weights")
safetensors.safe_open = torch.load = torch.nn.Module.load_state_dict = loads
before = set(threading.enumerate())
for name in sys.argv[1:]: importlib.import_module(name)
assert set(threading.enumerate()) == before, "the import starts a thread"
"""


def name_of(path: Path) -> str:
    """Dotted name of a module of this repository."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a tree imports: of `from a import b`, "a.b"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_used(root: str, path: Path) -> set[str]:
    """Rooms of `components` or `pipelines` that a module imports from, its own left out."""
    found = {name.split(".")[1] for name in imported(tree_of(path)) if name.startswith(f"{root}.")}
    side, room = path.relative_to(ROOT).parts[:2]
    return found - ({room.removesuffix(".py")} if side == root else set())


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_keep_to_their_side(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(tree_of(path))}
    assert not roots & FORBIDDEN[path.relative_to(ROOT).parts[0]]


@pytest.mark.parametrize(("root", "rules"), [("pipelines", PIPELINES), ("components", COMPONENTS)])
def test_rooms_use_only_the_floors_below_them(root: str, rules: dict[str, set[str]]) -> None:
    for path in (ROOT / root).rglob("*.py"):
        room = path.relative_to(ROOT / root).parts[0].removesuffix(".py")
        if room != "__init__":
            assert rooms_used(root, path) <= rules[room], path


def test_what_all_tabs_share_knows_no_kind_of_model() -> None:
    for path in (ROOT / "components" / "ui").rglob("*.py"):
        assert rooms_used("pipelines", path) <= UI_PIPELINES, path


def test_no_module_of_ours_is_imported_inside_a_function() -> None:
    """Circles hide there."""
    for path in [*MODULES, ROOT / "app.py"]:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert not [name for name in imported(node) if name.split(".")[0] in OWN], path


def test_there_is_no_circle_of_modules() -> None:
    names = {name_of(path) for path in MODULES}
    graph = {}
    for path in MODULES:
        parts = (p for name in imported(tree_of(path)) for p in (name, name.rpartition(".")[0]))
        graph[name_of(path)] = {p for p in parts if p in names and p != name_of(path)}
    rooms_only = {name for name in names if (ROOT / name.replace(".", "/")).is_dir()}
    left = {name: used - rooms_only for name, used in graph.items()}
    while free := {name for name, used in left.items() if not used & left.keys()}:
        left = {name: used for name, used in left.items() if name not in free}
    assert not left, "these import each other"


def test_every_name_has_one_import_path() -> None:
    """`from a import b` names the module that defines b, not one that imports it, too."""
    defined: dict[str, set[str]] = {}
    for path in MODULES:
        body = tree_of(path).body
        names = {n.name for n in body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
        stores = (x for n in body if isinstance(n, ast.Assign | ast.AnnAssign) for x in ast.walk(n))
        names |= {x.id for x in stores if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}
        defined[name_of(path)] = names
    tests = sorted((ROOT / "tests").rglob("*.py"))
    for path in [*MODULES, ROOT / "app.py", *tests]:
        for name in imported(tree_of(path)):
            module, _, what = name.rpartition(".")
            if module in defined and name not in defined and not (ROOT / module.replace(".", "/")).is_dir():
                assert what in defined[module], f"{path}: {module} does not define {what}"


@pytest.mark.parametrize("file", ["view.py", "figures.py"])
def test_what_draws_does_not_know_gradio(file: str) -> None:
    found = sorted((ROOT / "components").glob(f"*/{file}"))
    assert found
    for path in found:
        assert "gradio" not in {name.split(".")[0] for name in imported(tree_of(path))}, path


def test_tabs_write_no_html_themselves() -> None:
    for path in (ROOT / "components").glob("*/tab.py"):
        texts = [n.value for n in ast.walk(tree_of(path)) if isinstance(n, ast.Constant)]
        assert not [t for t in texts if isinstance(t, str) and "<" in t], path


@pytest.mark.parametrize("tab", TABS)
def test_a_tab_is_one_room_backed_by_the_pipeline_of_its_name(tab: str) -> None:
    room = ROOT / "components" / tab
    assert (room / "tab.py").exists()
    assert {path.name for path in (room / "texts").iterdir()} == {"en.toml", "de.toml"}
    # the quiz asks about what the other tabs compute
    assert len(list((ROOT / "pipelines").rglob(f"{tab}.py"))) == (0 if tab == "quiz" else 1)


def test_nothing_lies_between_the_rooms() -> None:
    assert {p.name for p in (ROOT / "components").glob("*.*")} == {"__init__.py", "warm_up.py"}
    assert {p.name for p in (ROOT / "pipelines").glob("*.*")} == {"__init__.py", "journey.py"}
    rooms = [p for root in ("components", "pipelines") for p in (ROOT / root).iterdir() if p.is_dir()]
    assert [p for p in rooms if p.name != "__pycache__" and not (p / "__init__.py").exists()] == []


@pytest.mark.slow
def test_importing_does_nothing_else() -> None:
    paths = [p for p in MODULES if p.relative_to(ROOT).parts[0] in ("components", "pipelines")]
    names = [name_of(path) for path in (ROOT / "app.py", *paths)]
    environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *names], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# The clock of the machine can be set at any time, so whatever waits or expires uses one that only goes on
# (`time.monotonic`). Here the clock is meant: files and classes outlive the process, and stay for days.
WALL_CLOCK = {
    "pipelines.serving.temporary": {"time.time"},  # the age of files, against the time that they carry
    "components.lesson.store": {"time.time"},  # when a class was used; those in use stay, whatever it says
}


def test_only_what_outlives_the_process_reads_the_machines_clock() -> None:
    found: dict[str, set[str]] = {}
    for path in (
        p for p in MODULES if p.is_relative_to(ROOT / "pipelines") or p.is_relative_to(ROOT / "components")
    ):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and (name := ast.unparse(node)) in (
                "time.time", "time.time_ns", "datetime.now", "datetime.datetime.now", "datetime.utcnow",
            ):  # fmt: skip
                found.setdefault(name_of(path), set()).add(name)
    assert found == WALL_CLOCK

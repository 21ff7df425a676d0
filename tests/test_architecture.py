"""Dependencies run one way: app → components → pipelines; training and benchmarks → pipelines."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODELS = {"torch", "diffusers", "transformers", "open_clip", "audiocraft"}
PAGE = {"gradio", "plotly"}
FORBIDDEN = {
    "components": MODELS | {"app", "training", "benchmarks"},
    "pipelines": PAGE | {"app", "components", "training", "benchmarks"},
    "training": PAGE | {"app", "components", "benchmarks"},
    "benchmarks": {"training"},
}
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


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_keep_to_their_side(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            imported.add((node.module or "").split(".")[0])
    assert not imported & FORBIDDEN[path.relative_to(ROOT).parts[0]]


@pytest.mark.slow
def test_importing_does_nothing_else() -> None:
    paths = [p for p in MODULES if p.relative_to(ROOT).parts[0] in ("components", "pipelines")]
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in (ROOT / "app.py", *paths)]
    names = [n.removesuffix(".__init__") for n in names]
    environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *names], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

"""What programs, links, stylesheets and reports rely on keeps its name; new names may come.

`interface.json` was written from the app before its modules moved into folders. What is taken away here on
purpose is taken out there, too.
"""

import json
import re
from dataclasses import fields
from pathlib import Path

import gradio as gr
import pytest

import app
from components.page.prompt_bar import BarValues

ROOT = Path(__file__).parents[1]
KEPT = json.loads(Path(__file__).with_name("interface.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def demo() -> gr.Blocks:
    return app.build()


def alternatives(kind: str) -> set[str]:
    """What a type lets in; a list of choices is text."""
    return set(re.sub(r"Literal\['.*?'\]", "str", kind).split(" | "))


def test_endpoints_keep_their_parameters_types_and_defaults(demo: gr.Blocks) -> None:
    named = demo.get_api_info()["named_endpoints"]
    for name, parameters in KEPT["endpoints"].items():
        now = {p["parameter_name"]: p for p in named[f"/{name}"]["parameters"]}
        assert list(parameters) == list(now), name
        for parameter, kept in parameters.items():
            found = now[parameter]
            assert alternatives(found["python_type"]["type"]) == alternatives(kept["type"]), (name, parameter)
            assert found["parameter_has_default"] == ("default" in kept), (name, parameter)
            assert not found["parameter_has_default"] or found["parameter_default"] == kept["default"]


def test_components_keep_their_ids(demo: gr.Blocks) -> None:
    now = {c["props"].get("elem_id") for c in demo.config["components"]}
    assert set(KEPT["elem_ids"]) - now == set()


def test_addresses_keep_their_parameters() -> None:
    assert [f.name for f in fields(BarValues)][: len(KEPT["address"])] == KEPT["address"]


def test_reports_keep_their_rows() -> None:
    benches = "".join(path.read_text("utf-8") for path in (ROOT / "benchmarks").glob("*.py"))
    assert set(KEPT["bench"]) - set(re.findall(r'row\("([\w.]+)"', benches)) == set()
    measured = json.loads((ROOT / "assets" / "evaluation" / "evaluation.json").read_text("utf-8"))["rows"]
    assert set(KEPT["evaluation"]) - {row["id"] for row in measured} == set()

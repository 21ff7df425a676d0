"""The endpoints as `gradio_client` lists them."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

# What a caller has to bring: pictures and texts of one's own have no sensible default.
REQUIRED = {("/clip_matrix", "images"), ("/clip_matrix", "prompts"), ("/dino_features", "images")}
ENDPOINTS = {
    "/follow_prompt", "/tokens", "/embeddings", "/context", "/control_vector", "/steer", "/clip_matrix",
    "/dino_features", "/train_dino",
    "/generate_image", "/guidance_sweep", "/cross_attention", "/switch_prompts", "/cut_blocks",
    "/prompt_variants", "/leave_one_out", "/train_contrastive", "/generate_video", "/generate_film",
    "/generate_audio",
}  # fmt: skip


@pytest.fixture(scope="module")
def listed(client: Client) -> dict[str, Any]:
    return client.view_api(return_format="dict", print_info=False)["named_endpoints"]


def test_each_experiment_is_listed_once_and_nothing_else_is(listed: dict[str, Any]) -> None:
    assert set(listed) == ENDPOINTS


def test_every_parameter_is_named_typed_documented_and_has_its_default(listed: dict[str, Any]) -> None:
    for name, endpoint in listed.items():
        assert endpoint["description"].strip(), name
        assert endpoint["parameters"], name
        for parameter in endpoint["parameters"]:
            where = f"{name} {parameter['parameter_name']}"
            required = (name, parameter["parameter_name"]) in REQUIRED
            assert parameter["parameter_has_default"] is not required, where
            assert parameter["python_type"]["type"] not in ("", "Any"), where
            assert parameter["parameter_name"] in endpoint["description"], where


@pytest.mark.parametrize(
    ("endpoint", "data", "said"),
    [
        ("tokens", '["\\ud800", "", "classroom-clip"]', "prompt has to be a text"),
        ("tokens", '["A cat.", null, "classroom-clip"]', "prompt_b has to be a text"),
        ("tokens", '["A cat.", "", ["\\udfff"]]', "model has to be one from the list"),
        ("generate_image", '["A cat.", "", 1e400, 5, 1, "ddim", ""]', "seed has to be a whole number"),
        ("generate_image", '["A cat.", "", -1, 5, 1, "ddim", ""]', "got -1"),
        (
            "dino_features",
            '[[{"path": "/etc/passwd", "meta": {}}], "classroom-dino", "classroom-clip"]',
            "picture",
        ),
    ],
)
def test_a_broken_value_gets_its_sentence_over_the_wire_and_no_line_of_traceback(
    server: str, server_log: Path, endpoint: str, data: str, said: str
) -> None:
    call = f"{server}/gradio_api/call/{endpoint}"
    headers = {"Content-Type": "application/json"}
    before = len(server_log.read_text())
    begun = httpx.post(call, content=f'{{"data": {data}}}', headers=headers)
    answer = httpx.get(f"{call}/{begun.json()['event_id']}", timeout=60).text
    assert "event: error" in answer and said in answer
    assert "TypeError" not in server_log.read_text()[before:]


def test_an_unusable_input_is_explained_and_the_app_goes_on(client: Client) -> None:
    with pytest.raises(AppError, match=r"model has to be one from the list.*nonsense"):
        client.predict(prompt="A cat.", model="nonsense", api_name="/tokens")
    assert client.predict(prompt="A cat.", api_name="/tokens")

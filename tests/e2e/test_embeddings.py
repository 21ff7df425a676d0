"""The embeddings tab as visitors and programs use it."""

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

MAP = "document.querySelector('#embedding-map .js-plotly-plot')"


def open_map(page, path="/", **options):
    view = page(f"{path}?tab=embeddings", **options)
    view.locator("#embedding-map .js-plotly-plot").wait_for(timeout=180_000)
    view.locator("#embedding-sum .em-answer").wait_for(timeout=180_000)
    return view


def test_tab_opens_with_everything_drawn_and_follows_the_prompt(kept):
    view = open_map(kept)
    pictures = view.locator("#embedding-map .imagelayer image, #embedding-map .layer-below .imagelayer image")
    pictures.first.wait_for(state="attached")
    assert pictures.count() >= 200
    for part in ("#embedding-strip", "#embedding-words", "#direction-steps", "#direction-overview"):
        view.locator(f"{part} .js-plotly-plot").wait_for()
    before = view.evaluate(f"{MAP}.data[4].x[0]")
    view.locator("#prompt textarea").fill("three blue birds in the snow")
    view.locator("#embedding-neighbours", has_text="three blue birds").wait_for()
    view.wait_for_function(f"{MAP}.data[4].x[0] !== {before}")
    assert view.locator("#embedding-neighbours .em-card").count() == 16


def test_tsne_waits_for_its_button_and_says_when_it_is_out_of_date(kept):
    view = open_map(kept, "/de")
    view.locator("#embedding-method label", has_text="t-SNE").click()
    view.locator("#embedding-compute").click()
    view.locator("#embedding-note", has_text="t-SNE").wait_for(timeout=180_000)
    view.locator("#embedding-compute").wait_for(state="hidden")
    view.locator("#prompt textarea").fill("a drum")
    view.locator("#embedding-compute").wait_for(state="visible")
    view.wait_for_function(f"{MAP}.data[4].opacity < 0.5")


def test_three_dimensions_follow_the_prompt_too(kept):
    view = open_map(kept)
    view.locator("#embedding-axes label", has_text="3D").click()
    view.wait_for_function(f"{MAP}.data[0].type === 'scatter3d'")
    before = view.evaluate(f"{MAP}.data[4].z[0]")
    view.locator("#prompt textarea").fill("a drum")
    view.wait_for_function(f"{MAP}.data[4].z[0] !== {before}")


def test_direction_and_sum_answer_to_their_controls(kept):
    view = open_map(kept)
    view.locator("#direction-setting label", has_text="long").click()
    view.locator("#direction-verdict", has_text="long sentences").wait_for()
    view.locator("#sum-add textarea").fill("bird")
    view.locator("#embedding-sum .em-equation", has_text="bird").wait_for()
    view.locator("#sum-add textarea").fill("")
    view.locator("#embedding-sum .em-message").wait_for()
    view.locator("#sum-add textarea").fill("cat")  # as it was
    view.locator("#embedding-sum .em-answer").wait_for()


def test_markup_stays_text_and_an_empty_prompt_gets_a_calm_sentence(kept):
    view = open_map(kept)
    view.evaluate("window.hacked = false")
    view.locator("#prompt textarea").fill("<img src=x onerror='window.hacked = true'> a cat")
    view.locator("#embedding-neighbours", has_text="<img src=x").wait_for()
    assert view.evaluate("window.hacked") is False
    view.locator("#prompt textarea").fill("")
    view.locator("#embedding-neighbours .em-message").wait_for()
    view.locator("#prompt textarea").fill("a cat")
    view.locator("#embedding-neighbours .em-card").first.wait_for()


def test_tab_fits_a_phone(page):
    view = open_map(page, "/de", width=390, height=844)
    assert view.evaluate("document.documentElement.scrollWidth") <= 390
    view.wait_for_function(f"{MAP}.clientHeight < 420")


def test_program_gets_vector_neighbours_and_place(client: Client):
    answer = client.predict(prompt="a red car", prompt_b="a blue car", api_name="/embeddings")
    assert len(answer["vector"]) == len(answer["vector_b"])
    assert len(answer["neighbours"]) == 8
    assert answer["words"][0]["word"] == "blue"
    with pytest.raises(AppError, match="needs a text"):
        client.predict(prompt=" ", api_name="/embeddings")
    with pytest.raises(AppError, match="1 to 50"):
        client.predict(prompt="a cat", neighbours=0, api_name="/embeddings")

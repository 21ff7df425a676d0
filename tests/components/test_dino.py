"""The DINO tab without a browser: what it draws, what it accepts, what it answers."""

import io
import json
import math
import re
from dataclasses import replace
from html import unescape
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from components.dino import tab
from components.dino import training as dino_training
from components.dino import training_view as dino_training_view
from components.dino.training import train_dino
from components.dino.training_view import state_of, training_html
from components.dino.view import first_patch, neighbours_html, patches_html
from components.ui.language import load_texts
from pipelines.dino import dino as pipeline
from pipelines.dino.dino import Neighbours
from pipelines.dino.training import PROTOTYPES, DinoRecord, Settings, look
from pipelines.serving.errors import InputError
from pipelines.serving.live_training import trainings
from tests.oracles import pixels

EN, DE = load_texts("en"), load_texts("de")
MODEL, CLIP = "classroom-dino", "classroom-clip"
TOP = math.log(PROTOTYPES)


@pytest.fixture(scope="module")
def bench() -> tab.DinoState:
    return tab.drawn((1, 2))


def data_of(html: str) -> dict:
    return json.loads(unescape(re.search(r'data-dino="([^"]*)"', html)[1]))


def test_the_page_holds_what_the_model_said(bench) -> None:
    seen = pipeline.look_at(bench.pictures, MODEL)
    data = data_of(patches_html(seen, EN))
    assert data["grid"] == seen.grid == 16 and len(data["pictures"]) == 2
    similarity = pixels(data["similarity"]) / 127.5 - 1
    np.testing.assert_allclose(similarity, seen.similarity, atol=0.005)
    assert data["first"] == first_patch(seen) == seen.foreground[0].argmax()
    np.testing.assert_allclose(pixels(data["colours"][1]) / 255, seen.colours[1], atol=0.003)


def test_a_heads_tile_lies_where_the_script_looks_for_it(bench) -> None:
    seen = pipeline.look_at(bench.pictures, MODEL)
    tiles = pixels(data_of(patches_html(seen, EN))["attention"]) / 255
    _, layers, heads, grid, _ = seen.attention.shape
    for picture, layer, head in ((0, 0, 0), (1, layers - 1, 2), (0, 1, 3)):
        left, top = (picture * heads + head) * grid, layer * grid
        expected = seen.attention[picture, layer, head]
        found = tiles[top : top + grid, left : left + grid]
        np.testing.assert_allclose(found, expected / expected.max(), atol=0.005)


def test_both_languages_say_it_in_their_own_way(bench) -> None:
    seen = pipeline.look_at(bench.pictures, MODEL)
    german = patches_html(seen, DE)
    assert DE("dino.heads_title") in unescape(german) and data_of(german)["decimal"] == ","
    one = patches_html(pipeline.look_at(bench.pictures[:1], MODEL), EN)
    assert one.count('data-tile="like"') == 1 and len(data_of(one)["pictures"]) == 1


def test_only_truth_gives_ticks() -> None:
    gallery = pipeline.gallery()
    own = gallery[0]
    same = next(i for i, k in enumerate(gallery[1:], 1) if k.nouns == own.nouns)
    other = next(i for i, k in enumerate(gallery) if k.nouns != own.nouns)
    row = Neighbours("dino", (0, same, other), (1.0, 0.9, 0.8))
    html = neighbours_html([row], gallery, own, EN)
    assert html.count('class="hit"') == 2 and EN("dino.hits", hits=2, total=3) in html
    unknown = neighbours_html([row], gallery, None, EN)
    assert 'class="hit"' not in unknown and "of 3 show" not in unknown


def test_uploads_come_first_and_lose_the_truth(bench) -> None:
    sent = Image.new("RGB", (50, 50), "red")
    one = tab.with_uploads(bench, [sent])
    assert one.pictures == (sent, bench.pictures[0]) and one.known == (None, bench.known[0])
    both = tab.with_uploads(bench, [sent, sent])
    assert both.pictures == (sent, sent) and both.known == (None, None)
    assert tab.exchanged(one).pictures == one.pictures[::-1]


def test_what_cannot_be_computed_says_why(bench) -> None:
    shown, patches, near = tab.looked(bench, "nonsense", CLIP, DE)
    assert 'role="alert"' in patches and "nonsense" in patches and near == ""
    assert shown.model == "nonsense"
    _, patches, near = tab.looked(bench, MODEL, CLIP, DE)
    assert 'data-state="done"' in patches and near.count("<section") == 3


def record(entropy: float = 1.0, variety: float = 2.0, spread: float = 0.7) -> DinoRecord:
    first = dino_training.first_record()
    return replace(first, entropy=entropy, variety=variety, spread=spread)


@pytest.mark.parametrize(
    "entropy, variety, steps, state",
    [
        (1.0, 2.0, 10, "early"),
        (1.0, 2.0, 40, "fine"),
        (0.0, 0.1, 40, "one"),
        (0.1, 0.69, 40, "one"),
        (0.999 * TOP, TOP, 40, "same"),
    ],
)
def test_the_verdict(entropy, variety, steps, state) -> None:
    records = [record(entropy, variety)] * (steps + 1)
    assert state_of(records) == state
    html = training_html(records, EN)
    assert f'data-verdict="{state}"' in html and f'data-last="{steps}"' in html


def test_the_page_shows_crops_and_distributions() -> None:
    first = dino_training.first_record()
    seen, html = look(*first.seen), training_html([first], EN)
    crops = re.findall(r'<img class="(large|small)" src="([^"]+)"', html)
    assert [size for size, _ in crops] == ["large"] * 4 + ["small"] * 4  # the teacher sees no small ones
    assert np.array_equal(pixels(crops[0][1]), seen.large[0])
    assert np.array_equal(pixels(crops[-1][1]), seen.small[3])
    bars = re.search(r'data-side="teacher".*?</svg>', html, re.DOTALL)[0]
    heights = [float(h) for h in re.findall(r'height="([\d.]+)"', bars)]
    np.testing.assert_allclose(heights, 100 * np.sqrt(first.targets), atol=0.06)


def test_changes_are_marked_where_they_were_made() -> None:
    same, off = record(), replace(record(), settings=Settings(centering=False))
    assert dino_training_view._changes([same, same, same, off, off]) == [2]
    assert training_html([same, same, off], EN).count('class="change"') == 3  # one a meter


def test_a_program_gets_the_features(upload, bench) -> None:
    files = [upload(p, f"{i}.png") for i, p in enumerate(bench.pictures)]
    answer = tab.dino_features(files)
    seen = pipeline.look_at(bench.pictures, MODEL)
    np.testing.assert_allclose(answer["similarity"], seen.similarity, atol=0.001)
    assert set(answer["neighbours"]) == {"dino", "clip", "pixels"} and answer["grid"] == 16
    json.dumps(answer)


@pytest.mark.parametrize(
    "count, content, key",
    [(0, b"", "dino_pictures"), (3, b"x", "dino_pictures"), (1, b"only words", "picture_not_supported")],
)
def test_a_program_hears_what_is_wrong(upload, count, content, key) -> None:
    with pytest.raises(InputError, match=key):
        tab.dino_features([upload(content, f"{i}.png") for i in range(count)])


def test_a_corrupt_picture_is_named(upload, bench) -> None:
    good = io.BytesIO()
    bench.pictures[0].save(good, "PNG")
    with pytest.raises(InputError, match="picture_broken"):
        tab.dino_features([upload(good.getvalue()[:900])])


def test_identical_pictures_are_compared_like_any_others(upload, bench) -> None:
    answer = tab.dino_features([upload(bench.pictures[0], "a.png"), upload(bench.pictures[0], "b.png")])
    assert answer["colours"][0] == answer["colours"][1]
    similarity = np.array(answer["similarity"])
    np.testing.assert_allclose(similarity[:, :256], similarity[:, 256:], atol=0.002)


def test_a_program_trains_and_leaves_nothing_behind() -> None:
    before = len(trainings)
    answer = train_dino(steps=3, seed=4)
    assert len(answer["entropy"]) == 4 and len(answer["loss"]) == 3 and answer["state"] == "early"
    assert train_dino(steps=3, seed=4) == answer
    assert len(trainings) == before


@pytest.mark.parametrize(
    "call, key",
    [
        ({"momentum": 1}, "momentum_range"), ({"momentum": 2.5}, "momentum_range"),
        ({"momentum": math.nan}, "momentum_range"), ({"steps": 0}, "dino_steps"),
        ({"steps": 10**6}, "dino_steps"), ({"seed": -1}, "seed_range"),
    ],
)  # fmt: skip
def test_unusable_settings_are_refused_before_anything_begins(call, key) -> None:
    before = len(trainings)
    with pytest.raises(InputError, match=key):
        train_dino(**call)
    assert len(trainings) == before


def test_an_earlier_step_is_shown_as_it_was() -> None:
    """Verdict, numbers, crops and distributions of the step; the curves whole, with a mark there."""
    fresh = dino_training.first_record()
    records = [
        replace(fresh, entropy=i / 20, variety=0.1 if i > 30 else 2.0, seen=(0, max(0, i - 1)),
                targets=np.roll(fresh.targets, i))
        for i in range(61)
    ]  # fmt: skip
    then, now = training_html(records, EN, 28), training_html(records, EN)
    assert re.search(r'data-verdict="(\w+)"', then)[1] == "fine"
    assert re.search(r'data-verdict="(\w+)"', now)[1] == "one"
    assert 'data-at="28" data-last="60"' in then and 'data-at="60" data-last="60"' in now
    assert "<output>1.40</output>" in then and "<output>3.00</output>" in now
    crops = re.findall(r'<img class="large" src="([^"]+)"', then)
    assert np.array_equal(pixels(crops[0]), look(0, 27).large[0])
    bars = re.search(r'data-side="teacher".*?</svg>', then, re.DOTALL)[0]
    heights = [float(h) for h in re.findall(r'height="([\d.]+)"', bars)]
    np.testing.assert_allclose(heights, 100 * np.sqrt(records[28].targets), atol=0.06)
    x = 100 * 28 / 60
    assert then.count(f'class="at" x1="{x:.2f}"') == 3 and 'class="at"' not in now
    curve = re.search(r'data-meter="entropy".*?</svg>', then, re.DOTALL)[0]
    later, before = (re.findall(r"([\d.]+),", points) for points in re.findall(r'points="([^"]+)"', curve))
    assert (float(before[0]), float(before[-1])) == (0, round(x, 2))
    assert (float(later[0]), float(later[-1])) == (round(x, 2), 100)


@pytest.mark.parametrize("asked, shown", [(-3, 0), (99, 2)])
def test_a_step_that_is_not_there_shows_the_nearest(asked, shown) -> None:
    assert f'data-at="{shown}"' in training_html([record()] * 3, EN, asked)


SOMEBODY = SimpleNamespace(session_hash="somebody")
DIALS = (0.95, True, True)


def at(step: int) -> gr.EventData:
    return gr.EventData(None, {"step": step})


def shown_step(html: str) -> tuple[int, int, bool]:
    found = re.search(r'data-at="(\d+)" data-last="(\d+)" data-most="\d+" data-running="(\w+)"', html)
    return int(found[1]), int(found[2]), found[3] == "true"


def test_a_visitor_trains_pauses_changes_and_goes_on(monkeypatch) -> None:
    monkeypatch.setattr(dino_training, "PACE", 0.0)
    go, one = dino_training._training(EN, 500), dino_training._training(EN, 1)
    pause, _, change, enter = dino_training._handlers(EN)
    run = go(at(0), SOMEBODY, "", *DIALS)
    html, key = next(run)
    assert trainings.holds(key) and shown_step(html) == (0, 0, True)
    next(run), next(run)
    change(key, 0.5, False, True)
    paused = shown_step(pause(key))
    assert not paused[2]
    assert shown_step(list(run)[-1][0])[2] is False, "the stream says, too, that it rests"
    done = len(trainings.records(key)) - 1
    views = [html for html, _ in one(at(done), SOMEBODY, key, 0.5, False, True)]
    assert shown_step(views[0]) == (done, done, True) and shown_step(views[-1]) == (done + 1, done + 1, False)
    assert trainings.records(key)[-1].settings == Settings(0.5, False, True)
    assert shown_step(enter(key)) == (done + 1, done + 1, False)
    trainings.leave("somebody")


def test_a_visitor_goes_back_and_takes_another_way(monkeypatch) -> None:
    monkeypatch.setattr(dino_training, "PACE", 0.0)
    go, one = dino_training._training(EN, 6), dino_training._training(EN, 1)
    back = dino_training._handlers(EN)[1]
    views = list(go(at(0), SOMEBODY, "", *DIALS))
    key, before = views[0][1], trainings.records(views[0][1])
    assert shown_step(back(at(2), key)) == (2, 6, False)
    assert trainings.records(key) == before, "looking back changes nothing"
    list(one(at(2), SOMEBODY, key, 0.95, True, False))
    other = trainings.records(key)
    assert len(other) == 4 and other[3].settings.sharpening is False
    assert other[3].entropy > before[3].entropy
    list(one(at(2), SOMEBODY, key, *DIALS))
    assert trainings.records(key)[3].loss == before[3].loss, "the same way again, to the bit"
    trainings.leave("somebody")


def test_looking_back_silences_a_run(monkeypatch) -> None:
    monkeypatch.setattr(dino_training, "PACE", 0.0)
    run = dino_training._training(EN, 500)(at(0), SOMEBODY, "", *DIALS)
    _, key = next(run)
    next(run), next(run)
    assert shown_step(dino_training._handlers(EN)[1](at(1), key))[::2] == (1, False)
    assert all(shown_step(html)[2] for html, _ in run), "nothing that would move the slider again"
    trainings.leave("somebody")


def test_a_quick_double_start_leaves_one_training_and_only_its_stream() -> None:
    first = dino_training._training(EN, 200)(at(0), SOMEBODY, "", *DIALS)
    _, lost = next(first)
    second = dino_training._training(EN, 1)(at(0), SOMEBODY, "", *DIALS)
    _, kept = next(second)
    assert not trainings.holds(lost) and trainings.holds(kept)
    assert list(first) == []
    list(second)
    trainings.leave("somebody")


def test_new_weights_are_others_and_free_the_old_ones() -> None:
    renew = dino_training._renewing(EN)
    html, first = renew(SOMEBODY, "", *DIALS)
    assert shown_step(html) == (0, 0, False)
    seed = trainings.learner(first).seed
    _, second = renew(SOMEBODY, first, *DIALS)
    assert not trainings.holds(first) and trainings.learner(second).seed == seed + 1
    trainings.leave("somebody")


def test_what_is_gone_begins_anew_or_says_so() -> None:
    with pytest.raises(gr.Error, match="put away"):
        dino_training._handlers(EN)[1](at(1), "gone")
    html, key = next(dino_training._training(EN, 1)(at(7), SOMEBODY, "gone", *DIALS))
    assert trainings.holds(key) and shown_step(html) == (0, 0, True)
    trainings.leave("somebody")


@pytest.mark.parametrize("momentum", [1, 1.2, -0.5, math.nan])
def test_the_page_refuses_a_momentum_of_one_or_beyond(momentum) -> None:
    before = len(trainings)
    with pytest.raises(gr.Error, match=r"0\.999"):
        next(dino_training._training(EN, 1)(at(0), SOMEBODY, "", momentum, True, True))
    with pytest.raises(gr.Error, match=r"0\.999"):
        dino_training._handlers(EN)[2]("", momentum, True, True)
    assert len(trainings) == before


def test_two_visitors_have_two_models() -> None:
    go = dino_training._training(EN, 9)
    runs = [go(at(0), SimpleNamespace(session_hash=name), "", *DIALS) for name in ("a", "b")]
    keys = [next(run)[1] for run in runs]
    assert trainings.learner(keys[0]) is not trainings.learner(keys[1])
    for name in ("a", "b"):
        trainings.leave(name)
    assert not any(trainings.holds(key) for key in keys)

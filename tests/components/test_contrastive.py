"""The tab of contrastive learning without a browser: streams, desk, drawings, endpoint."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gradio.utils import get_upload_folder
from PIL import Image

from components.contrastive import state as bench
from components.contrastive import tab
from components.contrastive.api import train_contrastive
from components.contrastive.state import (
    EXPERIMENTS,
    TrainingState,
    begun,
    first_desk,
    pulse_of,
    strip_of,
    train,
    with_captions,
    with_own_pictures,
    without,
)
from components.contrastive.view import pulse_html
from components.ui import uploads
from components.ui.language import load_texts
from components.ui.uploads import accept_named
from pipelines.clip.contrastive_pairs import own_pairs
from pipelines.serving.errors import InputError
from pipelines.serving.live_training import trainings

EN, DE = load_texts("en"), load_texts("de")
HOSTILE = "<img src=x onerror=alert(1)>\"' ${1+1} {{value}}"


def content(page: str, name: str) -> dict:
    found = re.search(f'data-{name}="([^"]*)"', page)
    assert found
    return json.loads(html.unescape(found[1]))


@pytest.fixture
def desk() -> Iterator[TrainingState]:
    made, _ = begun(first_desk(), "pairs", 16, None, "tester", EN)
    yield made
    trainings.leave("tester")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("t", [EN, DE])
def test_the_stage_rings_what_is_trained(experiment: str, t) -> None:
    desk, page = begun(first_desk(), experiment, 4, None, "tester", t)
    learner = trainings.learner(desk.key)
    ringed = [int(at) for at in re.findall(r'ringed" data-at="(\d+)"', page)]
    own = [i * 5 + i for i in range(5)]
    trained = sorted(i * 5 + target for i, target in enumerate(learner.targets))
    assert sorted(ringed) == sorted(own * 2 + trained)  # unseen, classroom; pairs
    data = content(page, "contrastive")
    assert data["number"] == desk.number and data["count"] == 5
    assert (data["floor"] > 0.2) == (experiment == "twins")
    assert (trained != own) == (experiment == "swapped")
    trainings.leave("tester")


def test_texts_of_visitors_are_escaped(desk) -> None:
    hostile = with_captions(desk, [HOSTILE, "b", "c", "d", "e"])
    _, page = begun(hostile, "pairs", 16, None, "tester", EN)
    assert "<img src=x" not in page and HOSTILE in html.unescape(page)


def test_a_stream_tells_every_step_and_ends_with_all(desk, monkeypatch) -> None:
    monkeypatch.setattr(bench, "SHOWN_EVERY", 0.0)
    pulses = [content(page, "pulse") for page in train(desk, None, 0.0, 9)]
    assert [pulse["running"] for pulse in pulses] == [True] * (len(pulses) - 1) + [False]
    records: dict[int, list] = {}
    for pulse in pulses[::3][:-1]:  # two in three are lost
        records |= {pulse["first"] + i: record for i, record in enumerate(pulse["records"])}
        assert sorted(records) == list(range(pulse["total"]))
    assert pulses[-1]["first"] == 0 and len(pulses[-1]["records"]) == pulses[-1]["total"] == 10
    for record, told in zip(trainings.records(desk.key), pulses[-1]["records"], strict=True):
        np.testing.assert_allclose(np.array(told[0]) / 1e4, record.similarity.ravel(), atol=6e-5)
        assert told[2] == round(record.loss, 4) and told[4] == round(record.accuracy, 4)


def test_a_run_that_another_replaces_falls_silent(desk) -> None:
    first = train(desk, None, 0.0)
    next(first), next(first)
    second = train(desk, 0, 0.0, 2)
    next(second)
    assert all(content(page, "pulse")["running"] for page in first)
    *_, last = second
    assert content(last, "pulse")["total"] == 3


def test_a_pause_ends_the_stream_with_all_steps(desk) -> None:
    stream = train(desk, None, 0.0)
    next(stream), next(stream)
    trainings.pause(desk.key)
    last = content(list(stream)[-1], "pulse")
    assert not last["running"] and last["total"] == len(trainings.records(desk.key))


def test_a_new_training_frees_the_last_one(desk) -> None:
    after, _ = begun(desk, "many", 4, 0.5, "tester", EN)
    assert not desk.there and after.there and after.number > desk.number
    assert pulse_of(desk) == ""
    with pytest.raises(InputError, match="training_gone"):
        list(train(desk, None, 0.0))


def test_a_quick_double_start_leaves_one_training_and_only_its_stream(desk) -> None:
    """Both starts see the desk from before: the second used to know nothing of the first's training."""
    given = ("pairs", 16, "learned", 0.07, "fast")
    first = tab._fresh(first_desk(), given, "double", 200, EN)
    lost = next(first)[0]
    second = tab._fresh(first_desk(), given, "double", 2, EN)
    kept = next(second)[0]
    assert not lost.there and kept.there
    assert list(first) == []
    assert not content(list(second)[-1][2], "pulse")["running"]
    trainings.leave("double")


def test_own_pictures_replace_drawn_ones_and_follow_each_other() -> None:
    noise = [Image.effect_noise((500, 300), 40 + 30 * i).convert("RGB") for i in range(3)]
    one = with_own_pictures(first_desk(), noise[:1], ["up/my_first-cat.png"])
    assert one.pairs.captions == ("my first cat",) and max(one.pairs.images[0].size) <= 384
    three = with_own_pictures(one, noise[1:], ["b.png", "c.png"])
    assert three.pairs.captions == ("my first cat", "b", "c")
    ready = with_captions(three, ["x", "y", "z"])
    assert len(ready.pairs.unseen_captions) == 6
    assert strip_of(three, EN).count("<img") == strip_of(three, EN).count("data-remove") == 3
    with pytest.raises(InputError, match="pairs_count"):
        begun(one, "pairs", 16, None, "tester", EN)
    with pytest.raises(InputError, match="pairs_uneven"):
        with_captions(three, ["x", "y"])
    with pytest.raises(InputError, match="caption_empty"):
        with_captions(three, ["x", "", "z"])


def noise(count: int) -> list[Image.Image]:
    return [Image.effect_noise((80, 60), 40 + 30 * i).convert("RGB") for i in range(count)]


def brought(count: int) -> TrainingState:
    return with_own_pictures(first_desk(), noise(count), [f"{name}.png" for name in "abcdefghij"[:count]])


def test_a_picture_goes_with_its_line() -> None:
    three = brought(3)
    two, box = without(three, 1, "my a\nmy b\nmy c")
    assert box == "my a\nmy c" and two.pairs.captions == ("my a", "my c")
    assert two.pairs.images == (three.pairs.images[0], three.pairs.images[2])
    assert len(two.pairs.subjects) == 2 and two.waiting
    assert EN("contrastive.caption_now") in html.unescape(strip_of(two, EN))
    trained, _ = begun(two, "pairs", 16, None, "tester", EN)
    assert not trained.waiting and len(trainings.learner(trained.key).pairs) == 2
    trainings.leave("tester")


def test_where_lines_and_pictures_differ_in_number_each_picture_keeps_its_own_caption() -> None:
    left, box = without(brought(3), 0, "only one line")
    assert left.pairs.captions == ("b", "c") and box == "b\nc"


def test_a_missing_caption_keeps_the_others_waiting(desk) -> None:
    left, _ = without(desk, 4, "one\n\nthree\nfour\nfive")
    assert left.waiting and len(left.pairs) == 4
    with pytest.raises(InputError, match="caption_empty"):
        begun(left, "pairs", 16, None, "tester", EN)


@pytest.mark.parametrize("count", [1, 2])
def test_the_last_pictures_stay_until_others_come(count: int) -> None:
    few = brought(count)
    with pytest.raises(InputError, match="pairs_needed") as error:
        without(few, 0, "a\nb")
    assert error.value.values == {"fewest": 2}
    more = with_own_pictures(few, [Image.new("RGB", (9, 9), "red")], ["red.png"])
    if count == 2:
        assert without(more, 0, "")[0].pairs.captions == ("b", "red")


def test_too_many_pictures_can_be_thinned_out() -> None:
    nine = brought(9)
    with pytest.raises(InputError, match="pairs_count"):
        begun(nine, "pairs", 16, None, "tester", EN)
    eight, _ = without(nine, 3, "")
    with_captions(eight, eight.pairs.captions)


@pytest.mark.parametrize("place", [-1, 5, 99])
def test_a_picture_that_is_gone_already_changes_nothing(desk, place: int) -> None:
    assert without(desk, place, "as it was") == (desk, "as it was")


def test_unseen_pairs_of_own_pictures_are_not_called_the_same_things(desk) -> None:
    for pairs, key in ((desk.pairs, "unseen_hint"), (own_pairs(noise(3), ["a", "b", "c"]), "unseen_others")):
        _, page = begun(TrainingState(pairs), "twins", 16, None, "tester", EN)
        assert EN(f"contrastive.{key}") in html.unescape(page)
    trainings.leave("tester")


def test_pulses_are_inert_text() -> None:
    assert pulse_html(1, (), 0, False).startswith("<div hidden data-pulse=")


def test_the_endpoint_trains_as_asked_and_frees_its_model() -> None:
    before = len(trainings)
    answer = train_contrastive(pairs=3, experiment="twins", steps=4, temperature=0.5)
    assert len(trainings) == before
    assert [len(answer[k]) for k in ("loss", "accuracy", "unseen_loss", "temperature")] == [5] * 4
    assert answer["captions"][0] == answer["captions"][1]
    assert answer["temperature"] == [0.5] * 5 and answer["lowest_loss"] == pytest.approx(2 / 3 * np.log(2))
    assert np.shape(answer["similarity"]) == np.shape(answer["classroom_similarity"]) == (3, 3)
    assert answer == train_contrastive(pairs=3, experiment="twins", steps=4, temperature=0.5)
    # JSON and language models write whole numbers so, too
    written = {"pairs": 3.0, "steps": 4.0, "seed": 0.0, "batch_size": 16.0}
    assert answer == train_contrastive(experiment="twins", temperature=0.5, **written)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "asked, key",
    [({"steps": 0}, "steps_range"), ({"steps": 201}, "steps_range"), ({"pairs": 1}, "pairs_count"),
     ({"experiment": "x"}, "experiment_unknown"), ({"batch_size": 99}, "batch_range"),
     ({"temperature": 9}, "fixed_temperature_range"), ({"seed": -1}, "seed_range"),
     ({"temperature": float("nan")}, "fixed_temperature_range"), ({"pairs": 9}, "pairs_count")],
)  # fmt: skip
def test_the_endpoint_refuses_what_it_cannot_do(asked: dict, key: str) -> None:
    with pytest.raises(InputError, match=key):
        train_contrastive(**asked)


def test_a_refused_file_takes_its_name_along(monkeypatch, tmp_path) -> None:
    """A broken file among good ones: every picture keeps its own file's name as a caption."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    said: list[str] = []
    monkeypatch.setattr(uploads.gr, "Warning", lambda text, title: said.append(text))
    for name, image in zip("abc", noise(3), strict=True):
        image.save(folder / f"{name}.png")
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:300])
    names, images = accept_named([str(folder / f"{name}.png") for name in "abc"], bench.MOST_AT_ONCE, EN)
    assert names == ["a.png", "c.png"] and len(said) == 1 and said[0].startswith("b.png: ")
    desk = with_own_pictures(first_desk(), images, names)
    assert desk.pairs.captions == ("a", "c") and len(desk.pairs.images) == 2
    with pytest.raises(InputError, match="picture_broken"):
        accept_named([str(folder / "b.png")], bench.MOST_AT_ONCE, EN)


def test_corrupt_and_foreign_files_are_refused(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    good, cut = folder / "a.png", folder / "b.png"
    Image.effect_noise((40, 40), 80).save(good)
    cut.write_bytes(good.read_bytes()[:300])
    outside = tmp_path / "c.png"
    outside.write_bytes(good.read_bytes())
    for files, key in (((good, cut), "picture_broken"), ((good, outside), "picture_not_uploaded"),
                       ((good, good), "pictures_same"), ((good,), "pairs_count")):  # fmt: skip
        with pytest.raises(InputError, match=key):
            train_contrastive(images=[{"path": str(f)} for f in files], captions=["a", "b"])  # type: ignore[list-item]
    other = folder / "d.png"
    Image.effect_noise((40, 40), 20).save(other)
    for captions, key in ((["a", " "], "caption_empty"), (["a"], "pairs_uneven"), (None, "pairs_uneven")):
        with pytest.raises(InputError, match=key):
            train_contrastive(images=[{"path": str(f)} for f in (good, other)], captions=captions)  # type: ignore[list-item]

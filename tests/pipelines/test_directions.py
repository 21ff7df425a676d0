"""Transfer of attribute directions, on hand-built vectors and on the real model."""

import numpy as np
import pytest

from pipelines.clip import directions
from pipelines.clip import model as clip
from pipelines.clip import world_texts as world
from pipelines.serving.errors import InputError
from pipelines.world.captions import holds
from pipelines.world.scene import NOUNS, RELATIONS

MODEL = "classroom-clip"


def test_a_shared_direction_transfers_completely():
    objects = np.random.default_rng(0).normal(size=(5, 8))
    step = np.eye(8)[2] * 0.7
    found = directions.leave_one_out(objects + step, objects)
    assert found.share == 1.0
    assert found.cosine == pytest.approx(np.ones(5))
    assert found.projection[:, 1] - found.projection[:, 0] == pytest.approx(np.full(5, 0.7))


def test_an_object_never_votes_on_its_own_direction():
    # The first object's own step is so long that it would decide any average it is part of.
    steps = np.array([[10.0, -0.1], [0.0, 1.0], [0.0, 1.0]])
    found = directions.leave_one_out(steps, np.zeros((3, 2)))
    assert found.ordered.tolist() == [False, True, True]
    assert found.cosine[0] == pytest.approx(-0.1 / np.hypot(10, 0.1))
    # Made from (10, -0.1) and (0, 1), the arrow for the others is (10, 0.9).
    assert found.cosine[1] == pytest.approx(0.9 / np.hypot(10, 0.9))
    assert found.share == pytest.approx(2 / 3)


def test_random_steps_do_not_transfer():
    rng = np.random.default_rng(1)
    found = directions.leave_one_out(rng.normal(size=(400, 64)), rng.normal(size=(400, 64)))
    assert abs(found.share - 0.5) < 0.1
    assert abs(found.cosine.mean()) < 0.05


def test_the_arrow_comes_from_one_set_of_texts_and_the_test_from_another():
    plus, minus = np.array([[1.0, 0], [1, 0], [1, 0]]), np.zeros((3, 2))
    tested = (np.array([[1.0, 1], [0, 1], [-1, 0]]), np.zeros((3, 2)))
    found = directions.leave_one_out(plus, minus, tested)
    assert found.cosine == pytest.approx([np.sqrt(0.5), 0, -1])
    assert found.ordered.tolist() == [True, False, False]


@pytest.mark.parametrize("sentences", [False, True])
def test_measured_direction_equals_a_plain_loop(sentences):
    found = directions.direction("colour", "red", "blue", MODEL, sentences)
    assert set(found.nouns) == set(world.COLOURABLE)
    texts = [
        f(n, "colour", c)
        for f in (world.phrase, world.sentence)
        for n in found.nouns
        for c in ("red", "blue")
    ]
    short, long = clip.encode_texts(texts, MODEL).reshape(2, len(found.nouns), 2, -1)
    read = dict(zip(found.nouns, short, strict=True))
    for i, noun in enumerate(found.nouns):
        arrow = np.mean([read[n][0] - read[n][1] for n in found.nouns if n != noun], axis=0)
        own = long[i] if sentences else read[noun]
        own = own[0] - own[1]
        cosine = own @ arrow / np.linalg.norm(own) / np.linalg.norm(arrow)
        assert found.transfer.cosine[i] == pytest.approx(cosine, abs=1e-3)
        assert bool(found.transfer.ordered[i]) == bool(own @ arrow > 0)


def test_colours_are_directions_in_the_classroom_clip():
    found = directions.direction("colour", "red", "blue", MODEL)
    assert found.transfer.share >= 0.9
    assert found.transfer.cosine.mean() > 0.5


@pytest.mark.parametrize("sentences", [False, True])
def test_a_relation_is_a_direction_made_from_pairs_of_objects(sentences):
    found = directions.direction("relation", "on", "under", MODEL, sentences)
    assert found.nouns == NOUNS
    assert found.transfer.share >= 0.9
    for text in world.relation_texts():
        assert holds(text.world.facts, text.world.scene), text.world.text
    assert len({text.world.text for text in world.relation_texts()}) == len(NOUNS) * len(RELATIONS)


def test_what_an_exchange_of_objects_changes_equals_a_plain_loop():
    found = directions.exchange("on", "under", MODEL)
    other = world.partner("cat")
    assert found.texts == (f"a cat on a {other}", f"a {other} on a cat")

    def cosine(first, second):
        a, b = clip.encode_texts([first, second], MODEL)
        return float(a @ b)

    pairs = [(noun, world.partner(noun)) for noun in NOUNS]
    exchanged = np.mean([cosine(f"a {a} on a {b}", f"a {b} on a {a}") for a, b in pairs])
    related = np.mean([cosine(f"a {a} on a {b}", f"a {a} under a {b}") for a, b in pairs])
    assert (found.exchanged, found.related) == pytest.approx((exchanged, related), abs=1e-3)


def test_every_pair_of_words_is_measured_once():
    pairs = directions.all_directions(MODEL)
    expected = sum(len(v) * (len(v) - 1) // 2 for v in world.DIRECTION_KINDS.values())
    assert len({(d.kind, frozenset((d.plus, d.minus))) for d in pairs}) == len(pairs) == expected


@pytest.mark.parametrize(
    "choice", [("size", "small", "small"), ("size", "small", "red"), ("weight", "a", "b")]
)
def test_directions_that_do_not_exist_are_explained(choice):
    with pytest.raises(InputError) as error:
        directions.direction(*choice, MODEL)
    assert error.value.key == "direction_unknown"

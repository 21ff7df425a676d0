"""Neighbours, differences and arithmetic, against plain loops and hand-built spaces."""

import functools

import numpy as np
import open_clip
import pytest
import torch
from sklearn.decomposition import PCA

from pipelines.clip import embeddings as emb
from pipelines.clip import projections
from pipelines.clip import world_texts as world
from pipelines.serving import catalogue
from pipelines.serving.errors import InputError
from pipelines.world.captions import holds, parse

MODEL = "classroom-clip"


@pytest.fixture(scope="module")
def reference():
    """The same texts, read by open_clip itself without any of our code."""
    folder = f"local-dir:{catalogue.entry(MODEL).source}"
    clip, _, _ = open_clip.create_model_and_transforms(folder)
    tokenize = open_clip.get_tokenizer(folder)

    @functools.cache
    def read(texts):
        with torch.inference_mode():
            vectors = clip.eval().encode_text(tokenize(list(texts)))
        return (vectors / vectors.norm(dim=1, keepdim=True)).numpy()

    return lambda texts: read(tuple(texts))


def test_neighbours_are_those_of_a_plain_loop_over_all_captions(reference):
    prompt = "a red car on the beach"
    (found,) = emb.embed([prompt], MODEL)
    own, others = reference([prompt])[0], reference([w.text for w in world.map_texts()])
    by_hand = sorted(((float(np.dot(own, v)), i) for i, v in enumerate(others)), reverse=True)[:8]
    assert [n.index for n in found.neighbours] == [i for _, i in by_hand]
    assert [n.cosine for n in found.neighbours] == pytest.approx([c for c, _ in by_hand], abs=1e-4)
    assert found.neighbours[0].world.text == world.map_texts()[by_hand[0][1]].text
    assert found.vector == pytest.approx(own, abs=1e-4)
    assert np.linalg.norm(found.vector) == pytest.approx(1, abs=1e-5)


def test_a_prompt_that_is_a_caption_finds_itself_first():
    caption = world.map_texts()[7].text
    (found,) = emb.embed([caption], MODEL, count=3)
    assert found.neighbours[0].world.text == caption
    assert found.neighbours[0].cosine == pytest.approx(1, abs=1e-4)
    assert len(found.neighbours) == 3


def test_position_is_scikit_learns_pca_fitted_on_the_captions_alone(reference):
    prompts = ["A small cat on a bed.", "something that no caption says"]
    pca = PCA(3, svd_solver="full").fit(reference([w.text for w in world.map_texts()]))
    expected = pca.transform(reference(prompts))
    found = np.stack([e.position for e in emb.embed(prompts, MODEL)])
    assert found == pytest.approx(expected, abs=1e-3)
    alone = emb.embed(prompts[:1], MODEL)[0].position
    assert alone == pytest.approx(found[0], abs=1e-4), "the other prompt must not move the map"


def test_pca_map_shows_the_share_of_variance_it_says():
    vectors = np.asarray(world.map_vectors(MODEL), np.float64)
    singular = np.linalg.svd(vectors - vectors.mean(0), compute_uv=False) ** 2
    for axes in (2, 3):
        found = projections.project(vectors[:1].astype(np.float32), MODEL, "pca", axes)
        assert found.world.shape == (world.MAP_SIZE, axes)
        assert found.explained == pytest.approx(singular[:axes].sum() / singular.sum(), abs=1e-4)


def test_map_captions_and_short_phrases_are_true_of_their_pictures():
    texts = [w.text for w in world.map_texts()]
    assert len({t.casefold() for t in texts}) == world.MAP_SIZE
    for w in (*world.map_texts(), *(s.world for s in world.short_texts())):
        assert holds(w.facts, w.scene), w.text
    assert len({s.world.text for s in world.short_texts()}) == len(world.short_texts())


def test_map_is_the_same_for_everybody():
    first = world.map_texts()
    world.map_texts.cache_clear()
    assert world.map_texts() == first
    drawn = world.picture(first[0])
    world.picture.cache_clear()
    assert np.array_equal(world.picture(first[0]), drawn)


def test_phrases_read_as_english():
    assert world.phrase("cat", "colour", "orange") == "an orange cat"
    assert world.phrase("cat", "place", "beach") == "a cat on the beach"
    assert world.phrase("cat", "atmosphere", "cozy") == "a cat, cozy atmosphere"


def test_long_sentences_keep_the_attribute_and_differ_in_their_surroundings():
    cat, dog = (parse(world.sentence(noun, "size", "small")) for noun in ("cat", "dog"))
    assert cat.things[0].size == dog.things[0].size == "small"
    assert (cat.things[0].noun, dog.things[0].noun) == ("cat", "dog")
    assert (cat.place, cat.style) != (dog.place, dog.style)
    assert parse(world.sentence("cat", "place", "sea")).place == "sea"


def hand_built_space():
    """A space in which every noun and every attribute is an axis of its own."""
    axes = {name: i for i, name in enumerate(sorted({s.noun for s in world.short_texts()}
                                                    | {s.value for s in world.short_texts()}))}  # fmt: skip
    vectors = np.zeros((len(world.short_texts()), len(axes)), np.float32)
    for row, s in zip(vectors, world.short_texts(), strict=True):
        row[axes[s.noun]] = 1
        if s.kind != "noun":
            row[axes[s.value]] = 0.5
    return axes, vectors


def test_word_directions_of_a_hand_built_space_point_along_their_own_axis():
    axes, vectors = hand_built_space()
    words, directions = emb.word_directions(vectors)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(1, abs=1e-5)
    red_minus_blue = np.zeros(len(axes))
    red_minus_blue[axes["red"]], red_minus_blue[axes["blue"]] = 1, -1
    order = np.argsort(directions @ red_minus_blue)
    assert words[order[-1]] == ("colour", "red")
    assert words[order[0]] == ("colour", "blue")
    cat = directions[words.index(("noun", "cat"))]
    assert int(np.argmax(cat)) == axes["cat"]


def test_combining_hand_built_vectors_gives_the_phrase_expected_by_hand():
    _, vectors = hand_built_space()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    row = {s.world.text: i for i, s in enumerate(world.short_texts())}
    small_dog, dog, cat = (unit[row[f"a {p}"]] for p in ("small dog", "dog", "cat"))
    result = emb.combine(small_dog, dog, cat)
    assert np.linalg.norm(result) == pytest.approx(1, abs=1e-6)
    found, cosines = emb.nearest(result, unit, 2)
    texts = [world.short_texts()[i].world.text for i in found]
    assert set(texts) == {"a small cat", "a cat"}
    assert cosines[0] >= cosines[1]
    # By hand: small dog = (1, .5)/√1.25; minus dog plus cat; dot with small cat = (1, .5)/√1.25.
    s = 1 / np.sqrt(1.25)
    by_hand = np.array([s - 1, 1, 0.5 * s])  # dog, cat, small
    expected = by_hand @ [0, s, 0.5 * s] / np.linalg.norm(by_hand)
    assert cosines[texts.index("a small cat")] == pytest.approx(expected, abs=1e-5)


def test_arithmetic_is_brute_force_over_all_phrases_without_the_inputs(reference):
    found = emb.arithmetic("Small dog", "dog", "the cat", MODEL)
    start, minus, plus = reference(["Small dog", "dog", "the cat"])
    result = start - minus + plus
    phrases = [s.world.text for s in world.short_texts()]
    cosines = reference(phrases) @ (result / np.linalg.norm(result))
    assert [c.short.world.text for c in found.candidates[:10]] == [
        phrases[i] for i in np.argsort(-cosines)[:10]
    ]
    left_out = {c.short.world.text for c in found.candidates if c.is_input}
    assert left_out == {"a small dog", "a dog", "a cat"}, (
        "inputs are known by what they say, not by their letters"
    )
    rest = [(c, p) for c, p in zip(cosines, phrases, strict=True) if p not in left_out]
    assert found.answer.short.world.text == max(rest)[1]
    alone = [
        (float(v @ plus), p) for v, p in zip(reference(phrases), phrases, strict=True) if p not in left_out
    ]
    assert found.plain.world.text == max(alone)[1]


def test_difference_names_the_word_that_was_changed():
    a, b = emb.embed(["a red car", "a blue car"], MODEL)
    found = emb.difference(a.vector, b.vector, MODEL)
    assert (found.words[0].value, found.words[-1].value) == ("blue", "red")
    assert found.length == pytest.approx(np.sqrt(2 - 2 * found.cosine), abs=1e-4)
    assert found.vector == pytest.approx(b.vector - a.vector)


def test_equal_prompts_have_no_difference():
    a, b = emb.embed(["a cat", "a cat"], MODEL)
    found = emb.difference(a.vector, b.vector, MODEL)
    assert found.words == ()
    assert found.length == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A small cat on a bed.", "A large cat on a bed."),
        ("A  cat in front of a House.", "A  dog in front of a House."),
        ("A cat. Cozy atmosphere. Dimm lighting.", "A cat. Dramatic atmosphere. Dimm lighting."),
        ("a drum", "a guitar"),
        ("scar tissue", "scar tissue, at night"),
    ],
)
def test_counterpart_changes_one_word(prompt, expected):
    assert emb.counterpart(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "key"),
    [
        ("", "embedding_empty"),
        (" \n", "embedding_empty"),
        ("x" * 2001, "prompt_too_long"),
        ("\ud83d", "text_broken"),
    ],
)
def test_prompts_that_cannot_be_read_are_explained(prompt, key):
    with pytest.raises(InputError) as error:
        emb.embed([prompt], MODEL)
    assert error.value.key == key
    with pytest.raises(InputError) as error:
        emb.arithmetic("a cat", prompt, "a dog", MODEL)
    assert error.value.key == key


@pytest.mark.parametrize("count", [0, -1, 51])
def test_number_of_neighbours_has_limits(count):
    with pytest.raises(InputError) as error:
        emb.embed(["a cat"], MODEL, count=count)
    assert error.value.key == "neighbours_range"


@pytest.mark.parametrize(
    "prompt", ["🐈‍⬛👍🏽", "שלום", "ß„“", "<script>alert(1)</script>", "x " * 900, "a\u0000b"]
)
def test_hostile_texts_have_a_place(prompt):
    (found,) = emb.embed([prompt], MODEL)
    assert np.isfinite(found.vector).all()
    assert np.isfinite(found.position).all()


def test_the_first_examples_nearest_phrases_say_what_it_says():
    near = [n.world.text for n in emb.embed(["A red car on the beach."], MODEL)[0].phrases]
    assert set(near[:2]) == {"a car on the beach", "a red car"}
    assert sum("car" in text for text in near) >= 6


def test_the_pairs_on_offer_give_what_is_said_of_them():
    def cosine(a: str, b: str) -> float:
        first, second = emb.embed([a, b], MODEL)
        return float(first.vector @ second.vector)

    assert cosine("a cat, no dog", "a dog") > cosine("a cat, no dog", "a cat")
    assert cosine("a cat on a chair", "a chair on a cat") > 0.95
    nonsense = emb.embed(["asdfgh"], MODEL)[0].phrases[0]
    assert nonsense.world.text == "a rabbit" and nonsense.cosine > 0.85

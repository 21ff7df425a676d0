"""A CLIP in small learns: by open_clip's own formulas, the same every time, and what the page says of it."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import open_clip
import pytest
import torch
from scipy.special import log_softmax

from pipelines.clip.contrastive import (
    CONFIG,
    PREPROCESS,
    SMALL,
    TRAIN_CONTEXT,
    ClipStep,
    ContrastiveLearner,
    Recipe,
    accuracy_of,
    begin_training,
    build_clip,
    contrastive_loss,
    limit_scale,
    lowest_loss,
    swapped,
    tokenize,
)
from pipelines.clip.contrastive_pairs import Pairs, first_pairs, with_twin
from pipelines.serving.catalogue import ASSETS
from pipelines.serving.compute import one_core
from pipelines.serving.errors import InputError
from pipelines.serving.live_training import trainings
from pipelines.serving.own_random import SeededInit


def same(first: ClipStep, second: ClipStep) -> bool:
    arrays = np.array_equal(first.similarity, second.similarity) and np.array_equal(
        first.unseen, second.unseen
    )
    numbers = ("loss", "unseen_loss", "accuracy", "unseen_accuracy", "scale")
    return arrays and all(getattr(first, n) == getattr(second, n) for n in numbers)


def built(pairs: Pairs, recipe: Recipe) -> ContrastiveLearner:
    learner = ContrastiveLearner(pairs, recipe)
    learner.build()
    return learner


@one_core()
def trained(steps: int, recipe: Recipe | None = None, pairs=None) -> list[ClipStep]:
    """What is measured before and after each of some steps."""
    learner = built(pairs or first_pairs(), recipe or Recipe())
    found = [learner.measure()]
    for step in range(steps):
        learner.update(step)
        found.append(learner.measure())
    return found


def by_hand(logits: np.ndarray) -> float:
    """Cross-entropy over rows and columns; partners stand on the diagonal."""
    rows, columns = log_softmax(logits, axis=1), log_softmax(logits, axis=0)
    return float(-(np.diag(rows).mean() + np.diag(columns).mean()) / 2)


def test_the_loss_of_two_pairs_worked_out_on_paper() -> None:
    class Fixed(torch.nn.Module):
        """Features at right angles, logit_scale 2."""

        def forward(self, images, tokens):
            return torch.eye(2), torch.eye(2), torch.tensor(2.0)

    loss, *_ = contrastive_loss(Fixed(), torch.zeros(2), torch.zeros(2))
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-6)  # rows and columns are alike


@pytest.mark.parametrize("captions", ["own", "swapped"])
def test_the_measured_loss_is_the_one_worked_out_from_the_matrix(captions: str) -> None:
    pairs, recipe = first_pairs(), Recipe(captions)
    learner = ContrastiveLearner(pairs, recipe)
    for found in trained(4, recipe):
        order = list(learner.targets)
        assert found.loss == pytest.approx(by_hand(found.scale * found.similarity[:, order]), abs=1e-5)
        assert found.accuracy == accuracy_of(found.similarity, order)


def test_the_loss_of_a_step_is_the_librarys() -> None:
    learner = built(first_pairs(), Recipe())
    images, tokens = learner._pool
    ours, *_ = contrastive_loss(learner.model, images, tokens)
    features = learner.model.encode_image(images, normalize=True)
    texts = learner.model.encode_text(tokens, normalize=True)
    expected = open_clip.ClipLoss()(features, texts, learner.model.logit_scale.exp())
    torch.testing.assert_close(ours, expected)


@one_core()
def test_it_is_a_plain_loop_over_the_whole_library_model() -> None:
    """The whole token table, unchanged open_clip, a loop written out: the same to the bit."""
    pairs = first_pairs()
    torch.manual_seed(0)
    model = build_clip(SMALL, TRAIN_CONTEXT)
    assert model.token_embedding.weight.shape == (49408, 64)
    prepare = open_clip.image_transform(64, is_train=False, **PREPROCESS)
    images, tokens = torch.stack([prepare(i) for i in pairs.images]), tokenize(pairs.captions)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=True
    )
    expected = []
    for _ in range(5):
        loss = open_clip.ClipLoss()(*model(images, tokens))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            image_features, text_features, scale = model(images, tokens)
        expected.append(((image_features @ text_features.T).numpy(), float(scale)))
    for found, (similarity, scale) in zip(trained(5)[1:], expected, strict=True):
        # The app measures all pairs in one call, whose sums may be in another order.
        np.testing.assert_allclose(found.similarity, similarity, atol=1e-5)
        assert found.scale == scale


def test_training_is_the_same_to_the_bit_for_a_seed_and_another_for_another() -> None:
    first, again = (trained(6, Recipe(many=True, batch=4, captions="reshuffled")) for _ in range(2))
    assert all(same(one, other) for one, other in zip(first, again, strict=True))
    other = trained(6, Recipe(many=True, batch=4, captions="reshuffled", seed=1))
    assert not any(same(one, two) for one, two in zip(first, other, strict=True))


def test_back_at_an_earlier_step_the_same_future_follows() -> None:
    key = begin_training(first_pairs(3), Recipe(many=True, batch=4))
    run = trainings.run(key)
    original = [next(run) for _ in range(22)]
    again = trainings.run(key, 13)
    replayed = [next(again) for _ in range(9)]
    assert all(same(one, other) for one, other in zip(original[13:], replayed, strict=True))
    trainings.free(key)


def test_nobody_elses_random_numbers_matter_nor_are_touched() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    (first,) = trained(0, Recipe(seed=9))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    (again,) = trained(0, Recipe(seed=9))
    assert same(first, again)
    with SeededInit(3):
        model = build_clip(SMALL, TRAIN_CONTEXT)
        torch.manual_seed(7)  # as if another thread had drawn meanwhile
        other = build_clip(SMALL, TRAIN_CONTEXT)
    torch.manual_seed(3)
    for expected in (model, other):
        library = build_clip(SMALL, TRAIN_CONTEXT).state_dict()
        assert all(torch.equal(value, library[name]) for name, value in expected.state_dict().items())


def test_five_pairs_are_learnt_by_heart() -> None:
    found = trained(60)
    assert found[0].loss > 1.2
    assert found[-1].accuracy == 1 and found[-1].loss < 0.05
    assert found[-1].unseen_accuracy < 0.7 and found[-1].unseen_loss > 1
    diagonal = found[-1].similarity[np.eye(5, dtype=bool)]
    assert diagonal.min() > found[-1].similarity[~np.eye(5, dtype=bool)].max()


@pytest.mark.slow
def test_many_scenes_make_it_understand_pairs_that_it_never_saw() -> None:
    assert trained(80, Recipe(many=True, batch=16))[-1].unseen_accuracy >= 0.9


def test_swapped_captions_are_learnt_just_as_well() -> None:
    found = trained(60, Recipe("swapped"))
    targets = ContrastiveLearner(first_pairs(), Recipe("swapped")).targets
    assert sorted(targets) == list(range(5)) and all(i != target for i, target in enumerate(targets))
    assert found[-1].accuracy == 1 and found[-1].loss < 0.05
    assert accuracy_of(found[-1].similarity, range(5)) < 0.3
    assert found[-1].unseen_accuracy <= 0.5


def test_where_nothing_stays_together_nothing_is_learnt() -> None:
    found = trained(80, Recipe("reshuffled"))
    assert np.mean([step.loss for step in found[-40:]]) == pytest.approx(math.log(5), abs=0.15)


def test_two_pictures_of_one_text_set_a_floor_under_the_loss() -> None:
    pairs = with_twin(first_pairs())
    floor = lowest_loss(pairs.captions)
    assert floor == pytest.approx(2 / 5 * math.log(2))
    assert lowest_loss(first_pairs().captions) == 0
    found = trained(80, pairs=pairs)
    assert min(step.loss for step in found) >= floor - 1e-5
    assert found[-1].loss < floor + 0.02
    assert found[-1].accuracy == pytest.approx(0.9)  # the twin that comes second is marked wrong


def test_a_fixed_temperature_stays_and_a_learnt_one_moves() -> None:
    fixed = trained(4, Recipe(temperature=0.5))
    assert [step.scale for step in fixed] == [pytest.approx(2)] * 5 and len({s.scale for s in fixed}) == 1
    assert len({step.scale for step in trained(4)}) == 5
    # A warm softmax cannot become certain: even cosines of 1 and -1 leave a share for the others.
    assert trained(60, Recipe(temperature=1.0))[-1].loss > math.log(1 + 4 * math.exp(-2)) - 1e-6


def test_the_scale_is_kept_within_clips_limits() -> None:
    model = build_clip(SMALL, TRAIN_CONTEXT)
    for value, kept in ((9.0, 100.0), (-1.0, 1.0), (3.0, math.exp(3.0))):
        model.logit_scale.data.fill_(value)
        limit_scale(model)
        assert model.logit_scale.exp().item() == pytest.approx(kept, rel=1e-5)


def test_a_batch_is_drawn_without_repetition_and_keeps_partners_together() -> None:
    learner = built(first_pairs(), Recipe(many=True, batch=32))
    images, texts = learner.batch(3)
    assert len(set(images)) == 32 and (images == texts).all()
    assert (learner.batch(3)[0] == images).all() and (learner.batch(4)[0] != images).any()
    images, texts = built(first_pairs(), Recipe("swapped", many=True, batch=32)).batch(0)
    assert (images != texts).mean() > 0.9
    images, texts = built(first_pairs(), Recipe("reshuffled")).batch(0)
    assert sorted(images) == sorted(texts)


def test_accuracy_counts_both_directions() -> None:
    similarity = np.array([[0.9, 0.1], [0.8, 0.2]])  # both pictures take text 0; texts 0 and 1 are right
    assert accuracy_of(similarity, (0, 1)) == 0.75
    assert accuracy_of(similarity, (1, 0)) == 0.25
    assert [accuracy_of(np.eye(4), swapped(4, np.random.default_rng(s))) for s in range(5)] == [0] * 5


def test_small_and_classroom_are_one_architecture() -> None:
    shipped = json.loads((ASSETS / "clip" / "open_clip_config.json").read_text())
    assert shipped["model_cfg"] == CONFIG
    assert SMALL.keys() == CONFIG.keys()
    assert {key: set(value) for key, value in SMALL.items() if isinstance(value, dict)} == {
        key: set(value) for key, value in CONFIG.items() if isinstance(value, dict)
    }


@pytest.mark.parametrize(
    "recipe, key",
    [
        (Recipe(captions="none"), "captions_unknown"),
        (Recipe(batch=1), "batch_range"),
        (Recipe(batch=33), "batch_range"),
        (Recipe(temperature=0.001), "fixed_temperature_range"),
        (Recipe(temperature=float("nan")), "fixed_temperature_range"),
        (Recipe(seed=-1), "seed_range"),
    ],
)
def test_recipes_out_of_range_are_refused(recipe: Recipe, key: str) -> None:
    with pytest.raises(InputError, match=key):
        begin_training(first_pairs(), recipe)


@pytest.mark.slow
def test_ten_visitors_train_at_once_and_each_gets_the_training_of_a_lone_one() -> None:
    def visit(seed: int) -> list[ClipStep]:
        key = begin_training(first_pairs(3), Recipe(seed=seed), owner=str(seed))
        run = trainings.run(key)
        found = [next(run) for _ in range(8)]
        trainings.leave(str(seed))
        assert next(run, None) is None and not trainings.holds(key)
        return found

    with ThreadPoolExecutor(10) as visitors:
        together = list(visitors.map(visit, range(10)))
    for seed, found in enumerate(together):
        alone = trained(8, Recipe(seed=seed), first_pairs(3))[1:]
        assert all(same(one, other) for one, other in zip(found, alone, strict=True))

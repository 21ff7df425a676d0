"""The judge of pictures sees what is drawn, and says no to what is not."""

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.world.captions import Facts, ThingFact, parse
from pipelines.world.render import render
from pipelines.world.scene import NOUNS, PLACES, Scene, Thing
from training.pool import draw_example, to_tensor
from training.scorers import COLOUR_CLASSES, GRID, MAX_COUNT, PARTS, Scorer, Verdict, look_at, truth_of
from training.train_scorers import loss_of


def test_labels_follow_the_scene() -> None:
    scene = Scene((Thing("cat", "red", "small"), Thing("bed")), "on", place="beach")
    masks = np.zeros((2, 64, 64), bool)
    masks[0, :10, :10] = masks[1, 32:, 32:] = True
    truth = truth_of(scene, masks)
    assert truth.nouns.shape == (GRID, GRID)
    assert truth.nouns[0, 0] == 1 + NOUNS.index("cat")
    assert truth.nouns[-1, -1] == 1 + NOUNS.index("bed")
    assert truth.colours[0, 0] == COLOUR_CLASSES.index("red")
    assert truth.colours[10, 10] == -1
    assert truth.counts.sum() == 2
    assert truth.looks["place"] == PLACES.index("beach")


def test_copies_count_and_have_no_relation() -> None:
    scene = Scene((Thing("cat"),) * 3)
    truth = truth_of(scene, np.zeros((3, 64, 64), bool))
    assert truth.counts[NOUNS.index("cat")] == 3
    assert (truth.relation, truth.size, truth.second) == (-1, -1, -1)


def test_where_the_frame_decides_how_large_a_thing_is_its_size_is_no_label() -> None:
    masks = np.zeros((1, 64, 64), bool)
    for composition, size in ((None, 0), ("centered", 0), ("wide shot", -1), ("close-up", -1)):
        assert truth_of(Scene((Thing("cat"),), composition=composition), masks).size == size


def test_pictures_of_any_size_are_judged_alike() -> None:
    torch.manual_seed(0)
    scorer = Scorer().eval()
    image, _ = render(Scene((Thing("car", "red", x=0.5, y=0.6, extent=0.6),)), np.random.default_rng(0))
    large = image.resize((512, 512), Image.Resampling.NEAREST)
    one, two = look_at([image, large], scorer)
    assert one.counts == two.counts
    assert one.looks == two.looks
    assert torch.allclose(one.maps, two.maps, atol=1e-5)
    assert one.maps.std() > 0


def test_every_noun_is_counted_by_the_same_eyes() -> None:
    """Two nouns that swap their maps swap their counts, so what one noun teaches holds for all."""
    torch.manual_seed(0)
    scorer = Scorer().eval()
    nouns, parts = torch.randn(3, 1 + len(NOUNS), GRID, GRID), torch.randn(3, PARTS, GRID, GRID)
    swapped = nouns.clone()
    swapped[:, [1, 5]] = nouns[:, [5, 1]]
    counts, again = scorer.count_nouns(nouns, parts), scorer.count_nouns(swapped, parts)
    assert counts.shape == (3, len(NOUNS), MAX_COUNT + 1)
    assert not torch.allclose(counts[:, 0], counts[:, 4], atol=1e-4)
    torch.testing.assert_close(again[:, [4, 0]], counts[:, [0, 4]])


def _verdict(counts: dict[str, int], colours: dict[str, str | None], **looks: str | None) -> Verdict:
    """What a scorer would say that sees exactly this; its geometry is never asked."""
    maps = torch.zeros(len(NOUNS), GRID, GRID)
    return Verdict(counts, colours, {"place": None, **looks}, maps, Scorer().eval())


def test_a_picture_answers_every_demand_of_its_text() -> None:
    seen = _verdict({"cat": 2, "car": 1}, {"cat": None, "car": "red"}, place="beach", style="cartoon")
    assert seen.answers(parse("a red car on the beach")) == {"car": True, "red car": True, "place": True}
    assert seen.answers(parse("a blue car, watercolor")) == {"car": True, "blue car": False, "style": False}
    assert seen.answers(parse("two cats")) == {"cat": True}
    assert seen.answers(parse("three cats")) == {"cat": False}
    assert seen.answers(parse("a dog"))["dog"] is False


@pytest.mark.slow
def test_the_judge_learns_what_is_drawn() -> None:
    """Sixteen steps on one small batch: all heads' losses together fall to less than half."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    examples = [draw_example(rng, unseen=True) for _ in range(12)]
    images = to_tensor([e.image for e in examples])
    truths = [truth_of(e.scene, e.masks) for e in examples]
    scorer = Scorer()
    optimizer = torch.optim.AdamW(scorer.parameters(), 3e-3)
    losses = []
    for _ in range(16):
        loss, accuracy = loss_of(scorer, scorer(images), truths, "cpu")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert accuracy["place"] > 0.9


def test_a_neighbour_on_the_left_is_left_of() -> None:
    facts = parse("a cat left of a car")
    assert facts == Facts((ThingFact("cat"), ThingFact("car")), relation="left of")

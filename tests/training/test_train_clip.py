"""What the classroom CLIP learns from: captions, wrong ones beside them, and names."""

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax, normalize

from pipelines.clip.contrastive import SMALL, TRAIN_CONTEXT, build_clip, tokenize
from pipelines.world.captions import holds, parse
from pipelines.world.scene import NOUNS
from training.pool import Example, Shares, draw_example, to_tensor
from training.train_clip import ALIKE, PUSH, captions_of, loss_of


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    rng = np.random.default_rng(3)
    return [draw_example(rng, shares=Shares(pairs=0.5)) for _ in range(120)]


def test_the_right_caption_is_true_of_its_picture_and_the_wrong_one_is_not(examples: list[Example]) -> None:
    rng = np.random.default_rng(0)
    for example in examples:
        right, wrong = captions_of(example, rng)
        assert holds(parse(right), example.scene), (right, example.scene)
        assert not holds(parse(wrong), example.scene), (wrong, example.scene)


def test_some_wrong_captions_exchange_the_things_and_the_others_name_another(examples: list[Example]) -> None:
    rng = np.random.default_rng(0)
    same_things = 0
    for example in examples:
        right, wrong = (sorted(t.noun for t in parse(text).things) for text in captions_of(example, rng))
        same_things += right == wrong
        assert len(right) == len(wrong)
    assert len(examples) / 8 < same_things < len(examples) / 2


def test_the_loss_is_the_sum_of_its_parts(examples: list[Example]) -> None:
    """Against a slow reference, sum by sum."""
    torch.manual_seed(0)
    model = build_clip(SMALL, TRAIN_CONTEXT)
    rng = np.random.default_rng(1)
    captions = [captions_of(example, rng) for example in examples[:5]]
    images = to_tensor([example.image for example in examples[:5]])
    names = tokenize([f"a {noun}" for noun in NOUNS])
    loss, metrics = loss_of(model, images, captions, names)

    with torch.no_grad():
        pictures = normalize(model.encode_image(images), dim=-1)
        right, wrong, things = (
            normalize(model.encode_text(tokens), dim=-1)
            for tokens in (tokenize([c[0] for c in captions]), tokenize([c[1] for c in captions]), names)
        )
        scale = model.logit_scale.exp()
        expected, named = 0.0, []
        for i in range(5):
            among_texts = log_softmax(scale * torch.cat([right, wrong]) @ pictures[i], 0)
            among_pictures = log_softmax(scale * pictures @ right[i], 0)
            among_names = log_softmax(scale * things @ pictures[i], 0)
            said = {NOUNS.index(t.noun) for t in parse(captions[i][0]).things}
            expected -= (among_texts[i] + among_pictures[i]) / 2 / 5
            expected -= sum(among_names[n] for n in said) / len(said) / 5
            expected += PUSH * max(0.0, float(right[i] @ wrong[i]) - ALIKE) ** 2 / 5
            named.append(int(among_names.argmax()) in said)
    assert loss.item() == pytest.approx(float(expected), rel=1e-5)
    assert metrics["named"].item() == pytest.approx(np.mean(named))

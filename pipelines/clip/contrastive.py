"""How CLIP learns: the model, its loss, and a CLIP in small that a visitor trains.

`training/train_clip.py` makes the classroom CLIP of the same parts.
Source: Radford et al. 2021, arXiv:2103.00020, section 2.3 and figure 3.
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor, nn

from pipelines.clip.contrastive_pairs import Pairs, pool_of
from pipelines.serving.checks import MAX_SEED, whole, within
from pipelines.serving.errors import InputError
from pipelines.serving.live_training import trainings
from pipelines.serving.own_random import SeededInit
from pipelines.serving.training_steps import Learner

CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": 4, "width": 128, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 4},
}
# Half as wide and half as deep: some fifteen times less work in the layers, so that a class can watch.
SMALL: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": CONFIG["vision_cfg"] | {"layers": 2, "width": 64},
    "text_cfg": CONFIG["text_cfg"] | {"layers": 2, "width": 64, "heads": 2},
}
# Pictures are scaled to -1..1, like those of the diffusion model.
PREPROCESS = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}
# Captions have at most some 28 tokens and the text tower is causal, so positions behind them would
# get no gradient: training at half the context costs half and learns the same.
TRAIN_CONTEXT = 32
WARMEST_SCALE, COLDEST_SCALE = 1.0, 100.0  # of logit_scale, as CLIP limits it

CAPTIONS = ("own", "swapped", "reshuffled")
BATCHES = (2, 32)  # pairs in a step, when they are drawn from many
TEMPERATURES = (0.01, 1.0)  # that one may fix


def tokenize(captions: Sequence[str]) -> Tensor:
    """Token ids `[batch, TRAIN_CONTEXT]`."""
    return open_clip.tokenize(list(captions), context_length=TRAIN_CONTEXT)


def build_clip(config: dict[str, Any], context_length: int) -> open_clip.CLIP:
    """A CLIP with random weights.

    Args:
        config: `CONFIG` or `SMALL`.
        context_length: places for tokens.
    """
    text = {**config["text_cfg"], "context_length": context_length}
    return open_clip.CLIP(**{**config, "text_cfg": text})


def limit_scale(model: open_clip.CLIP) -> None:
    """Keep logit_scale between 1 and 100, as CLIP does, in place."""
    with torch.no_grad():
        model.logit_scale.clamp_(math.log(WARMEST_SCALE), math.log(COLDEST_SCALE))


def contrastive_loss(model: open_clip.CLIP, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """open_clip's loss of a batch of pairs: cross-entropy over each row and each column of the matrix.

    Args:
        model: any open_clip CLIP.
        images: `[batch, 3, y, x]`, -1..1.
        tokens: `[batch, place]` ids; text i belongs to picture i.

    Returns:
        The loss, and the features of pictures and texts, `[batch, dim]`, each of length one.
    """
    image_features, text_features, scale = model(images, tokens)
    loss = open_clip.ClipLoss()(image_features.float(), text_features.float(), scale.float())
    return loss, image_features, text_features


class RowsInUse(nn.Embedding):
    """The rows of a token table that a training can touch; ids stay the real ones.

    All other rows of 49,408 would get no gradient, and only cost time and memory.

    Args:
        table: the whole table, `[id, dim]`.
        ids: of the rows to keep, rising.
    """

    def __init__(self, table: nn.Embedding, ids: Tensor) -> None:
        super().__init__(len(ids), table.embedding_dim, _weight=table.weight.detach()[ids].clone())
        self.ids: Tensor
        self.register_buffer("ids", ids)

    def forward(self, ids: Tensor) -> Tensor:
        """`[batch, place]` ids to `[batch, place, dim]`."""
        return nn.functional.embedding(torch.searchsorted(self.ids, ids), self.weight)


@dataclass(frozen=True)
class Recipe:
    """How a visitor's CLIP is trained.

    Attributes:
        captions: "own", "swapped" (once, so that no picture keeps its own) or "reshuffled" (at every step).
        many: whether every step draws its pairs from `contrastive_pairs.POOL` more scenes.
        batch: pairs in a step, 2..32, if there are many; otherwise a step takes all.
        temperature: fixed, 0.01..1; None to learn it from 0.07, as CLIP does.
        seed: of weights, batches and shuffling.
        lr: learning rate.
    """

    captions: str = "own"
    many: bool = False
    batch: int = 16
    temperature: float | None = None
    seed: int = 0
    lr: float = 1e-3

    def validated(self) -> "Recipe":
        """The same recipe with every value checked and typed.

        Raises:
            InputError: `captions_unknown`, `batch_range`, `fixed_temperature_range`, `seed_range`.
        """
        if self.captions not in CAPTIONS:
            raise InputError("captions_unknown", received=self.captions, known=", ".join(CAPTIONS))
        temperature = self.temperature
        if temperature is not None:
            temperature = within("fixed_temperature_range", temperature, *TEMPERATURES)
        return replace(
            self,
            batch=whole("batch_range", self.batch, *BATCHES),
            temperature=temperature,
            seed=whole("seed_range", self.seed, 0, MAX_SEED),
        )


@dataclass(frozen=True, eq=False)
class ClipStep:
    """What the model makes of the pairs after some steps.

    Attributes:
        similarity: `[image, text]` cosine of the pairs, -1..1.
        unseen: the same of pairs that no step ever sees.
        loss: of the pairs, text `targets[i]` belonging to picture i.
        unseen_loss: of the unseen ones, which keep their own captions.
        accuracy: share of pictures and texts that rank their partner first, 0..1.
        unseen_accuracy: the same for the unseen ones.
        scale: logit_scale; one over the temperature.
    """

    similarity: np.ndarray
    unseen: np.ndarray
    loss: float
    unseen_loss: float
    accuracy: float
    unseen_accuracy: float
    scale: float


def accuracy_of(similarity: np.ndarray, targets: Sequence[int]) -> float:
    """Share of pictures whose text, and of texts whose picture, comes first.

    A picture is right with any text that equals its own. A text that belongs to two pictures is right with
    the one it is trained with alone, as in the loss.

    Args:
        similarity: `[image, text]`.
        targets: index of the text that belongs to each picture.
    """
    own = similarity[np.arange(len(targets)), list(targets)]  # equal texts have equal columns, to the bit
    return float(((own >= similarity.max(1)).mean() + (own >= similarity.max(0)[list(targets)]).mean()) / 2)


def swapped(count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """A random order in which nothing keeps its place."""
    while True:
        order = rng.permutation(count)
        if (order != np.arange(count)).all():
            return tuple(int(i) for i in order)


def lowest_loss(captions: Sequence[str]) -> float:
    """The loss that even a perfect model cannot fall below: equal texts cannot be told apart.

    Of g pictures with one text, each gets a share of 1/g at best, in rows and in columns: ln g.
    """
    return sum(math.log(captions.count(text)) for text in captions) / len(captions)


class ContrastiveLearner(Learner[ClipStep]):
    """A visitor's CLIP: open_clip's model and loss, AdamW, one batch a step.

    Args:
        pairs: what it is trained on and what it never sees.
        recipe: checked.
    """

    def __init__(self, pairs: Pairs, recipe: Recipe) -> None:
        self.pairs, self.recipe = pairs, recipe
        self._draw_order()

    def build(self) -> None:
        """See `Learner`."""
        pairs, recipe = self.pairs, self.recipe
        self._images, self._tokens = _tensors(pairs.images, pairs.captions)
        self._unseen = _tensors(pairs.unseen_images, pairs.unseen_captions)
        self._pool: tuple[Tensor, Tensor] = self._images, self._tokens
        if recipe.many:
            images, tokens = _tensors(*pool_of(pairs))
            self._pool = torch.cat([self._images, images]), torch.cat([self._tokens, tokens])
        self._partners = np.arange(len(self._pool[0]))
        if recipe.captions == "swapped":
            rest = np.random.default_rng([recipe.seed, 2]).permutation(self._partners[len(pairs) :])
            self._partners = np.concatenate([self.targets, rest])
        self.model = self._made()
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(parameters, recipe.lr, (0.9, 0.99), weight_decay=0.1, fused=True)

    def _draw_order(self) -> None:
        rng = np.random.default_rng([self.recipe.seed, 1])
        count = len(self.pairs)
        #: index of the text that each picture is trained with
        self.targets = swapped(count, rng) if self.recipe.captions == "swapped" else tuple(range(count))

    def _made(self) -> open_clip.CLIP:
        with SeededInit(self.recipe.seed):
            model = build_clip(SMALL, TRAIN_CONTEXT)
        ids = torch.cat([self._pool[1].flatten(), self._unseen[1].flatten()]).unique()
        model.token_embedding = RowsInUse(model.token_embedding, ids)
        if self.recipe.temperature is not None:
            model.logit_scale.requires_grad_(False).fill_(-math.log(self.recipe.temperature))
        return model

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the pictures and of the texts of a step, from the seed and the step's number alone."""
        rng = np.random.default_rng([self.recipe.seed, 0, step])
        count = len(self._pool[0])
        images = (
            rng.choice(count, int(self.recipe.batch), replace=False) if self.recipe.many else np.arange(count)
        )
        texts = self._partners[images]
        return images, rng.permutation(texts) if self.recipe.captions == "reshuffled" else texts

    def update(self, step: int) -> None:
        """See `Learner`."""
        images, texts = self.batch(step)
        loss, *_ = contrastive_loss(self.model, self._pool[0][images], self._pool[1][texts])
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        if self.recipe.temperature is None:
            limit_scale(self.model)

    @torch.no_grad()
    def measure(self) -> ClipStep:
        """See `Learner`."""
        images = self.model.encode_image(torch.cat([self._images, self._unseen[0]]), normalize=True)
        texts = self.model.encode_text(torch.cat([self._tokens, self._unseen[1]]), normalize=True)
        scale = self.model.logit_scale.exp()
        count = len(self.pairs)
        own = torch.tensor(self.targets)
        similarity = (images[:count] @ texts[:count].T).numpy()
        loss = open_clip.ClipLoss()(images[:count], texts[own], scale)
        unseen = []
        for start in range(count, len(images), count):
            block = slice(start, start + count)
            cosines = (images[block] @ texts[block].T).numpy()
            unseen.append((cosines, float(open_clip.ClipLoss()(images[block], texts[block], scale))))
        accuracies = [accuracy_of(cosines, range(count)) for cosines, _ in unseen]
        return ClipStep(
            similarity, unseen[0][0], float(loss), float(np.mean([x for _, x in unseen])),
            accuracy_of(similarity, self.targets), float(np.mean(accuracies)), float(scale),
        )  # fmt: skip

    def save(self) -> Any:
        """See `Learner`."""
        return deepcopy((self.model.state_dict(), self._optimizer.state_dict()))

    def load(self, saved: Any) -> None:
        """See `Learner`."""
        model, optimizer = deepcopy(saved)
        self.model.load_state_dict(model)
        self._optimizer.load_state_dict(optimizer)


def begin_training(pairs: Pairs, recipe: Recipe, owner: str = "") -> str:
    """Start a CLIP in small with random weights.

    Args:
        pairs: 2 to 8.
        recipe: how it is trained.
        owner: see `Trainings.begin`.

    Returns:
        The training's key in `live_training.trainings`.

    Raises:
        InputError: what `Pairs.validated`, `Recipe.validated` and `Trainings.begin` raise.
    """
    pairs, recipe = pairs.validated(), recipe.validated()
    if recipe.many:
        pool_of(pairs)  # drawn on this thread, as it takes a second the first time
    return trainings.begin(ContrastiveLearner(pairs, recipe), owner, kind="contrastive")


def _tensors(images: Sequence[Image.Image], captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Pictures `[pair, 3, 64, 64]` as CLIP reads them, and token ids `[pair, TRAIN_CONTEXT]`."""
    prepare = open_clip.image_transform(CONFIG["vision_cfg"]["image_size"], is_train=False, **PREPROCESS)
    return torch.stack([prepare(image) for image in images]), tokenize(captions)

"""Rows of tensors that a picture training picks from."""

import shutil
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.utils.data import IterableDataset

from pipelines.world.films import Film
from tests.oracles import film_holds
from training.common import MODELS, save_fp16
from training.picture_rows import CHUNK, WORDINGS, as_rows, motion_number, one_wording
from training.pool import Shares, draw_example, to_tensor
from training.ring import Ring, Rows
from training.train_unet import Encoder, Tokenize


def test_rows_say_what_their_scenes_show() -> None:
    rng = np.random.default_rng(11)
    examples = [draw_example(rng, shares=Shares(films=0.5)) for _ in range(24)]
    tokenize = Tokenize()
    rows = as_rows(examples, tokenize, rng)
    assert {k: tuple(v.shape) for k, v in rows.items()} == {
        "pixels": (24, 3, 64, 64),
        "coverage": (24, 1, 16, 16),
        "ids": (24, WORDINGS, 77),
        "motions": (24, WORDINGS),
    }
    torch.testing.assert_close(rows["pixels"] / 127.5 - 1, to_tensor([e.image for e in examples]))
    for i, example in enumerate(examples):
        seen = example.masks.any(0).reshape(16, 4, 16, 4).mean((1, 3))
        np.testing.assert_allclose(rows["coverage"][i, 0], seen, atol=1e-6)
        for k in range(WORDINGS):
            text = tokenize.tokenizer.decode(rows["ids"][i, k], skip_special_tokens=True)
            assert film_holds(text, Film(example.scene, example.motion)), text
            assert rows["motions"][i, k] == motion_number(text)
    assert (rows["motions"] > 0).sum() > 10


def test_pairs_come_with_colours_on_both_as_often_as_asked() -> None:
    rng = np.random.default_rng(3)
    for share in (0.0, 1.0):
        pairs = [draw_example(rng, shares=Shares(pairs=1, coloured=share)).scene for _ in range(60)]
        assert all(scene.relation is not None for scene in pairs)
        coloured = np.mean([all(t.colour for t in scene.things) for scene in pairs])
        assert coloured == 1 if share else coloured < 0.6


class Numbered(IterableDataset[Rows]):
    """Some chunks of rows that say when they were drawn, in every wording; then no more."""

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[Rows]:
        for number in range(self.chunks):
            ids = torch.arange(number * CHUNK, (number + 1) * CHUNK)
            wordings = ids[:, None].expand(-1, WORDINGS)
            yield {"pixels": ids.float(), "ids": wordings * 10 + torch.arange(WORDINGS), "motions": wordings}


def ring_of(chunks: int, fresh: float) -> Ring[Rows]:
    args = Namespace(seed=0, workers=0, pool=2 * CHUNK, fresh=fresh, batch=8, device="cpu")
    ring = Ring(args, Numbered(chunks), lambda rows: rows | {"latents": rows.pop("pixels")},
                chunk=CHUNK, first=4096, ahead=4, what="rows", waits=False)  # fmt: skip
    ring.source.thread.join(timeout=60)  # all chunks are drawn
    return ring


def test_a_row_stays_one_row_and_every_wording_has_its_turn() -> None:
    rows = one_wording(ring_of(2, fresh=0).sample(4000))
    assert set(rows) == {"latents", "ids", "motions"}
    assert (rows["ids"] // 10 == rows["latents"]).all()
    assert (rows["motions"] == rows["latents"]).all()
    assert rows["latents"].unique().numel() == 2 * CHUNK
    assert rows["ids"].unique().numel() == 2 * CHUNK * WORDINGS


def test_the_oldest_rows_are_replaced_at_the_rate_asked_for() -> None:
    ring = ring_of(5, fresh=CHUNK / 2)
    newest = []
    for _ in range(4):
        newest.append(int(ring.sample(4000)["latents"].max()) // CHUNK)
    assert newest == [1, 2, 2, 3]
    assert ring.sample(4000)["latents"].min() == 2 * CHUNK


def test_a_step_never_waits_for_workers() -> None:
    ring = ring_of(2, fresh=100 * CHUNK)
    assert ring.sample(4000)["latents"].max() == 2 * CHUNK - 1, "nothing newer was drawn"


def test_latents_follow_an_autoencoder_that_goes_on_training(tmp_path: Path) -> None:
    folder = tmp_path / "vae"
    shutil.copytree(MODELS / "image" / "vae", folder)
    encode = Encoder("cpu", folder)
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        before = encode({"pixels": pixels})["latents"]
        vae = AutoencoderKL.from_pretrained(folder)
        torch.testing.assert_close(before, vae.encode(pixels.float() / 127.5 - 1).latent_dist.mean)
        vae.quant_conv.bias[:4] += 1
        save_fp16(vae.state_dict(), folder / "diffusion_pytorch_model.safetensors")
        after = encode({"pixels": pixels})["latents"]
    torch.testing.assert_close(after, before + 1, atol=2e-3, rtol=0)

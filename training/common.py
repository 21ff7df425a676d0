"""What every training script shares: arguments, fresh scenes, the clock, averages, checkpoints."""

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

from pipelines.world.captions import caption
from pipelines.world.layout import draw_scene
from pipelines.world.render import render
from pipelines.world.scene import Scene

RUNS = Path("runs")  # checkpoints with optimiser state; never committed
MODELS = Path("assets/models")


def parse_args(name: str, *, minutes: float, batch: int, lr: float, **flags: str) -> argparse.Namespace:
    """The command line that all training scripts share; `flags` adds switches with their help."""
    parser = argparse.ArgumentParser(prog=f"python -m training.{name}")
    parser.add_argument("--minutes", type=float, default=minutes, help="how long this sitting trains")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument("--pool", type=int, default=20_000, help="scenes held in memory")
    parser.add_argument("--fresh", type=int, default=16, help="new scenes a step")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--restart", action="store_true", help="ignore the checkpoint")
    for flag, text in flags.items():
        parser.add_argument("--" + flag.replace("_", "-"), action="store_true", help=text)
    return parser.parse_args()


@dataclass(frozen=True)
class Example:
    """A rendered scene: `image` is `[64, 64, 3]` uint8, `masks` `[thing, 64, 64]` bool."""

    scene: Scene
    image: np.ndarray
    masks: np.ndarray


class SceneStream(IterableDataset[list[Example]]):
    """Endless chunks of freshly drawn scenes; each worker process draws its own."""

    def __init__(self, seed: int, chunk: int, unseen: bool = False) -> None:
        self.seed, self.chunk, self.unseen = seed, chunk, unseen

    def __iter__(self) -> Iterator[list[Example]]:
        info = torch.utils.data.get_worker_info()
        torch.set_num_threads(1)
        rng = np.random.default_rng([self.seed, info.id if info else 0, time.time_ns() if info else 0])
        while True:
            yield [draw_example(rng, unseen=self.unseen) for _ in range(self.chunk)]


def draw_example(rng: np.random.Generator, *, unseen: bool = False) -> Example:
    """Draw and render one scene."""
    scene = draw_scene(rng, unseen=unseen)
    image, masks = render(scene, rng)
    return Example(scene, np.asarray(image), masks)


class Pool:
    """A ring of rendered scenes that is renewed a little at every step.

    Rendering is slower than a GPU's training step, so scenes are seen several times, each time
    under a new caption; the ring makes them almost fresh.

    Args:
        args: `seed`, `workers`, `pool` and `fresh` of the command line.
        prepare: turns `[batch, 3, y, x]` pictures (-1..1) into what the training keeps.
    """

    def __init__(self, args: argparse.Namespace, prepare: Callable[[Tensor], Tensor] | None = None) -> None:
        self.args, self.prepare = args, prepare
        stream = SceneStream(args.seed, 16, unseen=getattr(args, "unseen", False))
        self.source = iter(DataLoader(stream, batch_size=None, num_workers=args.workers, prefetch_factor=8))
        self.rng = np.random.default_rng(args.seed)
        self.items: list[Example] = []
        self.values: list[Tensor] = []
        self.next = 0
        for _ in tqdm(range(0, min(args.pool, 4096), 16), "first scenes", mininterval=5):
            self._take()

    def _take(self) -> None:
        chunk = next(self.source)
        values = list(
            to_tensor([e.image for e in chunk])
            if self.prepare is None
            else self.prepare(to_tensor([e.image for e in chunk]).to(self.args.device))
        )
        for item, value in zip(chunk, values, strict=True):
            if len(self.items) < self.args.pool:
                self.items.append(item)
                self.values.append(value)
            else:
                self.items[self.next], self.values[self.next] = item, value
                self.next = (self.next + 1) % self.args.pool

    def sample(self) -> tuple[Tensor, list[Example]]:
        """One batch of what `prepare` made, with the scenes behind it."""
        for _ in range(0, self.args.fresh, 16):
            self._take()
        indices = self.rng.choice(len(self.items), self.args.batch, replace=False)
        return torch.stack([self.values[i] for i in indices]), [self.items[i] for i in indices]

    def captions(self, examples: list[Example]) -> list[str]:
        """A newly worded caption for each."""
        return [caption(e.scene, self.rng) for e in examples]


def to_tensor(images: list[np.ndarray]) -> Tensor:
    """uint8 `[y, x, 3]` pictures as `[batch, 3, y, x]` in -1..1."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


class Average(nn.Module):
    """Exponential moving average of a model's weights, with a short warm-up (Karras et al. 2024)."""

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        super().__init__()
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (step + 1) / (step + 20))
        for key, value in model.state_dict().items():
            if value.dtype.is_floating_point:
                self.weights[key].lerp_(value, 1 - decay)
            else:
                self.weights[key].copy_(value)


class Clock:
    """Counts steps until the minutes are over; the learning rate falls in the last quarter."""

    def __init__(self, minutes: float, first_step: int = 0, warmup: int = 100) -> None:
        self.seconds, self.warmup, self.step = minutes * 60, warmup, first_step
        self.first_step = first_step
        self.start = time.monotonic()
        self.bar = tqdm(total=round(minutes * 60), unit="s", mininterval=10)

    def __iter__(self) -> Iterator[int]:
        while self.elapsed < self.seconds:
            yield self.step
            self.step += 1
            self.bar.update(round(self.elapsed) - self.bar.n)
        self.bar.close()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.start

    @property
    def lr_scale(self) -> float:
        """Warm up, hold, then fall along a quarter cosine: a later sitting can simply go on."""
        rise = min(1.0, (self.step - self.first_step + 1) / self.warmup)
        fall = max(0.0, (self.elapsed / self.seconds - 0.75) / 0.25)
        return rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, fall))))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def save_checkpoint(name: str, **state: object) -> None:
    """Write everything that a later sitting needs; a crash while writing loses nothing."""
    RUNS.mkdir(exist_ok=True)
    torch.save(state, RUNS / f"{name}.tmp")
    (RUNS / f"{name}.tmp").replace(RUNS / f"{name}.pt")


def load_checkpoint(name: str, restart: bool, device: str) -> dict | None:
    """What the last sitting left, or None."""
    path = RUNS / f"{name}.pt"
    if restart or not path.exists():
        return None
    return torch.load(path, map_location=device, weights_only=True)


@dataclass
class Progress:
    """What a training keeps from sitting to sitting.

    Starts from the checkpoint of the last sitting, else from the shipped weights (a fresh clone has
    no checkpoints), else from the random weights that `model` has.
    """

    name: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: Average
    step: int = 0

    @classmethod
    def resume(
        cls,
        name: str,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        args: argparse.Namespace,
        shipped: dict[str, Tensor] | None = None,
    ) -> "Progress":
        state = load_checkpoint(name, args.restart, args.device)
        if state is None:
            if shipped is not None and not args.restart:
                model.load_state_dict(shipped)
            return cls(name, model, optimizer, Average(model))
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average = Average(model)
        average.weights = state["average"]
        return cls(name, model, optimizer, average, state["step"])

    def save(self, step: int) -> None:
        """Write a checkpoint after `step`."""
        save_checkpoint(
            self.name,
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            average=self.average.weights,
            step=step + 1,
        )


def load_fp32(path: Path) -> dict[str, Tensor] | None:
    """Shipped weights in full precision, or None if there are none yet."""
    if not path.exists():
        return None
    return {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}


def save_fp16(weights: dict[str, Tensor], path: Path) -> None:
    """Write weights as fp16 safetensors; integers stay as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    halves = {
        k: (v.half() if v.dtype.is_floating_point else v).contiguous().cpu() for k, v in weights.items()
    }
    save_file(halves, path, metadata={"format": "pt"})
    path.chmod(0o644)


def report(name: str, **metrics: float) -> None:
    """One line of metrics on the screen and in the run's log."""
    RUNS.mkdir(exist_ok=True)
    line = json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in metrics.items()})
    tqdm.write(f"{name} {line}")
    with (RUNS / f"{name}.jsonl").open("a") as log:
        log.write(line + "\n")

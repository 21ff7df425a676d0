"""What every training script shares: arguments, the loop and its clock, averages, checkpoints."""

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from training import together

Judge = TypeVar("Judge", bound=nn.Module)
RUNS = Path("runs")  # checkpoints with optimiser state; never committed
MODELS = Path("assets/models")


def parse_args(
    name: str,
    *,
    minutes: float,
    batch: int,
    lr: float,
    fresh: float = 16,
    pool: int = 20_000,
    **flags: str,
) -> argparse.Namespace:
    """The command line that all training scripts share; `flags` adds switches with their help."""
    parser = argparse.ArgumentParser(prog=f"python -m training.{name}")
    parser.add_argument("--minutes", type=float, default=minutes, help="how long this run trains")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument("--pool", type=int, default=pool, help="scenes held in memory")
    parser.add_argument("--fresh", type=float, default=fresh, help="new scenes a step")
    parser.add_argument("--fall", type=float, default=0.25, help="share of the run in which --lr falls")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--restart", action="store_true", help="ignore the checkpoint")
    for flag, text in flags.items():
        parser.add_argument("--" + flag.replace("_", "-"), action="store_true", help=text)
    args = parser.parse_args()
    args.seed += 1000 * together.join()  # each process draws scenes of its own
    return args


class Average:
    """Exponential moving average of a model's weights and buffers, with a warm-up (Karras et al. 2024)."""

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (step + 1) / (step + 20))
        now = model.state_dict()
        moving = [k for k, v in now.items() if v.dtype.is_floating_point]
        # All at once: one by one, a GPU waits longer for the calls than it computes.
        torch._foreach_lerp_([self.weights[k] for k in moving], [now[k] for k in moving], 1 - decay)
        for key in now.keys() - set(moving):
            self.weights[key].copy_(now[key])


LONGEST_STEP_S = 60


class Clock:
    """Counts steps until the minutes are over; the learning rate falls in their last part.

    A step counts for at most `LONGEST_STEP_S`: a process that was stopped for a while goes on where it was.
    """

    def __init__(self, minutes: float, first_step: int = 0, warmup: int = 100, fall: float = 0.25) -> None:
        self.seconds, self.warmup, self.step, self.fall = minutes * 60, warmup, first_step, fall
        self.first_step = first_step
        self.elapsed = 0.0
        self.bar = tqdm(total=round(minutes * 60), unit="s", mininterval=10, disable=not together.is_first())

    def __iter__(self) -> Iterator[int]:
        while self.elapsed < self.seconds:
            began = time.monotonic()
            yield self.step
            self.step += 1
            self.elapsed += together.agreed(min(time.monotonic() - began, LONGEST_STEP_S))
            self.bar.update(round(self.elapsed) - self.bar.n)
        self.bar.close()

    @property
    def lr_scale(self) -> float:
        """Warm up, hold, then fall along a half cosine: a later run can simply go on."""
        rise = min(1.0, (self.step - self.first_step + 1) / self.warmup)
        fall = max(0.0, (self.elapsed / self.seconds - 1 + self.fall) / self.fall)
        return rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, fall))))


def mixed_precision(device: str, on_cpu: bool = True) -> torch.autocast:
    """bfloat16 where the hardware multiplies it; elsewhere full precision, which is then faster.

    On a CPU without AMX or AVX512-BF16 the U-Net's step takes 2.4 times as long in bfloat16.

    Args:
        device: "cpu" or "cuda".
        on_cpu: False where a CPU's bfloat16 does not help, as in attention's way back.
    """
    multiplies = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    capable = device != "cpu" or (on_cpu and multiplies)
    return torch.autocast(device, torch.bfloat16, enabled=capable)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def save_checkpoint(name: str, **state: object) -> None:
    """Write everything that a later run needs; a crash while writing loses nothing."""
    RUNS.mkdir(exist_ok=True)
    torch.save(state, RUNS / f"{name}.tmp")
    (RUNS / f"{name}.tmp").replace(RUNS / f"{name}.pt")


def load_checkpoint(name: str, restart: bool, device: str) -> dict | None:
    """What the last run left, or None."""
    path = RUNS / f"{name}.pt"
    if restart or not path.exists():
        return None
    return torch.load(path, map_location=device, weights_only=True)


@dataclass
class Progress:
    """What a training keeps from run to run.

    Starts from the checkpoint of the last run, else from the shipped weights (a fresh clone has
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
            together.share_weights(model)
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


def load_judge(judge: Judge, path: Path, script: str) -> Judge:
    """Fill a judge with its shipped weights, frozen.

    Args:
        judge: with any weights.
        path: of its weights.
        script: that trains it.

    Raises:
        FileNotFoundError: if it was never trained.
    """
    weights = load_fp32(path)
    if weights is None:
        raise FileNotFoundError(f"the judge has no weights yet: run `python -m training.{script}`")
    judge.load_state_dict(weights)
    return judge.eval().requires_grad_(False)


def save_fp16(weights: dict[str, Tensor], path: Path, in_8_bits: tuple[str, ...] = ()) -> None:
    """Write weights as fp16 safetensors; integers stay as they are.

    Args:
        weights: by name.
        path: of the file.
        in_8_bits: names of weights to write as fp8 (e4m3: four digits of a power of two, three of a
            fraction), for large tables that bear an error of 3 %.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = dict.fromkeys(in_8_bits, torch.float8_e4m3fn)
    small = {
        k: (v.to(kinds.get(k, torch.float16)) if v.dtype.is_floating_point else v).contiguous().cpu()
        for k, v in weights.items()
    }
    unfinished = path.with_suffix(".tmp")  # another training may read the file at any moment
    save_file(small, unfinished, metadata={"format": "pt"})
    unfinished.chmod(0o644)
    unfinished.replace(path)


def report(name: str, **metrics: float) -> None:
    """One line of metrics on the screen and in the run's log."""
    RUNS.mkdir(exist_ok=True)
    line = json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in metrics.items()})
    tqdm.write(f"{name} {line}")
    with (RUNS / f"{name}.jsonl").open("a") as log:
        log.write(line + "\n")


def train(
    run: Progress,
    args: argparse.Namespace,
    compute: Callable[[], tuple[Tensor, Mapping[str, float | Tensor]]],
    *,
    export: Callable[[dict[str, Tensor]], dict[str, float] | None],
    log_every: int = 100,
    save_every: int = 500,
    clip_norm: float = 1.0,
    after: Callable[[], dict[str, float]] | None = None,
) -> int:
    """The loop of all trainings: until the minutes are over, with checkpoints that lose little.

    Args:
        run: what is trained; its model, optimizer and average move on in place.
        args: `minutes` and `lr` of the command line.
        compute: draws a batch; returns its loss and the metrics that the log averages, numbers or scalars
            on the device: those are read when the log is written, so that no step waits for them.
        export: writes averaged weights in the library's format; returns metrics of what it wrote.
        log_every, save_every: steps between lines of the log and between checkpoints.
        clip_norm: longest gradient.
        after: what has to be done after each line of the log; returns more metrics for it.

    Returns:
        Steps so far, those of earlier runs included.
    """
    clock = Clock(args.minutes, run.step, fall=args.fall)
    history: list[Mapping[str, float | Tensor]] = []
    for step in clock:
        set_lr(run.optimizer, args.lr * clock.lr_scale)
        loss, metrics = compute()
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        together.average_gradients(run.model)
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), clip_norm)
        run.optimizer.step()
        run.average.update(run.model, step)
        history.append({"loss": loss.detach(), **metrics})
        if (step + 1) % log_every == 0:
            if together.is_first():
                extra = after() if after is not None else {}
                report(run.name, step=step + 1, minutes=clock.elapsed / 60, **means(history), **extra)
            history.clear()
        if (step + 1) % save_every == 0 and together.is_first():
            run.save(step)
            export(run.average.weights)
    if together.is_first():
        run.save(clock.step - 1)
        report(run.name, step=clock.step, **(export(run.average.weights) or {}))
    return clock.step


def means(history: list[Mapping[str, float | Tensor]]) -> dict[str, float]:
    """Each metric's mean over the steps that have it."""
    names = {name for metrics in history for name in metrics}
    return {k: float(np.mean([float(h[k]) for h in history if k in h])) for k in sorted(names)}

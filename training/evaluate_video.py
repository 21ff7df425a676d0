"""What the classroom's films reach: the motion that was asked for, and whether they stay in one piece.

Consistency stands beside the dynamic degree, because a still picture is perfectly consistent; beside the
change of pixels, because DINO calls the same thing in another place and light equal; and beside clips that
the world draws itself of the same things in the same motions.

Source: Huang et al. 2023 (VBench), arXiv:2311.17982: formula of background consistency, here on DINO's
features; dynamic degree, here with block matching instead of RAFT.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from pipelines.image.image import decode
from pipelines.image.load import classroom_scheduler, image_pipeline
from pipelines.video import video
from pipelines.video.measures import VideoMeasures, measure
from pipelines.video.request import VideoRequest
from pipelines.world.films import (
    CAMERA_MOTIONS,
    MOTION_WORDS,
    MOTIONS,
    draw_film,
    is_held_out_motion,
    render_film,
)
from pipelines.world.scene import NOUNS, PLACES
from training.evaluation_prompts import PLACE_WORDS
from training.evaluation_rows import EvaluationRow, mean_row, share_row
from training.film_scorers import ANSWERS, FOLDER, WEIGHTS, FilmScorer, load_film_scorer, watch
from training.pool import to_tensor
from training.train_unet import latents_of

MODEL, PICTURES, DINO = "classroom-video", "classroom-image", "classroom-dino"
SEED, STEPS = 20_000, 12
PER_MOTION = 8  # prompts
JUDGED = 24  # fresh renders of each answer, for the judge
WITHOUT = 18  # films that are drawn without attention between frames, too


@dataclass(frozen=True)
class MotionPrompt:
    """One prompt and the truth it asks for."""

    text: str
    noun: str
    motion: str


def prompts(per_motion: int = PER_MOTION) -> list[MotionPrompt]:
    """Prompts with one thing, a motion and a place each; things and places take turns."""
    out = []
    for k, motion in enumerate(MOTIONS):
        for i in range(per_motion):
            noun, place = NOUNS[(5 * i + k) % len(NOUNS)], PLACES[(i + 2 * k) % len(PLACES)]
            word, where = MOTION_WORDS[motion][0], PLACE_WORDS[place]
            camera = motion in CAMERA_MOTIONS
            text = f"a {noun} {where}, {word}" if camera else f"a {noun} {word} {where}"
            out.append(MotionPrompt(text, noun, motion))
    return out


def evaluate_video(per_motion: int = PER_MOTION, without: int = WITHOUT) -> list[EvaluationRow]:
    """All rows of the classroom's films; without the judge's weights, those that need none."""
    asked = prompts(per_motion)
    requests = [
        VideoRequest(a.text, seed=SEED + i, num_inference_steps=STEPS, model=MODEL)
        for i, a in enumerate(asked)
    ]
    films = [video.run(request).frames for request in tqdm(requests, "films", mininterval=20)]
    apart = [
        video.run(replace(request, motion=False)).frames
        for request in tqdm(requests[:: max(1, len(requests) // without)], "apart", mininterval=20)
    ]
    real = [real_clip(a, SEED + i) for i, a in enumerate(asked)]
    found, true, loose = ([measure(f, DINO) for f in group] for group in (films, real, apart))
    rows = consistency_rows(found, true, loose)
    if not (FOLDER / WEIGHTS).exists():
        return rows
    scorer = load_film_scorer()
    judge = [judge_row(scorer), swimming_row(scorer, asked, real)]
    return [*judge, *motion_rows(asked, watch(films, scorer), watch(apart, scorer)), *rows]


def real_clip(asked: MotionPrompt, seed: int) -> tuple[Image.Image, ...]:
    """A film that the world draws itself, of the same thing in the same motion."""
    rng = np.random.default_rng(seed)
    while True:
        film = draw_film(rng, unseen=True, motion=asked.motion)
        if film.scene.things[0].noun == asked.noun:
            return render_film(film, seed).frames


def judge_row(scorer: FilmScorer, count: int = JUDGED) -> EvaluationRow:
    """The judge on fresh renders, as many of each motion, and of none."""
    rng = np.random.default_rng(SEED - 1)
    clips: list[tuple[Image.Image, ...]] = []
    truth: list[str | None] = []
    for answer in ANSWERS:
        while truth.count(answer) < count:
            film = draw_film(rng, unseen=True, motion=answer)
            if film.motion == answer:
                clips.append(render_film(film, len(clips)).frames)
                truth.append(answer)
    hits = [a == b for a, b in zip(watch(clips, scorer), truth, strict=True)]
    return share_row("film_scorers.motion", hits, 0.98)


def swimming_row(
    scorer: FilmScorer, asked: Sequence[MotionPrompt], real: Sequence[Sequence[Image.Image]], step: int = 4
) -> EvaluationRow:
    """The judge on true films whose frames the picture model drew anew, each from a noise of its own.

    What moves is still true, but edges swim as they do in a model's films; so the share that the judge gets
    right bounds what it can see in those.

    Args:
        scorer: the judge.
        asked: what the films show.
        real: the true films, in the same order.
        step: every how many of them are tried.
    """
    some = range(0, len(asked), step)
    films = [redrawn(real[i], asked[i].text, SEED + i) for i in tqdm(some, "swimming", mininterval=20)]
    hits = [asked[i].motion == s for i, s in zip(some, watch(films, scorer), strict=True)]
    return share_row("film_scorers.motion_swimming", hits, None)


@torch.no_grad()
def redrawn(frames: Sequence[Image.Image], text: str, seed: int, begin: int = 500) -> tuple[Image.Image, ...]:
    """Frames noised up to a timestep and drawn anew from there, each for itself.

    Source: Meng et al. 2021 (SDEdit), arXiv:2108.01073.

    Args:
        frames: of 64 px.
        text: that they are drawn with, without guidance.
        seed: of the noise.
        begin: the highest timestep that is used.
    """
    pipe, scheduler = image_pipeline(PICTURES), classroom_scheduler()
    scheduler.set_timesteps(STEPS)
    timesteps = [t for t in scheduler.timesteps if t <= begin]
    latents = latents_of(pipe.vae, to_tensor([np.asarray(frame) for frame in frames]))
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    latents = scheduler.add_noise(latents, noise, timesteps[0])
    context, _ = pipe.encode_prompt(text, "cpu", len(frames), do_classifier_free_guidance=False)
    for t in timesteps:
        velocity = pipe.unet(latents, t, context).sample
        latents = scheduler.step(velocity, t, latents).prev_sample
    return tuple(decode(latents.numpy(), PICTURES))


def motion_rows(
    asked: Sequence[MotionPrompt], seen: Sequence[str | None], apart: Sequence[str | None]
) -> list[EvaluationRow]:
    """The share of films in which the judge sees the motion that was asked for.

    Args:
        asked: of every film.
        seen: what the judge saw.
        apart: what it saw in the films without attention between frames, evenly drawn from `asked`.
    """
    hits = [a.motion == s for a, s in zip(asked, seen, strict=True)]
    unseen = [is_held_out_motion(a.motion, a.noun) for a in asked]
    step = max(1, len(asked) // max(1, len(apart)))
    control = [a.motion == s for a, s in zip(asked[::step], apart, strict=False)]
    rows = [share_row("video.motion", hits, 0.80), share_row("video.motion_without_attention", control, None)]
    for name, wanted in (("seen", False), ("unseen", True)):
        part = [hit for hit, u in zip(hits, unseen, strict=True) if u == wanted]
        rows += [share_row(f"video.motion_{name}", part, None)] if part else []
    return rows


def consistency_rows(
    found: Sequence[VideoMeasures], true: Sequence[VideoMeasures], apart: Sequence[VideoMeasures]
) -> list[EvaluationRow]:
    """Consistency of a model's films against the world's own; change and dynamic degree of each.

    Args:
        found: a model's films.
        true: the world's own of the same things and motions, in the same order.
        apart: a model's without attention between frames.
    """
    gaps = [a.consistency - b.consistency for a, b in zip(found, true, strict=True)]
    rows = [mean_row("video.consistency_gap", gaps, -0.03)]
    for name, group in (("", found), ("_real", true), ("_without_attention", apart)):
        rows.append(mean_row(f"video.consistency{name}", [m.consistency for m in group], None))
        rows.append(mean_row(f"video.change{name}", [m.change for m in group], None))
        rows.append(share_row(f"video.dynamic_degree{name}", [m.moves for m in group], None))
    return rows

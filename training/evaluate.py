"""`make evaluate`: judge the classroom models by the table of the world, and write what came out.

Run: `python -m training.evaluate [--only clip,geneval,…] [--again]`. Each part is written when it is done,
and a later run leaves out parts whose weights are still those they were measured on. Ends with the table as
it stands, one JSON object a line: `{"id", "value", "must", "n", "ci95", "ok"}`. Writes assets/evaluation and
docs/evaluation.md.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations

import numpy as np
from PIL import Image
from scipy import stats
from tqdm import tqdm

from pipelines.clip.embeddings import embed
from pipelines.clip.model import clip_scores, encode_texts
from pipelines.world.captions import Facts, caption, parse
from pipelines.world.layout import draw_scene, lay_out
from pipelines.world.render import render
from pipelines.world.scene import NOUNS
from training.dino_probe import draw_singles, pictures_of
from training.drawing import draw
from training.evaluate_attention import evaluate_attention
from training.evaluate_audio import evaluate_audio
from training.evaluate_dino import evaluate_dino
from training.evaluate_video import evaluate_video
from training.evaluate_words import evaluate_words
from training.evaluation_prompts import (
    GENEVAL,
    LECTURE,
    LIGHT_WORDS,
    OWN,
    PLACE_WORDS,
    TIDY,
    EvalPrompt,
    inviting,
    prompts_of,
    scene_for,
    unseen_and_seen,
)
from training.evaluation_rows import (
    EvaluationRow,
    evaluation_row,
    mean_row,
    over_prompts,
    ratio_interval,
    read,
    share_row,
    write,
)
from training.free_wording import FREE_WORDING
from training.lesson_facts import FACTS
from training.scorers import Scorer, load_scorer, look_at

SEEDS = 4  # pictures of a prompt
RENDERS = 8  # of a prompt, for the judge of pictures


def satisfied(images: Sequence[Image.Image], facts: Sequence[Facts], scorer: Scorer) -> list[dict[str, bool]]:
    """For each picture, each demand of its prompt and whether it is met."""
    verdicts = [v for i in range(0, len(images), 64) for v in look_at(images[i : i + 64], scorer)]
    return [v.answers(f) for v, f in zip(verdicts, facts, strict=True)]


def judge_prompts(prompts: Sequence[EvalPrompt], scorer: Scorer, seeds: int = SEEDS) -> list[bool]:
    """Whether each picture (prompt by prompt, seed by seed) shows all that its prompt asks for."""
    texts = [p.text for p in prompts for _ in range(seeds)]
    facts = [p.facts for p in prompts for _ in range(seeds)]
    images = draw(texts, [1000 * (i // seeds) + i % seeds for i in range(len(texts))])
    return [all(a.values()) for a in satisfied(images, facts, scorer)]


def shares_by_prompt(hits: Sequence[bool]) -> np.ndarray:
    """`[prompt]` shares of hits that are given prompt by prompt, seed by seed."""
    return np.reshape(hits, (-1, SEEDS)).mean(1)


def evaluate_scorers(scorer: Scorer) -> list[EvaluationRow]:
    """The judge on fresh renders of the prompts it will judge: all demands met must be seen as met."""
    rows = []
    for category in (*GENEVAL, *OWN, "relation"):
        rng = np.random.default_rng([5, *category.encode()])
        prompts = prompts_of(category)
        facts = [p.facts for p in prompts for _ in range(RENDERS)]
        images = [render(scene_for(f, rng), rng)[0] for f in facts]
        hits = [all(a.values()) for a in satisfied(images, facts, scorer)]
        must = 0.95 if category in ("position", "relation") else 0.98
        rows.append(share_row(f"scorers.{category}", hits, must, RENDERS))
    return [*rows, _defect_judge(scorer)]


def _defect_judge(scorer: Scorer) -> EvaluationRow:
    """The judge of defects on fresh renders, half of them with a defect that a prompt invites."""
    rng = np.random.default_rng([5, *b"defects"])
    asked = [(p.facts, word) for p, word in inviting() for _ in range(RENDERS // 2)]
    pairs = [(facts, word) for facts, word in asked] + [(replace(f, defect=None), None) for f, _ in asked]
    images, truths = [], []
    for facts, word in pairs:
        scene = replace(scene_for(facts, rng), defect=word)
        images.append(render(scene, rng)[0])
        truths.append(word)
    verdicts = [v for i in range(0, len(images), 64) for v in look_at(images[i : i + 64], scorer)]
    hits = [v.looks["defect"] == truth for v, truth in zip(verdicts, truths, strict=True)]
    by_prompt = np.reshape(hits, (2, -1, RENDERS // 2)).swapaxes(0, 1).ravel().tolist()
    return share_row("scorers.negative_ratio", by_prompt, 0.98, RENDERS)


def evaluate_categories(scorer: Scorer, categories: Sequence[str]) -> list[EvaluationRow]:
    """The share of pictures that show all that their prompt asks for, by category."""
    return [
        share_row(
            f"image.{name}", judge_prompts(prompts_of(name), scorer), 0.85 if name in OWN else None, SEEDS
        )
        for name in categories
    ]


def evaluate_geneval(scorer: Scorer) -> list[EvaluationRow]:
    """GenEval's six categories and their mean."""
    hits = {name: judge_prompts(prompts_of(name), scorer) for name in GENEVAL}
    shares = [shares_by_prompt(h) for h in hits.values()]

    def mean(*categories: np.ndarray) -> float:
        return float(np.mean([shares.mean() for shares in categories]))

    n, prompts = sum(map(len, hits.values())), sum(map(len, shares))
    whole = evaluation_row("image.geneval_mean", mean(*shares), 0.80, n, over_prompts(mean, *shares), prompts)
    return [*(share_row(f"image.{name}", h, None, SEEDS) for name, h in hits.items()), whole]


def evaluate_unseen(scorer: Scorer) -> list[EvaluationRow]:
    """Combinations that training never showed, against combinations of the same kinds that it did."""
    unseen, seen = unseen_and_seen()
    a, b = judge_prompts(unseen, scorer), judge_prompts(seen, scorer)
    ci95 = over_prompts(lambda x, y: x.mean() - y.mean(), shares_by_prompt(a), shares_by_prompt(b))
    gap = float(np.mean(a) - np.mean(b))
    return [
        share_row("image.unseen", a, None, SEEDS),
        share_row("image.seen", b, None, SEEDS),
        evaluation_row("image.unseen_minus_seen", gap, -0.15, len(a), ci95, len(a) // SEEDS),
    ]


def evaluate_negative(scorer: Scorer) -> list[EvaluationRow]:
    """Defects drawn with the negative prompt that names them, against without it."""
    pairs = inviting()
    texts = [p.text for p, _ in pairs for _ in range(SEEDS)]
    words = [w for _, w in pairs for _ in range(SEEDS)]
    seeds = [1000 * (i // SEEDS) + i % SEEDS for i in range(len(texts))]

    def drawn(negative: list[str] | None) -> list[bool]:
        images = draw(texts, seeds, negative)
        verdicts = [v for i in range(0, len(images), 64) for v in look_at(images[i : i + 64], scorer)]
        return [v.looks["defect"] == w for v, w in zip(verdicts, words, strict=True)]

    without, with_it = drawn(None), drawn(words)
    ratio = float(np.mean(with_it) / max(float(np.mean(without)), 1e-6))
    ci95 = ratio_interval(shares_by_prompt(with_it), shares_by_prompt(without))
    return [
        share_row("image.defects_invited", without, None, SEEDS),
        evaluation_row("image.negative_ratio", ratio, 0.3, len(texts), ci95, len(pairs)),
    ]


def evaluate_lecture(scorer: Scorer) -> list[EvaluationRow]:
    """The lecture's three prompts, 32 seeds each. Of "cozy" and "dimm", either light counts.

    The claim is about these very prompts, so seeds are the sample and none of the prompts is drawn.
    """
    hits = [_right_in_one_reading(text, scorer) for text in LECTURE]
    rows = [share_row(f"image.lecture_{k + 1}", right, None) for k, right in enumerate(hits)]
    tidy = share_row("image.lecture_3_tidy", _right_in_one_reading(TIDY, scorer), None)
    return [*rows, tidy, share_row("image.lecture", list(chain(*hits)), 0.85)]


def _right_in_one_reading(text: str, scorer: Scorer, seeds: int = 32) -> list[bool]:
    images = draw([text] * seeds, list(range(seeds)))
    readings = [[all(a.values()) for a in satisfied(images, [f] * seeds, scorer)] for f in parse_all(text)]
    return [any(right) for right in zip(*readings, strict=True)]


def evaluate_free_wording(scorer: Scorer) -> list[EvaluationRow]:
    """Prompts as people write them, in wordings that no caption of the training has."""
    return [share_row("image.free_wording", judge_prompts(FREE_WORDING, scorer), 0.7, SEEDS)]


def parse_all(text: str) -> list[Facts]:
    """The facts of a text; one reading for each light it names, since a picture has one light."""
    lights = [parse(part).atmosphere for part in text.split(".")]
    readings = [replace(parse(text), atmosphere=light) for light in lights if light is not None]
    return readings or [parse(text)]


def evaluate_clip() -> list[EvaluationRow]:
    """Fresh 5 x 5 batches; whether the score rises with the number of right facts; names of single things."""
    rng = np.random.default_rng(99)
    hits = []
    for _ in range(300):
        scenes = [draw_scene(rng) for _ in range(5)]
        images, texts = [render(s, rng)[0] for s in scenes], [caption(s, rng) for s in scenes]
        scores = clip_scores(images, texts, "classroom-clip")
        right = [(scores.argmax(axis) == np.arange(5)).all() for axis in (0, 1)]
        hits.append(bool(all(right)))
    rows = [share_row("clip.five_by_five", hits, 0.99), _spearman(rng), _zero_shot()]
    return [*rows, _lecture_neighbours(), _relation_cosine()]


def _lecture_neighbours() -> EvaluationRow:
    """The eight nearest captions of each of the lecture's prompts, all of which are about a cat."""
    found = [n.world.text for e in embed([*LECTURE], "classroom-clip") for n in e.neighbours]
    return share_row(
        "clip.lecture_neighbours",
        [any(thing.noun == "cat" for thing in parse(text).things) for text in found],
        0.875,
    )


def _relation_cosine() -> EvaluationRow:
    """Texts that say the same of two things the other way round, for all pairs of things."""
    pairs = list(combinations(NOUNS, 2))
    texts = [f"a {a} on a {b}" for pair in pairs for a, b in (pair, pair[::-1])]
    vectors = encode_texts(texts, "classroom-clip").reshape(len(pairs), 2, -1)
    return mean_row("clip.relation_cosine", (vectors[:, 0] * vectors[:, 1]).sum(1).tolist(), 0.9)


def _zero_shot(n: int = 400) -> EvaluationRow:
    """Pictures with one thing, each against "a picture of a ..." for all things of the world."""
    scenes = draw_singles(n, 99)
    texts = [f"a picture of a {noun}" for noun in NOUNS]
    scores = clip_scores(pictures_of(scenes), texts, "classroom-clip")
    return share_row("clip.zero_shot", (scores.argmax(1) == scenes.nouns).tolist(), 0.9)


def _spearman(rng: np.random.Generator, n: int = 600) -> EvaluationRow:
    """Score of a prompt with renders that hold between none and all of its facts."""
    counts, scores = [], []
    for _ in range(n):
        colour_prompt = prompts_of("colours")[int(rng.integers(50))].facts
        look = draw_scene(rng)
        facts = Facts(colour_prompt.things, place=look.place, atmosphere=look.atmosphere, style=look.style)
        right, image = _partly_right(facts, rng)
        scores.append(float(clip_scores([image], [caption_of(facts)], "classroom-clip")[0, 0]))
        counts.append(right)
    value = float(stats.spearmanr(counts, scores).statistic)
    half = 1.96 / float(np.sqrt(n - 3))  # of Fisher's transform
    ci95 = (float(np.tanh(np.arctanh(value) - half)), float(np.tanh(np.arctanh(value) + half)))
    return evaluation_row("clip.spearman", value, 0.5, n, ci95)


def _partly_right(facts: Facts, rng: np.random.Generator) -> tuple[int, Image.Image]:
    """A render in which a random part of five facts was replaced, and how many are right."""
    other = scene_for(prompts_of("colours")[int(rng.integers(50))].facts, rng)
    thing = facts.things[0]
    keep = rng.random(5) < rng.random()
    noun = thing.noun if keep[0] else other.things[0].noun
    colour = thing.colour if keep[1] else other.things[0].colour
    mixed = Facts(
        (replace(thing, noun=noun, colour=colour),),
        place=facts.place if keep[2] else other.place,
        atmosphere=facts.atmosphere if keep[3] else other.atmosphere,
        style=facts.style if keep[4] else other.style,
    )
    scene = replace(scene_for(mixed, rng), atmosphere=mixed.atmosphere, composition=None, defect=None)
    right = (
        (noun == thing.noun)
        + (colour == thing.colour)
        + (mixed.place == facts.place)
        + (mixed.atmosphere == facts.atmosphere)
        + (mixed.style == facts.style)
    )
    return int(right), render(lay_out(scene, rng), rng)[0]


def caption_of(facts: Facts) -> str:
    """A plain sentence that says all of the facts of one thing."""
    thing = facts.things[0]
    text = f"a {thing.colour} {thing.noun} {PLACE_WORDS[facts.place or 'room']}"
    light = f", {LIGHT_WORDS[facts.atmosphere]}" if facts.atmosphere else ""
    return f"{text}{light}, {facts.style}"


def evaluate_lessons() -> list[EvaluationRow]:
    """What the quiz says of the models, question by question."""
    found = {name: fact() for name, fact in FACTS.items()}
    for name, fact in found.items():
        if not fact.holds:
            tqdm.write(f"{name} no longer holds: {fact.measured}", file=sys.stderr)
    return [share_row("lessons.facts", [fact.holds for fact in found.values()], 1.0)]


@dataclass(frozen=True)
class Part:
    """A part of the evaluation.

    Attributes:
        run: measures its rows.
        row: id of one that it always has; where that belongs to the present weights, the part is done.
    """

    run: Callable[[], list[EvaluationRow]]
    row: str


PARTS = {
    "scorers": Part(lambda: evaluate_scorers(load_scorer()), "scorers.negative_ratio"),
    "clip": Part(evaluate_clip, "clip.zero_shot"),
    "dino": Part(evaluate_dino, "dino.knn"),
    "geneval": Part(lambda: evaluate_geneval(load_scorer()), "image.geneval_mean"),
    "own": Part(lambda: evaluate_categories(load_scorer(), (*OWN, "relation")), "image.relation"),
    "unseen": Part(lambda: evaluate_unseen(load_scorer()), "image.unseen_minus_seen"),
    "negative": Part(lambda: evaluate_negative(load_scorer()), "image.negative_ratio"),
    "lecture": Part(lambda: evaluate_lecture(load_scorer()), "image.lecture"),
    "free": Part(lambda: evaluate_free_wording(load_scorer()), "image.free_wording"),
    "attention": Part(evaluate_attention, "image.attention_miou"),
    "audio": Part(evaluate_audio, "audio.text_gain"),
    "video": Part(evaluate_video, "video.consistency_gap"),
    "words": Part(evaluate_words, "image.word_vs_seed"),
    "lessons": Part(evaluate_lessons, "lessons.facts"),  # after "words", whose figures one of them quotes
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate")
    parser.add_argument("--only", default=",".join(PARTS), help="comma-separated parts")
    parser.add_argument("--again", action="store_true", help="measure what is done, too")
    args = parser.parse_args()
    for name in args.only.split(","):
        if not args.again and PARTS[name].row in {row["id"] for row in read()}:
            tqdm.write(f"{name}: done on these weights; --again measures it anew", file=sys.stderr)
            continue
        write(PARTS[name].run())
    for row in read():
        print(json.dumps(row))


if __name__ == "__main__":
    main()

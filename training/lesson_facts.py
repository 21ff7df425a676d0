"""What the quiz says of the shipped models, measured anew: weights must not make a lesson wrong unnoticed.

Each fact belongs to a question of `assets/lessons/quiz.toml` and names what was measured.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from torch.nn.utils import parameters_to_vector

from pipelines.audio import audio
from pipelines.audio.request import AudioRequest
from pipelines.clip.clip_matrix import classify, learned_temperature, pair_set
from pipelines.clip.contrastive import ContrastiveLearner, Recipe
from pipelines.clip.contrastive_pairs import first_pairs
from pipelines.clip.directions import direction
from pipelines.clip.embeddings import embed
from pipelines.clip.model import clip_scores
from pipelines.dino.dino import gallery, neighbours
from pipelines.dino.training import DinoLearner, Settings
from pipelines.image import image
from pipelines.image.conditioning import switch_prompts
from pipelines.image.control_vector import control_vector
from pipelines.image.cross_attention import hide_tokens
from pipelines.image.guidance import guidance_sweep
from pipelines.image.request import ImageRequest
from pipelines.image.steering import Steering
from pipelines.serving import catalogue
from pipelines.serving.measured import word_distances
from pipelines.text.context import read_contexts, shared_words
from pipelines.text.tokens import token_view
from pipelines.video import video
from pipelines.video.measures import measure
from pipelines.video.request import VideoRequest

CAT = "A small cat on a bed."


@dataclass(frozen=True)
class Fact:
    """Whether what a question says is so, and the numbers that show it."""

    holds: bool
    measured: Mapping[str, Any]


def clip_id() -> str:
    return catalogue.default_id("clip")


def _request(prompt: str, **values: Any) -> ImageRequest:
    return ImageRequest(prompt, seed=values.pop("seed", 0), **values).validated()


@cache
def _picture(prompt: str, seed: int = 0, scale: float = 5.0, negative: str = "") -> Any:
    return image.run(_request(prompt, seed=seed, guidance_scale=scale, negative_prompt=negative)).image


def _pixels(picture: Any) -> np.ndarray:
    return np.asarray(picture, dtype=float)


def another_seed_is_another_picture() -> Fact:
    change = float(np.abs(_pixels(_picture(CAT, 0)) - _pixels(_picture(CAT, 1))).mean())
    return Fact(change > 10, {"mean difference of seeds 0 and 1, of 255": change})


def text_is_used_at_every_step() -> Fact:
    scores = switch_prompts(_request(CAT), "A red car in the snow.", [10, 20]).clip_scores
    return Fact(
        scores[0, 1] > scores[1, 1] + 0.05,
        {"CLIP score of the second prompt, swapped at 10 and never": scores[:, 1]},
    )


def pieces(text: str) -> list[str]:
    return [piece.text.strip() for piece in token_view(text, clip_id()).pieces if piece.word >= 0]


def a_typo_is_cut_in_two() -> Fact:
    found = pieces("Dimm")
    return Fact(
        [p.strip().lower() for p in found] == ["di", "mm"] and len(pieces("Dim")) == 1, {"Dimm": found}
    )


def an_emoji_is_one_token() -> Fact:
    counts = [len(pieces(word)) for word in ("🐱", "watermark", "Katze", "Straße")]
    return Fact(counts == [1, 2, 2, 4], {"tokens": counts})


def _cosine(a: str, b: str) -> float:
    first, second = embed([a, b], clip_id())
    return float(first.vector @ second.vector)


def no_dog_is_nearer_to_a_dog() -> Fact:
    dog, cat = _cosine("a cat, no dog", "a dog"), _cosine("a cat, no dog", "a cat")
    return Fact(dog > cat, {"with a dog": dog, "with a cat": cat})


def size_is_a_direction_not_a_number() -> Fact:
    first, second = embed([CAT, "A large cat on a bed."], clip_id())
    change = np.abs(second.vector - first.vector)
    many, largest = int((change > 0.1 * change.max()).sum()), float(change.max() ** 2 / (change**2).sum())
    transfer = direction("size", "large", "small", clip_id()).transfer
    right = int(transfer.ordered.sum())
    return Fact(many > 64 and right == len(transfer.ordered), {
        "numbers that change": many, "of": len(change), "share of the largest": largest,
        "objects in the right order": f"{right} of {len(transfer.ordered)}",
    })  # fmt: skip


def _word(a: str, b: str, word: str) -> float:
    found = read_contexts([a, b], clip_id())
    return {w.text: float(w.similarity[-1]) for w in reversed(shared_words(*found))}[word]


def what_follows_changes_nothing() -> Fact:
    after = _word("a cat on a bed", "a cat on a car", "cat")
    before = _word("on a bed, a cat", "on a car, a cat", "cat")
    return Fact(after > 0.9999 and before < 0.97, {"it changes after": after, "before": before})


def the_end_token_hardly_notices() -> Fact:
    one, other = "a red car next to a blue house", "a blue car next to a red house"
    values = {word or "end": _word(one, other, word) for word in ("next", "car", "house", "")}
    return Fact(max(values, key=values.__getitem__) == "end", values)


def the_cat_stays_at_weight_zero() -> Fact:
    view = token_view(CAT, catalogue.default_id("image"))
    place = next(i for i, piece in enumerate(view.fed) if piece.text.strip() == "cat")
    one = _request(CAT, steering=Steering(token_weights=((place, 0.0),)))
    onwards = _request(
        CAT, steering=Steering(token_weights=tuple((p, 0.0) for p in range(place, view.places)))
    )
    texts = ["a cat on a bed", "a bed", "a sofa"]
    alone, rest = (clip_scores([image.run(r).image], texts, clip_id())[0] for r in (one, onwards))
    return Fact(
        float(alone[0]) > float(rest[0]) + 0.05,
        {"CLIP score of 'a cat on a bed': cat alone": alone[0], "from there on": rest[0]},
    )


def the_generator_gets_77_vectors() -> Fact:
    vectors = control_vector(CAT, catalogue.default_id("image"))
    return Fact(vectors.sequence.shape[0] == 77, {"shape": vectors.sequence.shape})


def clip_hardly_sees_who_stands_where() -> Fact:
    texts = ["a cat on a chair", "a chair on a cat"]
    scores = clip_scores([_picture(texts[0], seed) for seed in range(4)], texts, clip_id())
    wrong = int((scores[:, 1] > scores[:, 0]).sum())
    return Fact(wrong >= 3, {"the wrong text wins in": f"{wrong} of 4", "scores": scores.round(2).tolist()})


def without_its_name_another_wins() -> Fact:
    images = pair_set("first")[0]
    labels = ["cat", "dog", "car", "boat", "house", "flower"]
    best = classify(images[:1], labels, "a {label}", clip_id()).best[0]
    rest = [label for label in labels if label != best]
    left = classify(images[:1], rest, "a {label}", clip_id())
    total = float(left.probabilities(learned_temperature(clip_id())).sum())
    return Fact(abs(total - 1) < 1e-5, {"taken away": best, "then": left.best[0], "sum": total})


def _trained(captions: str) -> Any:
    learner = ContrastiveLearner(first_pairs(5), Recipe(captions=captions).validated())
    learner.build()
    for step in range(20):
        learner.update(step)
    return learner.measure()


def wrong_captions_are_learned_as_willingly() -> Fact:
    own, swapped = _trained("own"), _trained("swapped")
    unseen = (own.unseen_accuracy, swapped.unseen_accuracy)
    found = {"own": own.accuracy, "swapped": swapped.accuracy, "unseen": unseen}
    return Fact(min(own.accuracy, swapped.accuracy) >= 0.9 and own.unseen_accuracy < 0.6, found)


def the_diagonal_rises_all_else_falls() -> Fact:
    learner = ContrastiveLearner(first_pairs(5), Recipe().validated())
    learner.build()
    before = learner.measure().similarity
    for step in range(20):
        learner.update(step)
    change = learner.measure().similarity - before
    own, others = float(np.diag(change).mean()), float(change[~np.eye(5, dtype=bool)].mean())
    return Fact(own > 0.1 and others < 0, {"diagonal": own, "others": others})


def the_teacher_is_the_students_average() -> Fact:
    apart = {}
    for momentum in (0.0, 0.999):
        learner = DinoLearner(0, Settings(momentum=momentum))
        learner.build()
        start = parameters_to_vector(learner.model.teacher.parameters()).detach().clone()
        for step in range(20):
            learner.update(step)
        teacher, student = (
            parameters_to_vector(network.parameters()).detach()
            for network in (learner.model.teacher, learner.model.student)
        )
        apart[momentum] = [float((teacher - other).norm()) for other in (student, start)]
    is_student, hardly_moves = apart[0.0][0] == 0, apart[0.999][1] < 0.05 * apart[0.999][0]
    return Fact(is_student and hardly_moves, {"teacher from student, from its start, by momentum": apart})


def dino_finds_things_pixels_find_colours() -> Fact:
    kinds: dict[str, list[float]] = {}
    pictures = gallery()
    for place, known in enumerate(pictures[:40]):
        for found in neighbours(known.picture, catalogue.default_id("dino"), clip_id()):
            same = [bool(pictures[i].nouns & known.nouns) for i in found.found if i != place]
            kinds.setdefault(found.kind, []).append(float(np.mean(same)))
    shares = {kind: float(np.mean(values)) for kind, values in kinds.items()}
    return Fact(shares["dino"] > shares["pixels"] + 0.1, shares)


def the_same_seed_is_the_same_picture() -> Fact:
    request = _request(CAT, seed=7)
    change = float(np.abs(_pixels(image.run(request).image) - _pixels(image.run(request).image)).max())
    return Fact(change == 0, {"largest difference, of 255": change})


def the_first_estimate_is_the_whole_blurred() -> Fact:
    trace = image.run(_request("A red car on the beach.", seed=1))
    steps = (trace.steps[0], trace.steps[-1])
    first, last = (_pixels(image.decode(s.denoised_guided[None], trace.request.model)[0]) for s in steps)
    likeness = float(np.corrcoef(first.ravel(), gaussian_filter(last, (8, 8, 0)).ravel())[0, 1])
    edges = [float(np.abs(np.diff(p.mean(2), axis=1)).mean()) for p in (first, last)]
    return Fact(likeness > 0.5 and edges[0] < 0.7 * edges[1], {"correlation": likeness, "edges": edges})


def scale_one_is_the_plain_model() -> Fact:
    sweep = guidance_sweep(_request(CAT), [0, 1, 5, 20])
    scores = [float(s) for s in sweep.clip_scores]
    steps = list(image.generate(_request(CAT, guidance_scale=1.0)))
    plain = float(np.abs(steps[3].denoised_guided - steps[3].denoised_prompt).max())
    return Fact(
        plain < 1e-4 and scores[0] < scores[1] < scores[2],
        {"CLIP score at 0, 1, 5, 20": scores, "guided less with": plain},
    )


def the_highest_score_is_not_the_best_picture() -> Fact:
    scales = [0, 1, 2, 3, 5, 7.5, 12, 20]
    sweep = guidance_sweep(_request("A  cat in front of a House.", seed=2), scales)
    scores = [float(s) for s in sweep.clip_scores]
    return Fact(scales[int(np.argmax(scores))] >= 12, {"CLIP scores": dict(zip(scales, scores, strict=True))})


@cache
def _hidden(prompt: str) -> Any:
    return hide_tokens(_request(prompt))


def the_start_token_gets_most_attention() -> Fact:
    found = _hidden(CAT)
    shares = {
        f"{p} {piece.text}": float(s)
        for p, piece, s in zip(found.places, found.pieces, found.shares, strict=True)
    }
    return Fact(int(found.places[found.shares.argmax()]) == 0, shares)


def hiding_a_word_leaves_other_ways() -> Fact:
    found = _hidden(CAT)
    changes = {piece.text.strip(): float(c) for piece, c in zip(found.pieces, found.changes, strict=True)}
    return Fact(changes["small"] < 3 < changes["bed"], changes)


def place_is_fixed_early() -> Fact:
    texts = ["A cat left of a tree.", "A cat right of a tree."]
    pictures = switch_prompts(_request(texts[0]), texts[1], [2, 8, 0, 20]).images
    early, late, right, left = (_pixels(p) for p in pictures)
    near = [(float(np.abs(p - left).mean()), float(np.abs(p - right).mean())) for p in (early, late)]
    return Fact(
        near[0][1] < near[0][0] and near[1][0] < near[1][1],
        {"swapped at 2 and 8: from left, from right": near},
    )


def light_is_fixed_late() -> Fact:
    pictures = switch_prompts(_request(CAT), "A small cat on a bed at night.", [16, 20]).images
    dark, light = (_pixels(p) for p in pictures)
    grey = [p.mean(2).ravel() for p in (dark, light)]
    likeness = float(np.corrcoef(*grey)[0, 1])
    return Fact(
        dark.mean() < light.mean() - 10 and likeness > 0.5,
        {"brightness": (dark.mean(), light.mean()), "correlation": likeness},
    )


def _letters(picture: Any) -> float:
    """How much nearer a picture is to one with text than to one without."""
    scores = clip_scores([picture], ["a cat, text", "a cat"], clip_id())[0]
    return float(scores[0] - scores[1])


def no_text_draws_text() -> Fact:
    says_no = [_letters(_picture("a cat, no text", seed)) for seed in range(6)]
    negative = [_letters(_picture("a cat, text", seed, negative="text")) for seed in range(6)]
    drawn = sum(value > 0 for value in says_no)
    return Fact(
        drawn >= 5 and np.mean(negative) < np.mean(says_no) - 0.05,
        {"text seen in": f"{drawn} of 6", "no text": says_no, "negative": negative},
    )


def content_words_win_in_clip_not_in_pixels() -> Fact:
    found = word_distances()
    if found is None or not found.true_of_shipped:
        return Fact(False, {"why": "the distances were measured on other weights"})
    in_clip = float((found.word_clip["content"] > np.median(found.seed_clip)).mean())
    in_pixels = float((found.word_pixel["content"] > np.median(found.seed_pixel)).mean())
    return Fact(in_clip > 0.85 and in_pixels < 0.6, {"CLIP": in_clip, "pixels": in_pixels})


@cache
def _film(prompt: str, motion: bool) -> Any:
    trace = video.run(VideoRequest(prompt, motion=motion).validated())
    return measure(trace.frames)


def frames_without_attention_fall_apart() -> Fact:
    on, off = _film("A cat walks right.", True), _film("A cat walks right.", False)
    return Fact(
        off.change > 1.5 * on.change,
        {"consistency": (on.consistency, off.consistency), "change": (on.change, off.change)},
    )


def the_consistency_number_misleads() -> Fact:
    on, off = (_film("A cat walks right in a meadow.", motion) for motion in (True, False))
    return Fact(
        off.consistency > on.consistency,
        {"consistency": (on.consistency, off.consistency), "change": (on.change, off.change)},
    )


def _spectra(samples: np.ndarray, rate: int) -> np.ndarray:
    """`[tenth of a second, frequency]` magnitudes."""
    size = rate // 10
    frames = samples[: len(samples) // size * size].reshape(-1, size) * np.hanning(size)
    return np.abs(np.fft.rfft(frames, 4 * size, axis=1))


def codebook_one_carries_the_tune() -> Fact:
    sound = audio.run(AudioRequest("A slow, sad piano melody."))
    first = audio.hear(sound.codes[:1], sound.request.model)
    whole, alone = (_spectra(s, sound.sample_rate).argmax(1) for s in (sound.samples, first))
    semitones = np.abs(12 * np.log2(np.maximum(whole, 1) / np.maximum(alone, 1)))
    same = float((semitones < 0.6).mean())
    return Fact(same > 0.7, {"tenths of a second with the same strongest pitch": same})


def without_the_prompt_music_goes_on() -> Fact:
    sound = audio.run(AudioRequest("A slow, sad piano melody.", guidance_scale=0))
    level = float(np.sqrt(np.mean(sound.samples**2)))
    spectra = _spectra(sound.samples, sound.sample_rate)
    flatness = float(np.median(np.exp(np.log(spectra + 1e-9).mean(1)) / spectra.mean(1)))
    return Fact(level > 0.01 and flatness < 0.3, {"level": level, "spectral flatness (noise: 0.5)": flatness})


FACTS: Mapping[str, Callable[[], Fact]] = {
    "journey-1": another_seed_is_another_picture,
    "journey-2": text_is_used_at_every_step,
    "tokens-1": a_typo_is_cut_in_two,
    "tokens-2": an_emoji_is_one_token,
    "embeddings-1": no_dog_is_nearer_to_a_dog,
    "embeddings-2": size_is_a_direction_not_a_number,
    "context-1": what_follows_changes_nothing,
    "context-2": the_end_token_hardly_notices,
    "control_vector-1": the_cat_stays_at_weight_zero,
    "control_vector-2": the_generator_gets_77_vectors,
    "clip_matrix-1": clip_hardly_sees_who_stands_where,
    "clip_matrix-2": without_its_name_another_wins,
    "contrastive-1": wrong_captions_are_learned_as_willingly,
    "contrastive-2": the_diagonal_rises_all_else_falls,
    "dino-1": the_teacher_is_the_students_average,
    "dino-2": dino_finds_things_pixels_find_colours,
    "image-1": the_same_seed_is_the_same_picture,
    "image-2": the_first_estimate_is_the_whole_blurred,
    "guidance-1": scale_one_is_the_plain_model,
    "guidance-2": the_highest_score_is_not_the_best_picture,
    "cross_attention-1": the_start_token_gets_most_attention,
    "cross_attention-2": hiding_a_word_leaves_other_ways,
    "conditioning-1": place_is_fixed_early,
    "conditioning-2": light_is_fixed_late,
    "prompt_lab-1": no_text_draws_text,
    "prompt_lab-2": content_words_win_in_clip_not_in_pixels,
    "video-1": frames_without_attention_fall_apart,
    "video-2": the_consistency_number_misleads,
    "audio-1": codebook_one_carries_the_tune,
    "audio-2": without_the_prompt_music_goes_on,
}

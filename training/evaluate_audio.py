"""What the sound models reach: the codec on fresh sounds, the text's share, the two libraries' agreement."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pipelines.audio.audio import audio_model, run
from pipelines.audio.request import AudioRequest
from pipelines.world.sound import INSTRUMENTS, MOODS, TEMPI, SoundScene, draw_sound, is_held_out_music
from pipelines.world.sound_captions import sound_caption
from pipelines.world.sound_render import render_sound
from training import quantiser
from training.evaluation_rows import EvaluationRow, mean_row, share_row
from training.sound_pool import SoundStream, to_waves
from training.sound_scorers import FOLDER, WEIGHTS, SoundScorer, hear, load_sound_scorer
from training.train_codec import MelDistance, si_sdr
from training.train_music import code_losses, text_states, words_in

MODEL = "classroom-audio"
CLIPS, PROMPTS, SEED = 64, 20, 10_000
RENDERS = 8  # of a scene, for the judge
ASKED = ("instrument", "tempo", "mood")


def evaluate_audio() -> list[EvaluationRow]:
    """All rows of the classroom's sound models."""
    loaded = audio_model(MODEL)
    examples = next(iter(SoundStream(SEED, CLIPS)))
    waves = to_waves(examples)
    with torch.inference_mode():
        codes = torch.cat([loaded.model.audio_encoder.encode(part).audio_codes[0] for part in waves.split(8)])
    rng = np.random.default_rng(SEED)
    captions = [sound_caption(e.scene, rng) for e in examples]
    rows = [*_codec(waves, codes), _text_gain(codes, captions), *_agreement()]
    if not (FOLDER / WEIGHTS).exists():
        return rows
    scorer = load_sound_scorer()
    return [*rows, *_judge(scorer), *_obedience(scorer)]


@torch.inference_mode()
def _codec(waves: Tensor, codes: Tensor) -> list[EvaluationRow]:
    """Reconstruction of `[clip, 1, 64000]` waves from `[clip, codebook, frame]` codes."""
    codec, distance = audio_model(MODEL).model.audio_encoder, MelDistance()
    decoded = torch.cat([codec.decode(part[None], [None]).audio_values for part in codes.split(8)])
    mel = [float(distance(a[None], b[None])) for a, b in zip(decoded, waves, strict=True)]
    counts = quantiser.counted(codes)
    return [
        mean_row("audio.codec_log_mel", mel, None),
        mean_row("audio.codec_si_sdr", si_sdr(decoded[:, 0], waves[:, 0]).tolist(), None),
        share_row("audio.codec_codes_used", (counts > 0).flatten().tolist(), None),
        mean_row("audio.codec_perplexity", quantiser.perplexity(counts.float()).tolist(), None),
    ]


@torch.inference_mode()
def _text_gain(codes: Tensor, captions: Sequence[str]) -> EvaluationRow:
    """How much likelier, in nats a code, the right caption makes a sound than another sound's caption."""
    loaded = audio_model(MODEL)
    gains = []
    for i, code in enumerate(codes):
        losses = []
        for text in (captions[i], captions[i - 1]):
            ids, mask = words_in(loaded.tokenizer, [text], "cpu")
            states = text_states(loaded.model, ids, mask)
            losses.append(float(code_losses(loaded.model, code[None], states, mask).mean()))
        gains.append(losses[1] - losses[0])
    return mean_row("audio.text_gain", gains, None)


def _agreement() -> list[EvaluationRow]:
    """Whether transformers and audiocraft choose the same codes; nothing where audiocraft is missing."""
    if "audiocraft" not in audio_model(MODEL).backends:
        return []
    rng = np.random.default_rng(SEED + 1)
    prompts = [sound_caption(draw_sound(rng, unseen=True), rng) for _ in range(PROMPTS)]
    rows = []
    for name, scale in (("greedy", 1.0), ("guided", 3.0)):
        hits = []
        for prompt in prompts:
            request = AudioRequest(
                prompt, temperature=0, top_k=0, guidance_scale=scale, seconds=2, model=MODEL
            )
            ours, theirs = (run(replace(request, backend=b)).codes for b in ("transformers", "audiocraft"))
            hits.append(bool(np.array_equal(ours, theirs)))
        rows.append(share_row(f"audio.same_codes_{name}", hits, 1.0))
    return rows


def _judge(scorer: SoundScorer) -> list[EvaluationRow]:
    """The judge on fresh renders of the scenes that the model is asked for."""
    rng = np.random.default_rng(SEED + 2)
    scenes = [SoundScene(i, t, m) for i, t, m in product(INSTRUMENTS, TEMPI, MOODS) for _ in range(RENDERS)]
    waves = torch.from_numpy(np.stack([render_sound(s, rng) for s in scenes]))[:, None]
    heard = hear(waves, scorer)
    return [
        share_row(
            f"sound_scorers.{k}",
            [getattr(a, k) == getattr(b, k) for a, b in zip(heard, scenes, strict=True)],
            0.98,
            RENDERS,
        )
        for k in ASKED
    ]


def _obedience(scorer: SoundScorer, seeds: int = 2) -> list[EvaluationRow]:
    """Whether a prompt's instrument, tempo and mood are heard; all at once in pairs seen and unseen."""
    asked = [SoundScene(i, t, m) for i, t, m in product(INSTRUMENTS, TEMPI, MOODS) for _ in range(seeds)]
    waves = []
    for k, scene in enumerate(tqdm(asked, "sounding", mininterval=20)):
        text = f"a {scene.tempo}, {scene.mood} {scene.instrument} melody"
        waves.append(torch.from_numpy(run(AudioRequest(text, seed=k % seeds, model=MODEL)).samples))
    heard = hear(torch.stack(waves)[:, None], scorer)
    right = [{k: getattr(h, k) == getattr(a, k) for k in ASKED} for h, a in zip(heard, asked, strict=True)]
    whole = [all(r.values()) for r in right]
    unseen = [is_held_out_music(a.instrument, a.mood) for a in asked]
    return [
        *(share_row(f"audio.{k}", [r[k] for r in right], 0.80, seeds) for k in ASKED),
        share_row("audio.seen", [h for h, u in zip(whole, unseen, strict=True) if not u], None, seeds),
        share_row("audio.unseen", [h for h, u in zip(whole, unseen, strict=True) if u], None, seeds),
    ]

"""What a sound is made from: the parameters, as the libraries name them, checked."""

from dataclasses import dataclass, replace

import numpy as np

from pipelines.serving import catalogue
from pipelines.serving.checks import MAX_SEED, readable, whole, within
from pipelines.serving.errors import InputError

MAX_GUIDANCE_SCALE = 10
MAX_TEMPERATURE = 2.0
MAX_TOP_K = 2048  # codes of the largest codebook
MIN_SECONDS, MAX_SECONDS = 0.2, 10.0  # the classroom model learned from sounds of 4 s


@dataclass(frozen=True)
class AudioRequest:
    """One sound, as the libraries name its parameters.

    Attributes:
        prompt: what shall be heard.
        seed: 0..2**32-1, decides what is drawn among likely codes.
        guidance_scale: 0..10; 0 ignores the prompt, 1 is the plain conditional model.
        temperature: 0..2; 0 always takes the likeliest code (greedy), 1 draws as the model expects.
        top_k: codes that may be drawn, the likeliest first; 0 for all.
        seconds: length of the sound, s.
        model: catalogue id of the role "audio"; empty means the preselected one.
        backend: "transformers" or "audiocraft"; empty means the model's usual one.
    """

    prompt: str
    seed: int = 0
    guidance_scale: float = 3.0
    temperature: float = 1.0
    top_k: int = 64
    seconds: float = 4.0
    model: str = ""
    backend: str = ""

    def validated(self) -> "AudioRequest":
        """The same request with every value checked, typed, and model and backend filled in.

        Raises:
            InputError: `prompt_empty`, `prompt_too_long`, `text_broken`, `seed_range`,
                `guidance_scale_range`, `sampling_temperature_range`, `top_k_range`, `seconds_range`,
                `model_unknown`, `backend_unknown` or `audiocraft_missing`.
        """
        if not isinstance(self.prompt, str) or not self.prompt.strip():
            raise InputError("prompt_empty")
        entry = catalogue.entry(self.model or catalogue.default_id("audio"), "audio")
        return replace(
            self,
            prompt=readable(self.prompt),
            seed=whole("seed_range", self.seed, 0, MAX_SEED),
            guidance_scale=within("guidance_scale_range", self.guidance_scale, 0, MAX_GUIDANCE_SCALE),
            temperature=within("sampling_temperature_range", self.temperature, 0, MAX_TEMPERATURE),
            top_k=whole("top_k_range", self.top_k, 0, MAX_TOP_K),
            seconds=within("seconds_range", self.seconds, MIN_SECONDS, MAX_SECONDS),
            model=entry.id,
            backend=_backend(entry, self.backend),
        )


def _backend(entry: catalogue.ModelEntry, asked: str) -> str:
    known = catalogue.backends_of(entry)
    if asked == "audiocraft" and asked in entry.backends and asked not in known:
        raise InputError("audiocraft_missing")
    if not known:
        raise InputError("audiocraft_missing")
    if asked and asked not in known:
        raise InputError("backend_unknown", received=asked, known=", ".join(known))
    return asked or known[0]


@dataclass(frozen=True, eq=False)
class AudioFrame:
    """One step of the model. Codebook k is k steps behind the first one (the delay pattern).

    Attributes:
        index: 0..total-1; after a clip, the first is the clip's number of frames.
        total: steps of the whole run: frames, and one less than codebooks for the delay.
        codes: `[codebook, frame]` int of the frames that are complete so far, those of a clip included.
        chosen: `[codebook]` int codes of this step; -1 where a codebook does not take part in it.
        prompt: `[codebook, code]` probability of each next code with the prompt; NaN like `chosen`.
        empty: the same without the prompt.
        guided: the same after guidance; at a scale of 1 these are those of `prompt`.
        drawn_from: the same after temperature and top-k, which `chosen` was drawn from.
        sound: `[sample]` float32 that can be heard since the last chunk; often empty.
    """

    index: int
    total: int
    codes: np.ndarray
    chosen: np.ndarray
    prompt: np.ndarray
    empty: np.ndarray
    guided: np.ndarray
    drawn_from: np.ndarray
    sound: np.ndarray


@dataclass(frozen=True, eq=False)
class Sound:
    """A finished sound, or what there is of one that was stopped.

    Attributes:
        request: what was asked for.
        codes: `[codebook, frame]` int.
        samples: `[sample]` float32, about -1..1.
        sample_rate: Hz.
        frame_rate: frames a second.
        given: frames at the beginning that came from a clip.
    """

    request: AudioRequest
    codes: np.ndarray
    samples: np.ndarray
    sample_rate: int
    frame_rate: int
    given: int = 0

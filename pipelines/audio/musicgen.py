"""The models that turn text into sound: a text encoder, a decoder of codes, and the codec's decoder.

One step of such a model reads the codes of the newest frame and says how likely each next code is, once
with the prompt and once without it. Both libraries that can run a MusicGen are put into this form, so
that one loop (`pipelines.audio.audio`) serves both.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from pipelines.serving.catalogue import ModelEntry, backends_of
from pipelines.serving.compute import one_core
from pipelines.serving.loading import whole

SMALL = 512  # width of a decoder
LOOKAHEAD = 8  # frames; a test holds it against a codec of the published one's shape


class CodeRun(Protocol):
    """A model that is writing the codes of one sound."""

    def step(self, codes: Tensor) -> Tensor:
        """Read the newest codes, `[codebook, step]`, often of one step; say how likely the next are.

        Returns:
            Logits `[2, codebook, code]`: with the prompt, and without it.
        """


@dataclass(frozen=True)
class AudioModel:
    """A loaded MusicGen.

    Attributes:
        model: `MusicgenForConditionalGeneration` in eval mode, the weights of all backends.
        tokenizer: of the text encoder.
        backends: libraries that can run it.
    """

    model: Any
    tokenizer: Any
    backends: tuple[str, ...]

    @property
    def device(self) -> Any:
        """Where codes have to be."""
        return self.model.device

    @property
    def codebooks(self) -> int:
        return int(self.model.decoder.num_codebooks)

    @property
    def vocabulary(self) -> int:
        """Codes in a codebook."""
        return int(self.model.config.decoder.vocab_size)

    @property
    def pad(self) -> int:
        """The code that stands where the delay pattern has none."""
        return int(self.model.config.decoder.pad_token_id)

    @property
    def cores(self) -> AbstractContextManager[None]:
        """As many as pay: an operation of the classroom's decoder is too small to share.

        Where other programs are busy, a second thread is waited for at every operation: a step that takes
        5 ms took 400 ms.
        """
        return one_core() if self.model.config.decoder.hidden_size < SMALL else nullcontext()

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self.model.config.audio_encoder.sampling_rate)

    @property
    def frame_rate(self) -> int:
        """Frames a second."""
        return int(self.model.config.audio_encoder.frame_rate)

    @property
    def lookahead(self) -> int:
        """Frames that change how the ones before them sound: none where the codec looks back only.

        The published codec of MusicGen looks ahead, by less than this.
        """
        return 0 if self.model.config.audio_encoder.use_causal_conv else LOOKAHEAD

    @torch.inference_mode()
    def read(self, prompt: str) -> tuple[Tensor, Tensor]:
        """What the text encoder hands to the decoder: states `[1, token, dim]` and mask `[1, token]`."""
        words = self.tokenizer([prompt], return_tensors="pt", truncation=True).to(self.device)
        states = self.model.text_encoder(**words).last_hidden_state
        if hasattr(self.model, "enc_to_dec_proj"):
            states = self.model.enc_to_dec_proj(states)
        return states, words.attention_mask

    def begin(self, prompt: str) -> "TransformersRun":
        """Read a prompt and get ready for the first step."""
        return TransformersRun(self, prompt)

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """The sound of `[codebook, frame]` codes, `[sample]`; of some, what they hold."""
        scales = [None]
        return self.model.audio_encoder.decode(codes[None, None], scales).audio_values[0, 0].float()

    @torch.inference_mode()
    def encode(self, wave: Tensor) -> Tensor:
        """The codes `[codebook, frame]` of a sound, `[sample]` at the model's sample rate."""
        wave = wave.to(self.model.device, self.model.dtype)[None, None]
        return self.model.audio_encoder.encode(wave).audio_codes[0, 0, : self.codebooks]


class TransformersRun:
    """A run of the decoder of transformers, with its cache of keys and values.

    The library's `generate` prepares, masks and checks the whole sequence at every step; for a model as small
    as the classroom's that takes longer than the model itself.
    """

    @torch.inference_mode()
    def __init__(self, loaded: AudioModel, prompt: str) -> None:
        from transformers.cache_utils import DynamicCache, EncoderDecoderCache

        model = loaded.model
        states, mask = loaded.read(prompt)
        # No prompt is no text at all, not an empty text: zeros, which nothing may look at.
        self.states = torch.cat([states, torch.zeros_like(states)])
        self.mask = torch.cat([mask, torch.zeros_like(mask)])
        self.cache = EncoderDecoderCache(
            DynamicCache(config=model.config.decoder), DynamicCache(config=model.config.decoder)
        )
        self.decoder = model.decoder

    @torch.inference_mode()
    def step(self, codes: Tensor) -> Tensor:
        """See `CodeRun.step`."""
        out = self.decoder(
            input_ids=codes.repeat(2, 1),
            encoder_hidden_states=self.states,
            encoder_attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
        )
        return out.logits[:, -1].unflatten(0, (2, -1)).float()


def load_musicgen(e: ModelEntry, device: str) -> AudioModel:
    """Load a MusicGen from a folder or from the hub; safetensors only."""
    from transformers import AutoTokenizer, MusicgenForConditionalGeneration

    dtype = torch.float16 if device == "cuda" and e.family == "hub" else torch.float32
    local = Path(e.source).is_dir()
    model = whole(
        MusicgenForConditionalGeneration, e.source, use_safetensors=True, dtype=dtype, local_files_only=local
    )
    tokenizer = AutoTokenizer.from_pretrained(e.source, trust_remote_code=False)
    return AudioModel(model.eval().requires_grad_(False).to(device), tokenizer, backends_of(e))

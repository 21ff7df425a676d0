"""The same MusicGen weights in audiocraft, the library that MusicGen was published with.

Imported only when this backend is asked for: audiocraft is no part of a Space, and its import is slow.
"""

import logging
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from pipelines.audio.musicgen import LOOKAHEAD, AudioModel
from pipelines.serving.catalogue import ModelEntry
from pipelines.serving.errors import InputError


def _import() -> Any:
    """The parts of audiocraft, on torch's own attention; xformers is only there to be imported."""
    logging.getLogger("xformers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from audiocraft.models.encodec import HFEncodecCompressionModel
        from audiocraft.models.lm import LMModel
        from audiocraft.models.musicgen import MusicGen
        from audiocraft.modules import codebooks_patterns, conditioners, transformer

    transformer.set_efficient_attention_backend("torch")
    return HFEncodecCompressionModel, LMModel, MusicGen, codebooks_patterns, conditioners


def _conditioner(loaded: AudioModel, conditioners: Any) -> Any:
    """The T5 conditioner of audiocraft around the text encoder that is loaded already.

    Its own constructor loads a T5 by name, and knows but the published ones.
    """
    model = loaded.model
    width = model.text_encoder.config.hidden_size
    made = conditioners.T5Conditioner.__new__(conditioners.T5Conditioner)
    conditioners.TextConditioner.__init__(made, width, model.decoder.config.hidden_size)
    made.device, made.name, made.finetune, made.word_dropout = str(model.device), "loaded", False, 0.0
    made.autocast = conditioners.TorchAutocast(enabled=False)
    made.normalize_text, made.t5_tokenizer = False, loaded.tokenizer
    made.__dict__["t5"] = model.text_encoder  # not a part of the module, as audiocraft has it
    return made


def _weights(decoder: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The decoder's weights under audiocraft's names; q, k and v are one matrix there."""
    out = {}
    for name, value in decoder.items():
        for theirs, ours in (("model.decoder.embed_tokens", "emb"), ("lm_heads", "linears"),
                             ("model.decoder.layer_norm", "out_norm")):  # fmt: skip
            if name.startswith(theirs):
                out[ours + name.removeprefix(theirs)] = value
    for i in range(layers):
        theirs, ours = f"model.decoder.layers.{i}", f"transformer.layers.{i}"
        for one, other in (("self_attn", "self_attn"), ("encoder_attn", "cross_attention")):
            parts = [decoder[f"{theirs}.{one}.{p}_proj.weight"] for p in "qkv"]
            out[f"{ours}.{other}.in_proj_weight"] = torch.cat(parts)
            out[f"{ours}.{other}.out_proj.weight"] = decoder[f"{theirs}.{one}.out_proj.weight"]
        for one, other in (
            ("self_attn_layer_norm", "norm1"),
            ("encoder_attn_layer_norm", "norm_cross"),
            ("final_layer_norm", "norm2"),
            ("fc1", "linear1"),
            ("fc2", "linear2"),
        ):
            out |= {
                f"{ours}.{other}{name.removeprefix(f'{theirs}.{one}')}": value
                for name, value in decoder.items()
                if name.startswith(f"{theirs}.{one}.")
            }
    return out


def to_audiocraft(loaded: AudioModel) -> Any:
    """An audiocraft `MusicGen` with the weights of a loaded model; text encoder and codec are shared.

    Raises:
        RuntimeError: the weights do not fit each other.
    """
    compression, language_model, music_gen, patterns, conditioners = _import()
    model, config = loaded.model, loaded.model.config.decoder
    conditioner = _conditioner(loaded, conditioners)
    lm = language_model(
        patterns.DelayedPatternProvider(config.num_codebooks),
        conditioners.ConditioningProvider({"description": conditioner}, device=str(model.device)),
        conditioners.ConditionFuser(
            {"cross": ["description"], "prepend": [], "sum": [], "input_interpolate": []}
        ),
        n_q=config.num_codebooks,
        card=config.vocab_size,
        dim=config.hidden_size,
        num_heads=config.num_attention_heads,
        num_layers=config.num_hidden_layers,
        hidden_scale=config.ffn_dim / config.hidden_size,
        activation="gelu",
        dropout=0.0,
        norm_first=True,
        bias_proj=False,
        bias_ff=False,
        bias_attn=False,
        causal=True,
        cross_attention=True,
        memory_efficient=True,
    ).to(model.device, model.dtype)
    weights = _weights(model.decoder.state_dict(), config.num_hidden_layers)
    for kind in ("weight", "bias"):
        projection = getattr(model.enc_to_dec_proj, kind)
        weights[f"condition_provider.conditioners.description.output_proj.{kind}"] = projection
    lm.load_state_dict(weights)
    codec = compression(model.audio_encoder)
    return music_gen("classroom", codec, lm.eval().requires_grad_(False), max_duration=30)


class AudiocraftRun:
    """A run of audiocraft's decoder; see `pipelines.audio.musicgen.CodeRun`.

    What the decoder remembers is held here between the steps: audiocraft keeps it inside the model, where
    the next visitor's run would find it.

    Args:
        whole: audiocraft's model. On a GPU it holds its transformer alone in half precision, and so is called
            within its own autocast only.
        prompt: what shall be heard.
    """

    @torch.inference_mode()
    def __init__(self, whole: Any, prompt: str) -> None:
        from audiocraft.modules.conditioners import ClassifierFreeGuidanceDropout, ConditioningAttributes

        self.lm, self.autocast = whole.lm, whole.autocast
        with_it = [ConditioningAttributes(text={"description": prompt})]
        without = ClassifierFreeGuidanceDropout(p=1.0)(with_it)
        provider = self.lm.condition_provider
        with self.autocast:
            self.conditions = provider(provider.tokenize(with_it + without))
        self.state: dict[str, Tensor] = {}

    @torch.inference_mode()
    def step(self, codes: Tensor) -> Tensor:
        """See `CodeRun.step`."""
        with self.autocast, self.lm.streaming():
            self.lm.set_streaming_state(self.state)
            logits = self.lm(codes.expand(2, -1, -1), [], self.conditions)
            self.state = self.lm.get_streaming_state()
        return logits[:, :, -1].float()


@dataclass(frozen=True)
class AudiocraftModel:
    """A model that only audiocraft can read, with its own codec; see `pipelines.audio.musicgen.AudioModel`.

    Attributes:
        whole: audiocraft's `AudioGen` or `MusicGen`.
        device: where it computes.
    """

    whole: Any
    device: str
    backends: tuple[str, ...] = ("audiocraft",)
    lookahead: int = LOOKAHEAD  # the published codecs look ahead

    @property
    def codebooks(self) -> int:
        return int(self.whole.lm.num_codebooks)

    @property
    def vocabulary(self) -> int:
        """Codes in a codebook."""
        return int(self.whole.lm.card)

    @property
    def pad(self) -> int:
        """The code that stands where the delay pattern has none."""
        return int(self.whole.lm.special_token_id)

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self.whole.sample_rate)

    @property
    def frame_rate(self) -> int:
        """Frames a second."""
        return int(self.whole.frame_rate)

    @property
    def cores(self) -> AbstractContextManager[None]:
        return nullcontext()

    def begin(self, prompt: str) -> AudiocraftRun:
        """Read a prompt and get ready for the first step."""
        return AudiocraftRun(self.whole, prompt)

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """The sound of `[codebook, frame]` codes, `[sample]`; of some, what they hold."""
        return self.whole.compression_model.decode(codes[None], None)[0, 0].float()

    @torch.inference_mode()
    def encode(self, wave: Tensor) -> Tensor:
        """The codes `[codebook, frame]` of a sound, `[sample]` at the model's sample rate."""
        return self.whole.compression_model.encode(wave.to(self.device)[None, None])[0][0]


def load_audiogen(e: ModelEntry, device: str) -> AudiocraftModel:
    """Load a model of audiocraft's own format; PyTorch reads its weights without running what they hold.

    Raises:
        InputError: `audiocraft_missing`.
    """
    if find_spec("audiocraft") is None:
        raise InputError("audiocraft_missing")
    _import()
    from audiocraft.models.audiogen import AudioGen

    whole = AudioGen.get_pretrained(e.source, device=device)
    return AudiocraftModel(whole, device)

"""Train the classroom music model: text to the codes of the classroom codec, frame by frame.

Run: `python -m training.train_music --minutes 90` (CPU or CUDA; resumes from its checkpoint, or from
the shipped weights). Needs a codec (`training.train_codec`). Text encoder and decoder learn together,
from captions that the world's grammar writes about freshly rendered sounds. Writes `assets/models/audio`
as `MusicgenForConditionalGeneration.from_pretrained` loads it.

Source: Copet et al. 2023 (MusicGen), arXiv:2306.05284, sections 2.2 (delay pattern) and 2.3.
"""

import json
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    EncodecConfig,
    EncodecFeatureExtractor,
    GenerationConfig,
    MusicgenConfig,
    MusicgenForConditionalGeneration,
    MusicgenProcessor,
    T5Config,
    T5Tokenizer,
)
from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

from pipelines.audio.audio import delayed
from pipelines.world.sound import draw_sound
from pipelines.world.sound_captions import sound_caption
from training import together
from training.common import MODELS, Progress, load_fp32, mixed_precision, parse_args, save_fp16, train
from training.muon import Muon
from training.sound_pool import SoundPool
from training.train_codec import CONFIG as CODEC
from training.train_codec import PREFIX, load_codec

NAME = "music"
FOLDER = MODELS / "audio"
WEIGHTS = FOLDER / "model.safetensors"
CODEBOOKS, CODES = 4, CODEC["codebook_size"]
PAD = CODES  # stands before the first code and behind the last one of each book
PIECES = 384
TEXT: dict[str, Any] = {
    "d_model": 128,
    "d_kv": 32,
    "d_ff": 256,
    "num_layers": 2,
    "num_heads": 4,
    "dropout_rate": 0.0,
    "is_encoder_decoder": False,
    "use_cache": False,
}
DECODER: dict[str, Any] = {
    "vocab_size": CODES,
    "num_codebooks": CODEBOOKS,
    "hidden_size": 192,
    "ffn_dim": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "dropout": 0.0,
    "max_position_embeddings": 2048,
    "pad_token_id": PAD,
    "bos_token_id": PAD,
}
# Tables and what leads to codes: not hidden, so not for Muon.
EDGES = ("text_encoder.shared", "text_encoder.encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
         "decoder.model.decoder.embed_tokens", "decoder.lm_heads")  # fmt: skip
EMPTY_SHARE = 0.12
MAX_PIECES = 64  # the longest captions have some 50


def build_tokenizer(captions: int = 20_000) -> T5Tokenizer:
    """T5's kind of tokenizer (unigram pieces), learned from the grammar's captions.

    Two runs need not find the same pieces: it belongs to the weights that were trained with it.
    """
    rng = np.random.default_rng(1)
    texts = [sound_caption(draw_sound(rng, unseen=True), rng) for _ in range(captions)]
    learned = Tokenizer(models.Unigram())
    learned.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=PIECES,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        initial_alphabet=[chr(c) for c in range(33, 127)],  # words of other worlds fall apart into letters
        show_progress=False,
    )
    learned.train_from_iterator(texts, trainer)
    pieces = [(piece, score) for piece, score in json.loads(learned.to_str())["model"]["vocab"]]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=MAX_PIECES)


def tokenizer_of(restart: bool) -> T5Tokenizer:
    """The tokenizer of the weights that training goes on from; a new one, written at once, without any."""
    if restart or not (FOLDER / "tokenizer.json").exists():
        build_tokenizer().save_pretrained(FOLDER)
    return T5Tokenizer.from_pretrained(FOLDER)


def build_config(pieces: int) -> MusicgenConfig:
    """The configuration of the whole model; `pieces` is the size of the tokenizer's vocabulary."""
    return MusicgenConfig(
        text_encoder=T5Config(vocab_size=pieces, **TEXT).to_dict(),
        audio_encoder=EncodecConfig(**CODEC).to_dict(),
        decoder=MusicgenDecoderConfig(**DECODER).to_dict(),
    )


def text_states(model: Any, ids: Tensor, mask: Tensor, keep: Tensor | None = None) -> Tensor:
    """What the decoder's cross-attention reads, `[batch, piece, width]`; zeros stand for no text.

    Args:
        ids, mask: `[batch, piece]` of the tokenizer.
        keep: `[batch]` 1 where the text is given to the decoder, 0 where it is not.
    """
    states = model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    states = model.enc_to_dec_proj(states) * mask[..., None]
    return states if keep is None else states * keep[:, None, None]


def code_losses(model: Any, codes: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of the codes of each codebook, nats, `[codebook]`.

    Args:
        codes: `[batch, codebook, frame]`.
        states, mask: of `text_states`.
    """
    steps = delayed(codes, PAD)
    inputs, targets = steps[..., :-1], steps[..., 1:]
    out = model.decoder(
        input_ids=inputs.flatten(0, 1),
        encoder_hidden_states=states,
        encoder_attention_mask=mask,
        use_cache=False,
    )
    logits = out.logits.unflatten(0, targets.shape[:2]).float()
    losses = F.cross_entropy(logits.flatten(0, 2), targets.flatten(), ignore_index=PAD, reduction="none")
    return losses.view_as(targets).sum((0, 2)) / (targets != PAD).sum((0, 2))


def words_in(tokenizer: T5Tokenizer, captions: list[str], device: str) -> tuple[Tensor, Tensor]:
    """Ids and mask of captions, `[batch, piece]` each."""
    found = tokenizer(captions, padding=True, truncation=True, return_tensors="pt")
    return found.input_ids.to(device), found.attention_mask.to(device)


@torch.no_grad()
def text_use(model: Any, tokenizer: T5Tokenizer, pool: SoundPool) -> dict[str, float]:
    """Loss with the right, a wrong and no caption: how much the text says; and that of each codebook."""
    rows = pool.sample()
    codes = rows["sounds"].to(pool.args.device).long()
    ids, mask = words_in(tokenizer, pool.captions(rows["scenes"]), pool.args.device)
    states = text_states(model, ids, mask)
    right = code_losses(model, codes, states, mask)
    wrong = code_losses(model, codes, states.roll(1, 0), mask.roll(1, 0))
    empty = code_losses(model, codes, torch.zeros_like(states), mask)
    books = {f"right_{k}": loss.item() for k, loss in enumerate(right)}
    return {
        "right": right.mean().item(),
        "shuffled": wrong.mean().item(),
        "empty": empty.mean().item(),
        **books,
    }


def export(weights: dict[str, Tensor], codec: Any, tokenizer: T5Tokenizer) -> None:
    """Write the averaged weights and the codec as one folder that transformers loads."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    model = MusicgenForConditionalGeneration(build_config(len(tokenizer)))
    model.load_state_dict(weights | {PREFIX + k: v for k, v in codec.state_dict().items()})
    model.config.save_pretrained(FOLDER)
    special = {"bos_token_id": PAD, "pad_token_id": PAD, "decoder_start_token_id": PAD}
    GenerationConfig(
        do_sample=True, guidance_scale=3.0, top_k=CODES, max_length=CODEBOOKS + 200, **special
    ).save_pretrained(FOLDER)
    extractor = EncodecFeatureExtractor(sampling_rate=CODEC["sampling_rate"], padding_side="left")
    MusicgenProcessor(extractor, tokenizer).save_pretrained(FOLDER)
    save_fp16(_unshared(model), WEIGHTS)


def _unshared(model: Any) -> dict[str, Tensor]:
    """The model's weights without second names of one tensor, which safetensors refuses."""
    found = model.state_dict()
    found.pop("text_encoder.encoder.embed_tokens.weight", None)
    return found


def shipped_weights() -> dict[str, Tensor] | None:
    """All shipped weights but the codec's, or None."""
    everything = load_fp32(WEIGHTS)
    if everything is None:
        return None
    found = {k: v for k, v in everything.items() if not k.startswith(PREFIX)}
    shared = found.get("text_encoder.shared.weight")
    return found | ({"text_encoder.encoder.embed_tokens.weight": shared} if shared is not None else {})


def main() -> None:
    args = parse_args("train_music", minutes=90, batch=8, lr=2e-3, fresh=2)
    torch.manual_seed(args.seed)
    codec, tokenizer = load_codec(args.device), tokenizer_of(args.restart)
    model: Any = MusicgenForConditionalGeneration(build_config(len(tokenizer))).to(args.device)
    del model.audio_encoder  # the codec stays as it is
    optimizer = Muon(model, outer=EDGES, weight_decay=0.02)
    run = Progress.resume(NAME, model, optimizer, args, shipped_weights())

    def encode(waves: Tensor) -> Tensor:
        with torch.no_grad():
            return codec.encode(waves).audio_codes[0].to(torch.int16).cpu()

    pool = SoundPool(args, encode)
    model.train()

    def compute() -> tuple[Tensor, dict[str, float]]:
        rows = pool.sample()
        ids, mask = words_in(tokenizer, pool.captions(rows["scenes"]), args.device)
        keep = (torch.rand(args.batch, device=args.device) >= EMPTY_SHARE).float()
        with mixed_precision(args.device):
            states = text_states(model, ids, mask, keep)
            losses = code_losses(model, rows["sounds"].to(args.device).long(), states, mask)
        return losses.mean(), {f"book_{k}": loss.item() for k, loss in enumerate(losses)}

    train(
        run,
        args,
        compute,
        export=lambda weights: export(weights, codec, tokenizer) if together.is_first() else None,
        after=lambda: text_use(model, tokenizer, pool),
        save_every=250,
    )


if __name__ == "__main__":
    main()

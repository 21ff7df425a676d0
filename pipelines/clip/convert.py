"""The classroom CLIP's text tower as `CLIPTextModel`, and CLIP's tokenizer for transformers.

Stable Diffusion 1.x reads its prompt with CLIP's text tower; the classroom model does the same.
The tower's weights are shipped once, in open_clip's format, and converted here when needed.
"""

import gzip
from importlib.resources import files

import open_clip
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

_START, _END = "<|startoftext|>", "<|endoftext|>"
_MERGES = 49_152 - 256 - 2  # entries of the merges file that CLIP uses


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer, built from the merges file that open_clip ships.

    Returns:
        Tokenizer with 49,408 entries; it pads with the end token, as Stable Diffusion 1.x does.
    """
    packed = files(open_clip).joinpath("bpe_simple_vocab_16e6.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode().split("\n")[1 : _MERGES + 1]
    merges = [tuple(line.split()) for line in lines]
    letters = list(open_clip.tokenizer.bytes_to_unicode().values())
    words = [*letters, *(c + "</w>" for c in letters), *("".join(m) for m in merges), _START, _END]
    return CLIPTokenizer(
        vocab={word: i for i, word in enumerate(words)},
        merges=merges,
        unk_token=_END,
        bos_token=_START,
        eos_token=_END,
        pad_token=_END,
        model_max_length=77,
    )


def _layer(weights: dict[str, Tensor], source: str, target: str) -> dict[str, Tensor]:
    """One transformer block; open_clip stacks the q, k and v projections."""
    out = {}
    for kind in ("weight", "bias"):
        parts = weights[f"{source}.attn.in_proj_{kind}"].chunk(3)
        for name, part in zip("qkv", parts, strict=True):
            out[f"{target}.self_attn.{name}_proj.{kind}"] = part
        for theirs, ours in (
            ("attn.out_proj", "self_attn.out_proj"),
            ("ln_1", "layer_norm1"),
            ("ln_2", "layer_norm2"),
            ("mlp.c_fc", "mlp.fc1"),
            ("mlp.c_proj", "mlp.fc2"),
        ):
            out[f"{target}.{ours}.{kind}"] = weights[f"{source}.{theirs}.{kind}"]
    return out


def text_encoder_of(clip: open_clip.CLIP) -> CLIPTextModel:
    """The text tower of an open_clip model, in the class that diffusers' pipelines read.

    Args:
        clip: an open_clip model whose text tower uses GELU.

    Returns:
        Model whose `last_hidden_state` equals the tower's output after its last layer norm.
    """
    weights = clip.state_dict()
    width = weights["ln_final.weight"].shape[0]
    layers = len(clip.transformer.resblocks)
    config = CLIPTextConfig(
        vocab_size=weights["token_embedding.weight"].shape[0],
        hidden_size=width,
        intermediate_size=weights["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        num_hidden_layers=layers,
        num_attention_heads=clip.transformer.resblocks[0].attn.num_heads,
        max_position_embeddings=weights["positional_embedding"].shape[0],
        projection_dim=weights["text_projection"].shape[1],
        hidden_act="gelu",
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=49407,
    )
    model = CLIPTextModel(config).to(weights["ln_final.weight"].dtype)
    converted = {
        "embeddings.token_embedding.weight": weights["token_embedding.weight"],
        "embeddings.position_embedding.weight": weights["positional_embedding"],
        "final_layer_norm.weight": weights["ln_final.weight"],
        "final_layer_norm.bias": weights["ln_final.bias"],
    }
    for i in range(layers):
        converted |= _layer(weights, f"transformer.resblocks.{i}", f"encoder.layers.{i}")
    prefix = "text_model." if any(k.startswith("text_model.") for k in model.state_dict()) else ""
    missing, unexpected = model.load_state_dict({prefix + k: v for k, v in converted.items()}, strict=False)
    if unexpected or [k for k in missing if not k.endswith("position_ids")]:
        raise RuntimeError(f"the text tower does not fit CLIPTextModel: {missing=} {unexpected=}")
    return model.eval().requires_grad_(False)

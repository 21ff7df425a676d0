"""Stable Diffusion 1.5 at its true dimensions with random weights: seconds, GiB, attention shapes.

Random weights cost what trained ones cost, so this needs no download. The checkpoint is written in
half precision in the published folder layout, added to the catalogue as whoever starts the app
would add a model, and run through the app's own functions. It needs 3 GB of disk for the time.

Dimensions: https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5, the config.json of
each folder, and Rombach et al. 2022, arXiv:2112.10752.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from pipelines.clip.convert import clip_tokenizer
from pipelines.image import image
from pipelines.image.load import image_pipeline
from pipelines.image.request import ImageRequest
from pipelines.serving import catalogue

PARAMETERS = {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}  # as published


def build(folder: Path) -> None:
    """Write the checkpoint, in half precision."""
    torch.set_default_dtype(torch.float16)
    try:
        pipe = StableDiffusionPipeline(
            unet=UNet2DConditionModel(sample_size=64, cross_attention_dim=768),
            vae=AutoencoderKL(
                block_out_channels=(128, 256, 512, 512), layers_per_block=2, sample_size=512,
                down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            ),
            text_encoder=CLIPTextModel(
                CLIPTextConfig(
                    vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                    num_attention_heads=12, projection_dim=768, bos_token_id=49406, eos_token_id=49407,
                )
            ),
            tokenizer=clip_tokenizer(),
            scheduler=PNDMScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
                skip_prk_steps=True, set_alpha_to_one=False,
            ),
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        )  # fmt: skip
    finally:
        torch.set_default_dtype(torch.float32)
    for name, published in PARAMETERS.items():
        count = sum(p.numel() for p in getattr(pipe, name).parameters())
        print(f"{name}: {count:,} parameters, published {published:,}")
    pipe.save_pretrained(folder, variant="fp16")


def cross_attention_shapes(unet: torch.nn.Module) -> Counter[tuple[int, int, int, int]]:
    """A counter that fills with (places, tokens, heads, width of a head) of each cross-attention."""
    seen: Counter[tuple[int, int, int, int]] = Counter()

    def note(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tokens = kwargs["encoder_hidden_states"].shape[1]
        seen[(args[0].shape[1], tokens, layer.heads, layer.inner_dim // layer.heads)] += 1

    for name, layer in unet.named_modules():
        if name.endswith("attn2"):
            layer.register_forward_pre_hook(note, with_kwargs=True)
    return seen


def measure(steps: int) -> dict[str, Any]:
    """Run one guided picture of 512 px and time its parts."""
    marks = [_now()]
    pipe = image_pipeline("true-sd15")
    marks.append(_now())
    seen = cross_attention_shapes(pipe.unet)
    request = ImageRequest("A small cat on a bed.", num_inference_steps=steps, model="true-sd15")
    trace = list(image.generate(request))
    marks.append(_now())
    looked = list(image.generate(replace(request, look_inside=True)))
    marks.append(_now())
    shapes = {key: count // steps for key, count in sorted(seen.items(), reverse=True)}
    image.preview(trace[-1].denoised_guided, "true-sd15")
    marks.append(_now())
    image.finish(request, trace)
    marks.append(_now())
    spent = [tuple(round(b - a, 2) for a, b in zip(*pair, strict=True)) for pair in pairwise(marks)]
    per_step, looking = (tuple(round(seconds / steps, 2) for seconds in part) for part in spent[1:3])
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    gpu = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0
    return {
        "device": catalogue.device(),
        "threads": torch.get_num_threads(),
        "seconds": "[on the clock, of all cores together]: on a busy machine only the second counts",
        "load": spent[0],
        "guided_step": per_step,
        "guided_step_with_attention_recorded": looking,
        "same_picture": bool((looked[-1].latents == trace[-1].latents).all()),
        "preview": spent[3],
        "decode": spent[4],
        "peak_ram_gib": round(rss, 1),
        "peak_gpu_gib": round(gpu, 1),
        "cross_attention": [
            {"places": p, "tokens": t, "heads": h, "head_width": w, "layers": n}
            for (p, t, h, w), n in shapes.items()
        ],
    }


def _now() -> tuple[float, float]:
    """Seconds on the clock, and seconds that this process has had of all cores."""
    return time.perf_counter(), time.process_time()


def main() -> None:
    """Build in a child process, so that its memory is not counted; measure in this one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3, help="steps of the picture")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        builder = os.fork()
        if not builder:
            build(folder / "sd15")
            os._exit(0)
        if os.waitpid(builder, 0)[1]:
            raise SystemExit("the checkpoint could not be built")
        catalogue = folder / "models.toml"
        catalogue.write_text(
            f'[[model]]\nid = "true-sd15"\nrole = "image"\nlicence = "none"\nsource = "{folder / "sd15"}"\n'
        )
        os.environ["STEUERVEKTOR_MODELS"] = str(catalogue)
        print(json.dumps(measure(options.steps), indent=1))


if __name__ == "__main__":
    main()

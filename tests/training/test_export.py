"""The exported folder draws the same picture with diffusers alone."""

from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from pipelines.image.load import image_pipeline
from training.export import export


def test_the_exported_folder_is_the_same_model(tmp_path: Path) -> None:
    export(tmp_path)
    theirs = StableDiffusionPipeline.from_pretrained(tmp_path, local_files_only=True)
    theirs.set_progress_bar_config(disable=True)
    pictures = [
        pipe(
            "A small cat on a bed.", num_inference_steps=3, guidance_scale=4.0, height=64, width=64,
            generator=torch.Generator().manual_seed(0), output_type="np",
        ).images
        for pipe in (image_pipeline("classroom-image"), theirs)
    ]  # fmt: skip
    np.testing.assert_allclose(pictures[0], pictures[1], atol=1e-4)  # processors differ in order
    assert not list(tmp_path.rglob("*.bin"))

"""Text to film: AnimateDiff and diffusion transformers."""

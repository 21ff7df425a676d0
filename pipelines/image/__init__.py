"""Text to picture: diffusion, its guidance, and what can be seen inside."""

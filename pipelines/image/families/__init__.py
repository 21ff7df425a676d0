"""One module for each kind of denoiser, and what all of them have to say (`family.py`)."""

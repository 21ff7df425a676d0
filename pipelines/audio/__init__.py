"""Text to sound, one frame of codes after another: MusicGen and its kin."""

"""The journey tab."""

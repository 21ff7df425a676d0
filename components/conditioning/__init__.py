"""The conditioning tab."""

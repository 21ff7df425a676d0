"""The dino tab."""

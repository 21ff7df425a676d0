"""The classroom world: scenes with a known ground truth, their pictures and their captions."""

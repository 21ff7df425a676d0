"""What a model reads: tokens, and what they take on from each other."""

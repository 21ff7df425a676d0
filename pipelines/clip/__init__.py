"""CLIP: one space for texts and pictures, and how it is learnt."""

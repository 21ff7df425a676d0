"""The contrastive tab."""

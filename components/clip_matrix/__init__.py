"""The clip matrix tab."""

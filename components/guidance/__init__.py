"""The guidance tab."""

"""The cross attention tab."""

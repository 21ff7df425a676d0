"""The context tab."""

"""The prompt lab tab."""

"""The control vector tab."""

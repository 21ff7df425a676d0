"""The models: strings, numbers and pictures go in, frozen dataclasses of numpy come out."""

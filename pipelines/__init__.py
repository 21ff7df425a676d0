"""The models: strings, numbers and pictures go in, frozen dataclasses of numpy come out."""

import logging

# audiocraft wants xformers to be there, not to be fast: the notice at its import is news to nobody.
logging.getLogger("xformers").setLevel(logging.ERROR)

"""A folder for visitors' files that ends with the app."""

import atexit
import os
import shutil
import tempfile


def own_folder() -> str:
    """Make a folder that only this user can read and that is removed when this process ends; its path.

    Gradio's own stands under one name for all users of a machine, and outlives the app.
    """
    folder = tempfile.mkdtemp(prefix="steuervektor-")  # mode 0700
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: str, owner: int) -> None:
    """Remove it, unless this is a fork of its owner."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)

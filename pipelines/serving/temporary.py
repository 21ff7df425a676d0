"""A folder for visitors' files that ends with the app, and how they are written."""

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from pipelines.serving.errors import InputError, is_disk_full

_MADE: list[str] = []


def own_folder(swept: bool = True) -> str:
    """Make a folder that only this user can read and that is removed when this process ends; its path.

    Gradio's own stands under one name for all users of a machine, and outlives the app.

    Args:
        swept: whether old files in it are removed before, see `keep_removing`.
    """
    folder = tempfile.mkdtemp(prefix="steuervektor-")  # mode 0700
    if swept:
        _MADE.append(folder)
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: str, owner: int) -> None:
    """Remove it, unless this is a fork of its owner."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def write_whole(content: bytes, path: Path) -> None:
    """Write a file, and its folder where it is missing.

    Raises:
        InputError: `disk_full`; what was written of the file is removed.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        if not is_disk_full(error):
            raise
        path.unlink(missing_ok=True)
        raise InputError("disk_full") from error


def remove_older(folder: str, seconds: float) -> None:
    """Remove the files below a folder that nobody has written for so long, and folders that are left empty.

    Gradio removes what its components hold; what a language model hands over, and uploads that break off,
    it leaves.
    """
    oldest = time.time() - seconds
    for path in sorted(Path(folder).rglob("*"), reverse=True):  # what lies in a folder before the folder
        with contextlib.suppress(OSError):  # gone meanwhile, or a folder that is not empty
            if path.lstat().st_mtime < oldest:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def keep_removing(every: float, seconds: float) -> None:
    """Do so every so many seconds in the folders that this process made, until it ends."""

    def sweep() -> None:
        while True:
            time.sleep(every)
            for folder in _MADE:
                remove_older(folder, seconds)

    threading.Thread(target=sweep, name="old files", daemon=True).start()

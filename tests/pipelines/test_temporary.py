"""Files are written whole or not at all; what nobody has written for a day is removed, whoever wrote it."""

import os
import time
from pathlib import Path

import pytest

from pipelines.serving.errors import InputError
from pipelines.serving.temporary import remove_older, write_whole

DAY = 24 * 3600


def written(path: Path, age: float) -> None:
    """Make a file that was written so many seconds ago, and its folder with it."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    for part in (path, path.parent):
        os.utime(part, (time.time() - age,) * 2)


def test_old_files_go_and_the_rest_stays(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    written(folder / "old" / "a.png", 2 * DAY)
    written(folder / "new" / "b.png", 60)
    written(folder / "upload", 2 * DAY)
    remove_older(str(folder), DAY)
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert files == ["new/b.png"]


def test_a_link_goes_and_what_it_names_stays(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    written(tmp_path / "outside" / "a.png", 2 * DAY)
    (folder / "link").symlink_to(tmp_path / "outside")
    os.utime(folder / "link", (0, 0), follow_symlinks=False)
    remove_older(str(folder), DAY)
    assert not (folder / "link").is_symlink() and (tmp_path / "outside" / "a.png").exists()


def test_a_full_disk_is_told_and_nothing_half_written_stays(tmp_path: Path) -> None:
    """/dev/full takes no byte, as a full disk does."""
    full = tmp_path / "hash" / "film.mp4"
    full.parent.mkdir()
    full.symlink_to("/dev/full")
    with pytest.raises(InputError, match="disk_full"):
        write_whole(b"x" * 3_000_000, full)
    assert not list(full.parent.iterdir())
    write_whole(b"film", tmp_path / "new" / "film.mp4")
    assert (tmp_path / "new" / "film.mp4").read_bytes() == b"film"


def test_other_trouble_with_the_disk_stays_loud(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_whole(b"film", tmp_path)

"""What nobody has written for a day is removed, whoever wrote it."""

import os
import time
from pathlib import Path

from pipelines.serving.temporary import remove_older

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

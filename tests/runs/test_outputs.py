"""Where results go is tried before the work: folders, files in the way, names, room and permission."""

import errno
import os
from pathlib import Path

import pytest

from sedcrnn.errors import ConfigError
from sedcrnn.runs.outputs import check_place


def test_a_place_that_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("kept")
    for value in (tmp_path / "there.csv", tmp_path / "new.csv", tmp_path / "a/b/c.csv", "ü" * 100 + ".csv", None):
        check_place("csv", value if value is None else tmp_path / value)
    check_place("plot", tmp_path, is_folder=True)
    check_place("plot", tmp_path / "new" / "folder", is_folder=True)
    assert [path.name for path in tmp_path.iterdir()] == ["there.csv"]
    assert (tmp_path / "there.csv").read_text() == "kept"


@pytest.mark.parametrize(
    ("name", "is_folder", "expected"),
    [
        ("folder", False, "csv=.*/folder is a folder, and not a file"),
        ("file", True, "csv=.*/file is a file, and not a folder"),
        ("file/x.csv", False, "cannot be written: (Not a directory|.*file is no folder)"),
        ("file/a/b/x.csv", False, "cannot be written"),
        ("n" * 256, False, "cannot be written: File name too long"),
        ("ü" * 130 + ".csv", False, "cannot be written: File name too long"),
        (f"{'n' * 256}/x.csv", False, "cannot be written: File name too long"),
    ],
)
def test_what_stands_against_a_place_is_named(tmp_path: Path, name: str, is_folder: bool, expected: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=expected):
        check_place("csv", tmp_path / name, is_folder)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_disk_that_is_full_or_read_only_is_told(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(ConfigError, match=f"cannot be written: {os.strerror(number)}.*another place: csv=<file>"):
        check_place("csv", tmp_path / "x.csv")


def test_the_kernels_own_folder_takes_no_files() -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        check_place("csv", "/proc/x.csv")

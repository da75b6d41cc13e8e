"""What fails ends a command in one paragraph that names the file and the way on; a bug keeps its traceback."""

import errno
import json
import os
import sqlite3
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch.utils.data import DataLoader, Dataset

from sedcrnn.errors import ClipError
from sedcrnn.failures import in_words, told


def words(error: Exception, composing: bool = False) -> str | None:
    return in_words(error, "train", composing)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, "There is no room left on the disk for '/x/ü.bin'. "),
        (errno.EDQUOT, "There is no room left on the disk for '/x/ü.bin'. "),
        (errno.EROFS, "'/x/ü.bin' lies on a read-only file system. "),
        (errno.EACCES, "This user may not use '/x/ü.bin'. "),
        (errno.ENAMETOOLONG, "The name of '/x/ü.bin' is too long. "),
        (errno.EMFILE, "Too many files are open at a time. "),
        (errno.ENOENT, "'/x/ü.bin' does not exist. "),
        (errno.EIO, "'/x/ü.bin' cannot be used: Input/output error. "),
        (errno.EISDIR, "'/x/ü.bin' cannot be used: Is a directory. "),
        (errno.ENOMEM, "There is not enough memory for '/x/ü.bin' (Cannot allocate memory). "),
    ],
)
def test_what_the_system_refuses_is_told_with_the_file(number: int, expected: str) -> None:
    for name in ("/x/ü.bin", "/x/ü.bin".encode()):
        assert (words(OSError(number, os.strerror(number), name)) or "").startswith(expected)


def test_a_file_that_an_error_does_not_name_is_that_which_was_open(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as full, Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")
    assert (words(full.value) or "").startswith("There is no room left on the disk for '/dev/full'")
    (tmp_path / "a.txt").write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError) as latin:
        (tmp_path / "a.txt").read_text(encoding="utf-8")
    assert f"'{tmp_path / 'a.txt'}' is no UTF-8 text" in (words(latin.value) or "")
    (tmp_path / "a.yaml").write_text("a: b\nc: [")
    with pytest.raises(yaml.YAMLError) as broken, (tmp_path / "a.yaml").open() as stream:
        yaml.safe_load(stream)
    assert f"'{tmp_path / 'a.yaml'}' is no YAML, line 2: expected the node content" in (words(broken.value) or "")
    with pytest.raises(json.JSONDecodeError) as half:
        _read_json(tmp_path / "a.txt")
    assert f"'{tmp_path / 'a.txt'}' is no whole JSON: Expecting" in (words(half.value) or "")


def _read_json(path: Path) -> object:
    path.write_text("{")
    return json.loads(path.read_text())


def test_memory_killed_processes_and_databases_are_told() -> None:
    with pytest.raises(MemoryError) as much:
        np.zeros(1 << 48)
    assert "not enough memory" in (words(much.value) or "")
    with pytest.raises(RuntimeError) as much_for_torch:
        torch.zeros(1 << 50)
    assert "not enough memory" in (words(much_for_torch.value) or "")
    assert "was killed" in (words(BrokenProcessPool("a child process terminated abruptly")) or "")
    assert "was killed" in (words(RuntimeError("DataLoader worker (pid(s) 12) exited unexpectedly")) or "")
    assert "SQLite cannot use" in (words(sqlite3.OperationalError("disk I/O error")) or "")


class Failing(Dataset[int]):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "told_as"), [(ClipError("Found", "Allowed", "Do"), "Found. Allowed. Do."), (KeyError("x"), None)]
)
def test_what_is_raised_where_batches_are_loaded_is_told_as_here(error: Exception, told_as: str | None) -> None:
    with pytest.raises(Exception, match="in DataLoader worker process") as raised:
        next(iter(DataLoader(Failing(error), num_workers=1)))
    assert words(raised.value) == told_as


def test_a_bug_keeps_its_traceback_and_says_where_to_report_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, told("train"):
        raise KeyError("a bug")
    shown = capsys.readouterr().err
    assert ended.value.code == 1
    assert "Traceback" in shown
    assert "KeyError: 'a bug'" in shown
    assert "This is a fault of sedcrnn 0." in shown
    assert "report it among the issues" in shown


def test_what_can_be_mended_is_one_paragraph(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, told("train"):
        raise PermissionError(errno.EACCES, "Permission denied", os.fsdecode(b"/b\xfc.wav"))
    assert ended.value.code == 1
    assert capsys.readouterr().err.strip() == (
        "Error: This user may not use '/b\\xfc.wav'. It takes the permission. Change it, or choose another place."
    )


def test_what_a_library_refuses_while_the_config_is_made_is_a_mistake_in_it() -> None:
    with pytest.raises(ValueError, match="Exceeds the limit") as raised:
        json.loads("9" * 5000)
    assert "The config cannot be composed: ValueError: Exceeds the limit" in (words(raised.value, composing=True) or "")
    assert words(raised.value) is None

"""A file is whole or not there."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sedcrnn.runs.files import atomic, write_json


def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "record.json"
    write_json(path, {"a": 1})

    def interrupted() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert json.loads(path.read_text()) == {"a": 1}
    assert [file.name for file in path.parent.iterdir()] == ["record.json"]


def test_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with atomic(tmp_path / "a.wav") as first, atomic(tmp_path / "a.wav") as second:
        assert first != second
        assert first.suffix == ".wav"
        first.write_text("1")
        second.write_text("2")
    assert (tmp_path / "a.wav").read_text() == "1"


KILLED = """
import os, signal, sys
from pathlib import Path
from sedcrnn.runs.files import atomic
with atomic(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    if len(sys.argv) > 2:
        print("ready", flush=True)
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_killed_writers_left_is_removed_and_what_others_write_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    command = [sys.executable, "-c", KILLED, str(path)]
    assert subprocess.run(command).returncode == -9
    (left,) = tmp_path.iterdir()
    of_another_computer = [tmp_path / f".0000abcd-1-{name}.partial.json" for name in ("new", "old")]
    for file in of_another_computer:
        file.write_text("half")
    os.utime(of_another_computer[1], (time.time() - 90_000,) * 2)
    with subprocess.Popen([*command, "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        (being_written,) = set(tmp_path.iterdir()) - {left, *of_another_computer}
        write_json(path, 1)
        assert set(tmp_path.iterdir()) == {path, being_written, of_another_computer[0]}


def test_any_name_that_a_file_may_have_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'a' * 250}.json"
    write_json(path, 1)
    assert json.loads(path.read_text()) == 1

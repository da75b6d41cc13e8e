"""A file is whole or not there."""

import json
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

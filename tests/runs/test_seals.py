"""Every flipped bit and every block of zeros in a checkpoint is noticed, and so is a cut."""

import time
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from sedcrnn.errors import CheckpointError
from sedcrnn.runs.checkpoint_io import WholeCheckpoints
from sedcrnn.runs.checkpoints import SCHEMA_KEY, SCHEMA_VERSION, read_content, write_checkpoint
from sedcrnn.runs.plain_data import check_plain
from sedcrnn.runs.seals import SEAL, is_sealed

CONTENT = {SCHEMA_KEY: SCHEMA_VERSION, "weights": {"a": torch.arange(3000.0), "b": torch.ones(2, 3)}, "scenes": ["x"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_checkpoint(CONTENT, tmp_path / "best.ckpt")
    return tmp_path / "best.ckpt"


def test_what_is_written_is_read_also_by_torch_and_zip(path: Path) -> None:
    for content in (read_content(path), torch.load(path, weights_only=True), WholeCheckpoints().load_checkpoint(path)):
        assert torch.equal(content["weights"]["a"], CONTENT["weights"]["a"])
        assert content["scenes"] == ["x"]
    with ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment == path.read_bytes()[-SEAL:]
    assert [one.name for one in path.parent.iterdir()] == ["best.ckpt"]


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    places = [*rng.integers(len(whole), size=300), 0, len(whole) - 1, len(whole) - SEAL, len(whole) - SEAL - 1]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"best\.ckpt cannot be read .* damaged"):
            read_content(path)


def test_zeros_cuts_and_additions_are_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for first in range(0, len(whole) - 4096, 1500):
        path.write_bytes(whole[:first] + bytes(4096) + whole[first + 4096 :])
        assert not is_sealed(path)
    for damaged in (b"", whole[:50], whole[:-1], whole[:-SEAL], whole[1:], whole + b"0", whole + whole):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"best\.ckpt cannot be read"):
            read_content(path)


def test_what_something_else_wrote_is_refused(path: Path) -> None:
    for old in (True, False):
        torch.save(CONTENT, path, _use_new_zipfile_serialization=not old)
        with pytest.raises(CheckpointError, match="written by something else than this version of sedcrnn"):
            read_content(path)
    write_checkpoint({**CONTENT, SCHEMA_KEY: SCHEMA_VERSION - 1}, path)
    with pytest.raises(CheckpointError, match="schema version"):
        read_content(path)
    with pytest.raises(CheckpointError, match="No such file"):
        read_content(path.with_name("gone.ckpt"))


def test_a_write_that_fails_leaves_the_previous_one(path: Path) -> None:
    with pytest.raises(Exception, match="pickle"):
        write_checkpoint({"function": lambda: None}, path)
    assert read_content(path)["scenes"] == ["x"]


def test_plain_data_have_an_end() -> None:
    check_plain({"a": [1, 2.5, None, True, "x"], "names": ["x"] * 100_000})
    endless: dict[str, Any] = {}
    endless["a"] = endless
    bomb: list[Any] = [1]
    for _ in range(15):
        bomb = [bomb] * 10
    for value in (endless, bomb, {1: 2}, {"a": {1}}, {"a": b"x"}, 2**70, [[0] * 6000]):
        began = time.monotonic()
        with pytest.raises(ValueError, match="it "):
            check_plain(value)
        assert time.monotonic() - began < 5

"""Which run a short name means, and which run folders stay."""

import json
import logging
from pathlib import Path

import pytest
import torch

from sedcrnn.errors import CheckpointError
from sedcrnn.runs.checkpoints import BEST, checkpoint_path
from sedcrnn.runs.records import find_run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six runs, of which the last is not finished."""
    monkeypatch.chdir(tmp_path)
    made = [("audio", 1, "aaaa1111", 5), ("audio", 10, "aaaa2222", 9), ("fusion", 0, "ffff1111", 7)]
    made += [("fusion_early", 0, "eeee1111", 6), ("visual_small", 0, "cccc1111", 8), ("visual", 0, "dddd1111", None)]
    for name, seed, key, hour in made:
        folder = tmp_path / "runs" / f"{name}-s{seed}-{key}"
        (folder / BEST).parent.mkdir(parents=True)
        (folder / BEST).touch()
        record = {"name": name, "seed": seed, "status": "running" if hour is None else "finished"}
        if hour is not None:
            record["finished"] = f"2026-01-01T{hour:02d}:00:00+00:00"
        (folder / "record.json").write_text(json.dumps(record))
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("fusion", "fusion-s0-ffff1111"),  # and not fusion_early
        ("fusion_early", "fusion_early-s0-eeee1111"),
        ("audio-s1", "audio-s1-aaaa1111"),  # and not seed 10
        ("audio-s10", "audio-s10-aaaa2222"),
        ("audio-s1-aa", "audio-s1-aaaa1111"),
        ("visual", "visual_small-s0-cccc1111"),  # the one of this name is not finished
        ("latest", "audio-s10-aaaa2222"),
        ("runs/fusion-s0", "fusion-s0-ffff1111"),
    ],
)
def test_a_name_means_one_finished_run_which_is_logged(
    runs: Path, name: str, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert find_run(name) == Path("runs") / folder
    assert caplog.messages == [f"'{name}' is runs/{folder}."]
    assert checkpoint_path(name) == Path("runs") / folder / BEST


def test_a_path_is_taken_as_it_is(runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    folder = runs / "fusion-s0-ffff1111"
    assert find_run(str(folder)) == folder
    assert checkpoint_path(str(folder / BEST)) == folder / BEST
    assert not caplog.messages
    Path("fusion").mkdir()  # a folder that is no run hides none
    assert find_run("fusion").name == folder.name
    with pytest.raises(CheckpointError, match="There is no checkpoint at"):
        checkpoint_path(str(runs.parent), runs)


def test_a_name_of_several_runs_or_none_is_an_error_that_lists_what_there_is(runs: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'audio' may be .*audio-s1-aaaa1111, .*audio-s10-aaaa2222"):
        find_run("audio")
    with pytest.raises(CheckpointError, match=r"no finished run of that name in runs.*nearest is 'fusion-s0'"):
        find_run("fusoin")
    with pytest.raises(CheckpointError, match="There is no checkpoint at latest"):
        find_run("latest", runs / "empty")


def test_an_unfinished_run_is_warned_of(runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint_path(str(runs / "visual-s0-dddd1111"))
    assert "visual-s0-dddd1111 is not finished" in caplog.text
    torch.save({}, runs.parent / "alone.ckpt")
    caplog.clear()
    checkpoint_path(str(runs.parent / "alone.ckpt"))
    assert not caplog.messages

"""A pool goes on when what it reads kills its processes, and says which task it was."""

import importlib
import os
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import ClipError
from sedcrnn.features.extraction import extract_all, made
from sedcrnn.features.extraction_estimate import extract
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.store import FeatureStore
from sedcrnn.features.workers import KilledError, each_apart

KILL, ABORT, EXIT = (
    "__import__('os').kill(__import__('os').getpid(), 9)",
    "__import__('os').abort()",
    "__import__('os')._exit(3)",
)

FEATURE = """
import os
from sedcrnn.features.spectrogram import Spectrogram

class Killing(Spectrogram):
    def extract(self, source):
        if source.stem in ("clip1", "clip4"):
            os.kill(os.getpid(), 9)
        if source.stem == "clip3":
            raise MemoryError("Unable to allocate 131 TiB")
        return super().extract(source)
"""


@pytest.fixture
def killing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A feature that some clips kill or exhaust."""
    (tmp_path / "killing_feature.py").write_text(FEATURE)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("killing_feature").Killing(bank=RecursiveGammatone(bands=4))


def test_without_processes_the_work_is_done_here() -> None:
    assert list(each_apart(eval, ["1 + 1", "__import__('os').getpid()"], 0)) == [
        ("1 + 1", 2),
        ("__import__('os').getpid()", os.getpid()),
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_kills_its_process_is_named_and_all_others_are_done(workers: int) -> None:
    tasks = ["1", KILL, "2", "3", ABORT, "4", EXIT, *map(str, range(10, 20))]
    found = list(each_apart(eval, tasks, workers))
    assert sorted(task for task, _ in found) == sorted(tasks)
    assert {task for task, result in found if isinstance(result, KilledError)} == {KILL, ABORT, EXIT}
    assert all(result == int(task) for task, result in found if not isinstance(result, KilledError))


def test_who_is_killed_once_is_tried_again_alone(tmp_path: Path) -> None:
    place = f"__import__('pathlib').Path('{tmp_path}/once')"
    once = f"7 if {place}.exists() else {place}.touch() or {KILL}"
    assert list(each_apart(eval, [once, "1"], 1)) == [(once, 7), ("1", 1)]


def test_what_a_task_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(each_apart(eval, ["1", "1 / 0"], 2))


def test_no_task_is_blamed_where_no_process_can_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sedcrnn.features.workers._start_worker", os.abort)
    with pytest.raises(BrokenProcessPool):
        list(each_apart(eval, ["1", "2"], 1))


@pytest.mark.slow
def test_skip_lists_the_clips_that_kill_and_goes_on(
    killing: Any, make_clips: Callable[..., list[Clip]], tmp_path: Path
) -> None:
    clips, store = make_clips(8), FeatureStore(tmp_path / "store")
    skipped = extract_all(clips, [killing], store, 2, "skip").unreadable
    assert [one.clip for one in skipped] == ["clip1", "clip3", "clip4"]
    assert "clip1.wav' cannot be read: the process that reads it is killed, also when it is alone" in skipped[0].message
    assert "clip3.wav' cannot be read: it takes more memory than there is" in skipped[1].message
    assert sum(store.known([clip.audio for clip in clips], killing)) == 5


@pytest.mark.slow
def test_stop_names_the_clip_that_kills(killing: Any, make_clips: Callable[..., list[Clip]], tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"clip1\.wav' cannot be read: the process .*data\.unreadable=skip"):
        extract_all(make_clips(2), [killing], FeatureStore(tmp_path / "store"), 2, "stop")


@pytest.mark.slow
def test_the_estimate_passes_over_clips_that_kill(
    killing: Any, make_clips: Callable[..., list[Clip]], tmp_path: Path
) -> None:
    skipped = extract(make_clips(5), [killing], tmp_path / "store", 1)
    assert [one.clip for one in skipped] == ["clip1", "clip3", "clip4"]


def test_a_clip_without_enough_memory_or_that_the_system_cannot_read_is_unreadable(tmp_path: Path) -> None:
    class Failing:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def extract(self, source: Path) -> None:
            raise self.error

    for error, words in (
        (MemoryError(), "more memory than there is"),
        (OSError(5, "Input/output error"), "Input/output error"),
    ):
        with pytest.raises(ClipError, match=f"a.wav' cannot be read: .*{words}"):
            made(Failing(error).extract, tmp_path / "a.wav")  # type: ignore[arg-type]

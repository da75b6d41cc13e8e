"""Bars on a terminal; lines, without what moves a cursor, in a log."""

import logging

import pytest

from sedcrnn import progress as module
from sedcrnn.cli import _AboveProgressBars
from sedcrnn.progress import progress, time_in_words


def test_a_log_gets_a_line_now_and_then_and_no_carriage_return(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_IN_A_LOG", {**module._IN_A_LOG, "mininterval": 0, "delay": 0})
    bar = progress(range(6), "Encoding", unit="clip")
    assert list(bar) == list(range(6))
    errors = capsys.readouterr().err
    assert "\r" not in errors
    lines = errors.splitlines()
    assert [line.partition(", about ")[0] for line in lines] == [f"Encoding: {done} of 6 clip" for done in range(7)]
    assert all(line.endswith(" left") for line in lines)


def test_what_is_quick_leaves_nothing_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    handler = _AboveProgressBars()
    with progress(about="Fetching", total=2, unit="B", unit_scale=True, position=1) as bar:
        bar.update()
        handler.emit(logging.LogRecord("sedcrnn", logging.INFO, "", 0, "a message", None, None))
        bar.update()
    output = capsys.readouterr()
    assert (output.out, output.err) == ("a message\n", "")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "in_a_log", lambda: False)
    assert sum(progress(range(3), "Encoding", unit="clip")) == 3
    assert "Encoding: 100%|" in capsys.readouterr().err.split("\r")[-1]
    monkeypatch.setenv("RANK", "1")  # of several processes, the first alone shows one
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert sum(progress(range(3), "Encoding", unit="clip")) == 3
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 s"), (119.4, "119 s"), (720, "12 min"), (12600, "3.5 h")])
def test_durations_in_words(seconds: float, words: str) -> None:
    assert time_in_words(seconds) == words

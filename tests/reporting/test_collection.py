"""Run folders that are absent or damaged, and predictions that are not those of the scores beside them."""

import pytest

from sedcrnn.errors import CheckpointError
from sedcrnn.reporting.collection import collect
from tests.reporting.conftest import AUDIO


def test_no_runs_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"There are no run folders in .*nothing, which does not exist"):
        collect(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="There are no run folders"):
        collect(tmp_path)


@pytest.mark.parametrize("file", ["record.json", "config.yaml", "evaluation/test/metrics.json"])
def test_a_file_that_cannot_be_read_is_named(file, write_run, tmp_path):
    run = write_run("audio", 0, AUDIO)
    (run / file).write_text("{'half")
    with pytest.raises(CheckpointError, match=r"audio-s0-abcd.* cannot be read"):
        collect(tmp_path / "runs")


def test_a_record_without_what_is_needed_is_named(write_run, tmp_path):
    write_run("audio", 0, AUDIO, inputs={})
    with pytest.raises(CheckpointError, match=r"audio-s0-abcd cannot be read as a run: KeyError.*leave_out=\["):
        collect(tmp_path / "runs")


def test_what_is_left_out_has_to_be_there(write_run, tmp_path):
    write_run("audio", 0, AUDIO)
    with pytest.raises(CheckpointError, match=r"'audio-s0-abce', which is no run folder.*'audio-s0-abcd'"):
        collect(tmp_path / "runs", ["audio-s0-abce"])


def test_predictions_that_are_not_those_of_the_scores_are_refused(write_run, tables_of, tmp_path):
    path = write_run("audio", 0, AUDIO) / "evaluation" / "test" / "predictions.csv"
    path.write_text(path.read_text().replace("0.82", "0.81"))
    with pytest.raises(
        CheckpointError, match=r"have the macro log loss 0\.5\d+, and metrics.json beside them says 0\."
    ):
        tables_of(tmp_path / "runs")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda text: text[: len(text) // 2].rsplit(",", 3)[0], "cannot be read as predictions"),
        (lambda text: text.replace("location", "city"), "its columns are clip, city"),
        (lambda text: text.replace(",bus,audio", ",tram,audio"), "cannot be read as predictions"),
        (lambda text: text.splitlines()[0], "cannot be read as predictions"),
        (lambda text: "", "cannot be read as predictions"),
    ],
)
def test_damaged_predictions_are_named(damage, expected, write_run, tables_of, tmp_path):
    path = write_run("audio", 0, AUDIO) / "evaluation" / "test" / "predictions.csv"
    path.write_text(damage(path.read_text()))
    with pytest.raises(CheckpointError, match=expected):
        tables_of(tmp_path / "runs")


def test_predictions_without_the_head_are_refused(write_run, tables_of, tmp_path):
    path = write_run("audio", 0, AUDIO) / "evaluation" / "test" / "predictions.csv"
    path.write_text(path.read_text().replace(",audio,", ",other,"))
    with pytest.raises(CheckpointError, match="hold no head 'audio'"):
        tables_of(tmp_path / "runs")

"""Run folders that are absent or damaged, and predictions that are not those of the scores beside them."""

import re

import pytest

from sedcrnn.errors import CheckpointError
from sedcrnn.reporting.collection import collect, missing_folds
from tests.reporting.conftest import AUDIO


def test_no_runs_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"There are no run folders in .*nothing, which does not exist"):
        collect(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="There are no run folders"):
        collect(tmp_path)


@pytest.mark.parametrize("content", ["{'half", "", "[1, 2]", "\x00\x01", "[" * 5000])
@pytest.mark.parametrize("file", ["record.json", "config.yaml"])
def test_a_broken_run_is_told_and_blocks_no_other(file, content, write_run, tmp_path, caplog):
    (write_run("audio", 0, AUDIO) / file).write_text(content)
    whole = write_run("audio", 1, AUDIO)
    assert [run.folder for run in collect(tmp_path / "runs")] == [whole]
    assert f"audio-s0-abcd/{file}" in caplog.text


@pytest.mark.parametrize("damage", [{"heads": {}}, {"heads": {"audio": {}}}, {"of": 3}, {"skipped_clips": None}])
def test_damaged_scores_are_told_and_made_again(damage, write_run, tmp_path):
    write_run("audio", 0, AUDIO, metrics=damage)
    (run,) = collect(tmp_path / "runs")
    assert run.state == "evaluated, and its metrics.json is damaged; evaluate it again"


def test_scores_that_are_no_json_count_as_none(write_run, tmp_path, caplog):
    run = write_run("audio", 0, AUDIO)
    (run / "evaluation/test/metrics.json").write_text("{'half")
    assert [one.state for one in collect(tmp_path / "runs")] == ["not evaluated on the test fold"]
    assert "audio-s0-abcd/evaluation/test/metrics.json cannot be read, and is passed over" in caplog.text


def test_a_record_without_what_is_needed_is_named(write_run, tmp_path, caplog):
    write_run("audio", 0, AUDIO, inputs={})
    with pytest.raises(CheckpointError, match="There are no run folders"):
        collect(tmp_path / "runs")
    assert "audio-s0-abcd is left out, for it cannot be read as a run: KeyError: 'data'" in caplog.text


def test_what_is_left_out_has_to_be_there(write_run, tmp_path):
    write_run("audio", 0, AUDIO)
    with pytest.raises(CheckpointError, match=r"'audio-s0-abce', which is no run folder.*'audio-s0-abcd'"):
        collect(tmp_path / "runs", ["audio-s0-abce"])


def test_predictions_that_are_not_those_of_the_scores_are_left_out(write_run, tables_of, tmp_path, caplog):
    path = write_run("audio", 0, AUDIO) / "evaluation" / "test" / "predictions.csv"
    path.write_text(path.read_text().replace("0.82", "0.81"))
    assert tables_of(tmp_path / "runs") == []
    assert re.search(r"have the macro log loss 0\.5\d+, and metrics.json beside them says 0\.", caplog.text)


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
def test_damaged_predictions_are_left_out(damage, expected, write_run, tables_of, tmp_path, caplog):
    path = write_run("audio", 0, AUDIO) / "evaluation" / "test" / "predictions.csv"
    path.write_text(damage(path.read_text()))
    assert tables_of(tmp_path / "runs") == []
    assert "audio-s0-abcd is left out of the tables: " in caplog.text
    assert expected in caplog.text


def test_predictions_without_the_head_are_left_out(write_run, tables_of, tmp_path, caplog):
    path = write_run("audio", 0, AUDIO) / "evaluation" / "test" / "predictions.csv"
    path.write_text(path.read_text().replace(",audio,", ",other,"))
    assert tables_of(tmp_path / "runs") == []
    assert "hold no head 'audio'" in caplog.text


CITIES = ["bonn", "oslo", "rome"]
OSLO, ROME = ({"city": city, "cities": CITIES} for city in ("oslo", "rome"))


@pytest.mark.parametrize(
    ("left_out", "told"),
    [
        ([OSLO], []),
        ([OSLO, ROME], ["2 of 3 cities (missing: bonn)"]),
        ([OSLO, ROME, {**ROME, "city": "bonn"}], ["3 of 3 cities"]),
        ([OSLO, {**ROME, "mixup_alpha": 0.3}], []),  # another config
        ([OSLO, {**ROME, "source": "Others"}], []),  # another data set
        ([OSLO, {**ROME, "cities": [*CITIES, "york"]}], []),  # the data set has grown
        ([OSLO, {"city": "rome"}], []),  # of a version that did not list them
        ([OSLO, {**ROME, "cities": []}], []),  # not every clip's city is known
    ],
)
def test_of_several_cities_that_are_left_out_the_missing_ones_are_named(left_out, told, write_run, tmp_path):
    for one in left_out:
        data = {"source": {"_target_": one.get("source", "Toys")}, "selection": "location_disjoint"}
        config = {"data": {**data, "leave_out_city": one["city"]}, "recipe": {"mixup_alpha": one.get("mixup_alpha", 0)}}
        listed = {"cities": one["cities"]} if "cities" in one else {}
        write_run("audio", 0, AUDIO, f"audio-s0-{one['city']}", config=config, **listed)
    why = "They are no result of the whole before the pipeline has ended"
    command = "sedcrnn pipeline with data.leave_out_city=all"
    expected = [f"audio, seed 0: {one}, each shown by itself. {why}: {command}" for one in told]
    assert missing_folds(collect(tmp_path / "runs")) == expected

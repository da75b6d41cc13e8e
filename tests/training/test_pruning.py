"""Jobs of a sweep that are ended early: by which rule, and what is left of them."""

import csv
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import HopelessRunError
from sedcrnn.runs.checkpoints import BEST, LAST, load_checkpoint
from sedcrnn.runs.records import find_run, report_score
from sedcrnn.sweeps.processes import RESULT
from sedcrnn.training.pruning import finished_scores
from sedcrnn.training.stage import train

Stage = Callable[..., TrainConfig]

ENDING = ["callbacks=end_hopeless", "callbacks.hopeless.startup_runs=2", "callbacks.hopeless.warmup_epochs=2"]


class FinishedJobs:
    """The folder of a sweep, with jobs that handed back made-up runs; this process is its next job."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.number = folder, 0
        self.own = folder / "sweep" / "own" / "result.json"
        self.own.parent.mkdir(parents=True)
        monkeypatch.setenv(RESULT, str(self.own))

    def add(self, like: Path, scores: Sequence[float], **changed: Any) -> None:
        """A run like another one, but for its validation scores by epoch and entries of its record."""
        self.number += 1
        run, job = self.folder / "others" / str(self.number), self.folder / "sweep" / str(self.number)
        run.mkdir(parents=True)
        job.mkdir()
        record = json.loads((like / "record.json").read_text())
        (run / "record.json").write_text(json.dumps({**record, "status": "finished", **changed}))
        with (run / "metrics.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["epoch", "validation/macro_accuracy"], *enumerate(scores)])
        (job / "result.json").write_text(json.dumps({"score": max(scores), "runs": [str(run)]}))


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinishedJobs:
    return FinishedJobs(tmp_path, monkeypatch)


@pytest.fixture
def like(stage: Stage) -> Path:
    run = train(stage("audio", "trainer.max_epochs=1"))
    assert run is not None
    return run


def test_scores_are_the_best_of_finished_runs_of_one_experiment_and_data(like: Path, jobs: FinishedJobs) -> None:
    jobs.add(like, [0.2, 0.7, 0.5, 0.9])
    jobs.add(like, [0.6])  # it ended after one epoch
    jobs.add(like, [0.95] * 4, status="running")
    jobs.add(like, [0.96] * 4, name="visual")
    jobs.add(like, [0.97] * 4, inputs={"data": {"name": "other"}, "init_from": {}})
    assert [sorted(finished_scores(like, epochs, {})) for epochs in (1, 3, 4)] == [[0.2, 0.6], [0.6, 0.7], [0.6, 0.9]]
    assert finished_scores(like / "elsewhere", 4, {}) == []


def test_a_finished_run_is_read_once_and_others_may_finish_between_epochs(like: Path, jobs: FinishedJobs) -> None:
    curves: dict[Path, list[float]] = {}
    jobs.add(like, [0.2, 0.7])
    jobs.add(like, [0.9, 0.9], name="visual")
    jobs.add(like, [0.3, 0.4], status="running")
    assert finished_scores(like, 1, curves) == [0.2]
    first, other, running = (jobs.folder / "others" / number for number in ("1", "2", "3"))
    assert curves == {first: [0.2, 0.7], other: []}
    for run in (first, other):
        for file in ("record.json", "metrics.csv"):
            (run / file).unlink()
    record = json.loads((running / "record.json").read_text())
    (running / "record.json").write_text(json.dumps({**record, "status": "finished"}))
    jobs.add(like, [0.5])
    assert sorted(finished_scores(like, 2, curves)) == [0.4, 0.5, 0.7]


def test_a_run_below_the_median_is_ended_and_goes_on_without_the_callback_as_if_it_never_was(
    stage: Stage, like: Path, jobs: FinishedJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["seed=1", "trainer.max_epochs=5"]
    for scores in ([0.1, 2.0, 2.0], [0.1, 2.0], [0.1, 0.2]):  # by the second epoch better than can be, two of three
        jobs.add(like, scores)
    with pytest.raises(HopelessRunError, match="audio was ended after 2 epochs, for it lies below the median") as ended:
        train(stage("audio", *options, *ENDING))
    run = pickle.loads(pickle.dumps(ended.value)).run
    record = json.loads((run / "record.json").read_text())
    assert (record["status"], record["epochs"]) == ("hopeless", 2)
    assert load_checkpoint(str(run / BEST)).digest
    with pytest.raises(Exception, match="no finished run of that name"):
        find_run("audio-s1", run.parent)
    score = report_score(run)
    assert score == record["best"]["validation/macro_accuracy"]
    assert json.loads(jobs.own.read_text()) == {
        "score": score,
        "runs": [str(run)],
        "finished": record["finished"],
        "hopeless": True,
    }
    before = (run / "metrics.csv").read_bytes()
    with pytest.raises(HopelessRunError, match="after 2 epochs"):  # and no epoch more, where the sweep is run again
        train(stage("audio", *options, *ENDING))
    assert (run / "metrics.csv").read_bytes() == before
    assert (run / LAST).is_file()

    monkeypatch.delenv(RESULT)
    assert train(stage("audio", *options)) == run
    whole = train(stage("audio", *options, f"runs={tmp_path / 'whole'}"))
    assert whole is not None
    assert (run / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert load_checkpoint(str(run)).digest == load_checkpoint(str(whole)).digest


@pytest.mark.parametrize(
    "others",
    [[[0.0, 0.0], [0.0, 0.0], [2.0, 2.0]], [[2.0, 2.0]]],
    ids=["above the median", "too few finished runs"],
)
def test_others_are_trained_to_their_end(
    stage: Stage, like: Path, jobs: FinishedJobs, others: list[list[float]]
) -> None:
    for scores in others:
        jobs.add(like, scores)
    run = train(stage("audio", "seed=1", *ENDING))
    assert run is not None
    record = json.loads((run / "record.json").read_text())
    assert (record["status"], record["epochs"]) == ("finished", 3)


def test_a_single_run_is_told_that_nothing_is_compared(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(RESULT, raising=False)
    train(stage("audio", "trainer.max_epochs=1", *ENDING))
    assert "EndHopeless compares the jobs of a sweep, and has no effect on a single run" in caplog.text

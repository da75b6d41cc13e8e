"""Own recordings in two folds, each held out in turn: begun with one fold, gone on with, pooled and reported."""

import json
import math
import shutil
import signal
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from sedcrnn.evaluation.calibration import fit_temperature
from sedcrnn.evaluation.intervals import LEVEL, bootstrap_scores
from sedcrnn.evaluation.predictions import read_predictions
from sedcrnn.reporting.collection import EVALUATED, collect, missing_folds
from sedcrnn.reporting.report_files import write_report
from sedcrnn.reporting.tables import RowSpec, TableSpec, make_tables
from tests.training.small_pipelines import Work

SCENES = ("beach", "bus", "park")

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]


def files(folder: Path) -> dict[str, int]:
    """When each file was written."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def words_of(recordings: Path) -> tuple[str, ...]:
    return "data=folder", f"data.root={recordings}", "data.validation_fraction=0.3"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, own_root: Path) -> Work:
    """One fold of seed 0 is trained and evaluated at first; the rest, with another seed, by the second command."""
    work = Work(tmp_path_factory.mktemp("folds"), *words_of(own_root))
    begun = work.pipeline("data.folds=2", "data.held_out=1")
    assert begun.returncode == 0, begun.stderr
    (work.place / "told").write_text("\n".join(missing_folds(collect(work.runs))))
    (work.place / "stored").write_text(json.dumps(files(work.store)))
    whole = work.pipeline("folds=2", "seeds=0,1", f"page={work.place / 'report.html'}")
    assert whole.returncode == 0, whole.stderr
    (work.place / "output").write_text(whole.stdout)
    return work


def test_a_fold_that_was_there_is_found_and_what_was_missing_had_been_told(work: Work) -> None:
    told, output = (work.place / "told").read_text(), (work.place / "output").read_text()
    assert told.startswith("audio, seed 0: 1 of 2 folds (missing: 2), each shown by itself.")
    assert output.count("reusing") == 1
    assert output.count("audio: training in") == 3
    assert missing_folds(collect(work.runs)) == []


def test_features_are_stored_once_for_all_folds_and_seeds(work: Work) -> None:
    assert files(work.store) == json.loads((work.place / "stored").read_text())
    assert len(list(work.store.rglob("*.npy"))) >= 15


def test_every_clip_is_held_out_once_and_scores_are_those_of_all_predictions(work: Work) -> None:
    of_folds = work.rows(0)
    clips = [{row["clip"] for row in rows} for rows in of_folds.values()]
    assert not clips[0] & clips[1]
    assert sum(map(len, clips)) == 15
    report = work.report(0)
    assert (report["clips"], report["pooled"], report["of"]["data"]["name"]) == (15, "2 folds", "folder")
    right, losses = defaultdict(list), defaultdict(list)
    for row in [row for rows in of_folds.values() for row in rows]:
        probabilities = {scene: float(row[scene]) for scene in SCENES}
        right[row["label"]].append(max(probabilities, key=lambda scene: probabilities[scene]) == row["label"])
        losses[row["label"]].append(-math.log(probabilities[row["label"]]))
    window = report["heads"]["audio"]["window"]
    assert window["macro_accuracy"] == pytest.approx(sum(sum(one) / len(one) for one in right.values()) / 3)
    assert window["macro_log_loss"] == pytest.approx(sum(sum(one) / len(one) for one in losses.values()) / 3)
    assert sum(map(sum, window["confusion"])) == window["examples"] == sum(map(len, right.values()))


def test_the_interval_draws_from_the_locations_of_all_folds(work: Work) -> None:
    log_probabilities, scene, location = [], [], []
    for row in [row for rows in work.rows(0).values() for row in rows]:
        log_probabilities.append([math.log(float(row[one])) for one in SCENES])
        scene.append(SCENES.index(row["label"]))
        location.append(row["location"])
    index = [sorted(set(location)).index(one) for one in location]
    drawn = bootstrap_scores(torch.tensor(log_probabilities).double(), torch.tensor(scene), torch.tensor(index))
    report = work.report(0)
    interval = report["heads"]["audio"]["window"]["intervals"]["locations"]
    assert interval["locations"] == 15
    for score, values in drawn.items():
        expected = values.quantile(values.new_tensor(LEVEL)).tolist()
        assert interval[score] == pytest.approx(expected, rel=1e-6)


def test_the_report_has_one_row_with_both_seeds_and_each_fold_at_its_own_temperature(work: Work) -> None:
    runs = collect(work.runs)
    assert [run.seed for run in runs if run.state == EVALUATED] == [0, 1]
    assert sum(run.state.startswith("evaluated, and part of audio-s") for run in runs) == 4
    (table,) = make_tables(runs, [TableSpec(title="Networks", rows=[RowSpec("audio", "Audio")])])
    (row,) = table.rows
    assert list(row.runs) == [0, 1]
    scored = row.runs[0]
    temperatures = [fold["temperatures"]["audio"] for fold in work.folds(0)]
    for fold, temperature in zip(work.folds(0), temperatures, strict=True):
        validation = work.runs / fold["run"] / "evaluation" / "validation" / "predictions.csv"
        assert fit_temperature(read_predictions(validation).predictions, "audio") == pytest.approx(temperature)
    assert scored.temperature == pytest.approx(sum(temperatures) / 2)
    level, first = scored.levels["window"], len(next(iter(work.rows(0).values())))
    assert level.scaled is not None
    for part, temperature in zip((slice(None, first), slice(first, None)), temperatures, strict=True):
        expected = (level.log_probabilities[part] / temperature).log_softmax(-1)
        torch.testing.assert_close(level.scaled[part], expected)


def test_terminal_and_page_say_how_many_folds_and_clips_and_each_fold_by_itself(work: Work, tmp_path: Path) -> None:
    output = (work.place / "output").read_text()
    assert "folder, 2 folds pooled: 15 clips, each held out once" in output
    assert "clips of the data set, each held out once (2 folds)" in output
    assert "Accuracy on 1-s windows by fold, audio head: 1: " in output
    write_report(work.runs, None, None, [], publish=False, page=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "recordings, 2 folds, every clip held out once" in page
    assert "Accuracy % by fold, 1-s windows" in page


def test_given_again_nothing_is_trained_or_written_but_the_page(work: Work) -> None:
    before = files(work.pooled(0))
    again = work.pipeline("folds=2")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("reusing") == 2
    assert files(work.pooled(0)) == before


def assert_same_row(work: Work, other: Work) -> None:
    """The same scores, of the same predictions of the same runs."""
    assert other.report(0) == work.report(0)
    predictions = Path("evaluation", "test", "predictions.csv")
    assert (other.pooled(0) / predictions).read_bytes() == (work.pooled(0) / predictions).read_bytes()
    assert other.pooled(0).name == work.pooled(0).name


def test_killed_in_each_fold_and_before_the_row_is_whole_the_same_command_makes_the_same_row(
    work: Work, own_root: Path, tmp_path: Path
) -> None:
    other = Work(tmp_path, *words_of(own_root))
    # An epoch of each fold is whole by then: the checkpoint is written after every epoch, of which there are two.
    for file, number in (("last.ckpt", 2), ("last.ckpt", 3), ("folds.json", 1)):
        killed = other.killed_pipeline("folds=2", before=file, number=number)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not list(other.runs.glob("*/folds.json"))
    states = [json.loads(record.read_text())["status"] for record in other.runs.glob("*/record.json")]
    assert states == ["finished", "finished"]
    done = other.pipeline("folds=2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("reusing") == 2
    assert_same_row(work, other)


def test_folds_that_a_sweep_has_trained_at_once_are_found_and_make_the_same_row(
    work: Work, own_root: Path, tmp_path: Path
) -> None:
    other = Work(tmp_path, *words_of(own_root))
    sweep = other.pipeline("-m", "data.folds=2", "data.held_out=1,2", "hydra.launcher.jobs=2")
    assert sweep.returncode == 0, sweep.stdout + sweep.stderr
    assert missing_folds(collect(other.runs)) == [
        "audio, seed 0: 2 of 2 folds, each shown by itself. They are no result of the whole before the pipeline has "
        "ended: sedcrnn pipeline with folds=2"
    ]
    done = other.pipeline("folds=2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("reusing") == 2
    assert_same_row(work, other)


def test_folds_and_seeds_at_once_by_one_command_make_the_same_rows_and_one_report(
    work: Work, own_root: Path, tmp_path: Path
) -> None:
    other = Work(tmp_path, *words_of(own_root))
    page = tmp_path / "report.html"
    done = other.pipeline("folds=2", "seeds=[0,1]", "hydra.launcher.jobs=2", f"page={page}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same_row(work, other)
    assert other.report(1) == work.report(1)
    assert "[3] seed=1 data.folds=2 data.held_out=2: finished in" in done.stdout
    assert done.stdout.count("reusing") == 4
    assert "2 folds pooled: 15 clips, each held out once" in done.stdout
    logs = [log.read_text() for log in sorted(other.runs.glob("sweeps/*/*/log.txt"))]
    assert [log.count("audio: training in") for log in logs] == [1, 1, 1, 1]
    assert not any("report.html" in log for log in logs)
    assert "2 folds, every clip held out once" in page.read_text()


def test_a_fold_that_fails_is_named_with_its_log_and_nothing_is_pooled(own_root: Path, tmp_path: Path) -> None:
    recordings = Path(shutil.copytree(own_root, tmp_path / "recordings"))
    (recordings / "bus" / "1.wav").write_bytes(b"")
    other = Work(tmp_path / "work", *words_of(recordings))
    failed = other.pipeline("folds=2", "hydra.launcher.jobs=2")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "2 of 2 jobs failed" in failed.stderr
    for number in (0, 1):
        log = other.runs / "sweeps" / "stage" / str(number) / "log.txt"
        name = f"[{number}] seed=0 data.folds=2 data.held_out={number + 1}"
        assert f"  {name}: failed with exit code 1; log: {log}" in failed.stderr
        assert f"{recordings / 'bus' / '1.wav'}" in log.read_text()
    assert "Traceback" not in failed.stderr
    assert not list(other.runs.glob("*/folds.json"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["folds=6", "hydra.launcher.jobs=2"], "6 folds cannot be drawn by group: 'beach' has 5"),
        (["folds=2", "data.leave_out_city=all"], "folds=2 is given to a pipeline, and data.leave_out_city=all too"),
        (["data.leave_out_city=all"], "15 clips of 15 without a city"),
    ],
)
def test_what_cannot_be_held_out_is_refused_before_anything_is_trained(
    work: Work, words: list[str], message: str
) -> None:
    before = set(work.runs.iterdir())
    refused = work.pipeline(*words)
    assert refused.returncode != 0
    assert message in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
    assert set(work.runs.iterdir()) == before

"""Sweeps whose jobs train with two processes (gloo): every case that other launchers get wrong (docs/sweeps.md)."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sedcrnn.runs.checkpoints import BEST
from tests.sweeps.conftest import Sweep, assert_all_processes_took_part, rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # each process of each job takes seconds to load torch


@pytest.mark.parametrize("way", ["script", "module", "package"])
def test_one_run_of_two_processes_however_it_is_started(
    run: Sweep, runs: Path, shared_store: Path, tmp_path: Path, way: str
) -> None:
    script = tmp_path / "sedcrnn"  # as pip writes it
    script.write_text("import sys\nfrom sedcrnn.__main__ import main\nsys.exit(main())\n")
    programs = {
        "script": (str(script), "train"),
        "module": ("-m", "sedcrnn.train"),
        "package": ("-m", "sedcrnn", "train"),
    }
    done = run("trainer=ddp_cpu", "trainer.max_epochs=1", program=programs[way])
    assert done.returncode == 0, done.stdout + done.stderr
    (trained,) = runs.glob("audio-*")
    assert [int(row["step"]) for row in rows(trained)] == [0]
    assert done.stdout.count("training in") == 1, "one process reports"
    assert_all_processes_took_part(trained, shared_store)


def test_devices_2_1_and_1_2_and_seeds_in_one_sweep_from_a_console_script(
    run: Sweep, runs: Path, shared_store: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    script = tmp_path / "sedcrnn"
    script.write_text("import sys\nfrom sedcrnn.__main__ import main\nsys.exit(main())\n")
    choices = ("seed=1,2", "trainer.devices=2,1", "logger=tensorboard")
    sweep = run(*choices, program=(str(script), "train", "--multirun"))
    assert sweep.returncode == 0, sweep.stdout + sweep.stderr
    for number, (seed, devices) in enumerate([(1, 2), (1, 1), (2, 2), (2, 1)]):
        folder = runs / "sweeps" / "audio" / str(number)
        result = json.loads((folder / "result.json").read_text())
        (trained,) = map(Path, result["runs"])
        record = json.loads((trained / "record.json").read_text())
        config = yaml.safe_load((trained / "config.yaml").read_text())
        assert (record["status"], record["seed"], config["trainer"]["devices"]) == ("finished", seed, devices)
        assert result["score"] == record["best"]["validation/macro_accuracy"]
        assert f"score {result['score']:.4f}; {trained}\n" in sweep.stdout
        # Eight clips in batches of four: two batches an epoch of one process, one of two processes.
        assert [int(row["step"]) for row in rows(trained)] == ([0, 1] if devices == 2 else [1, 3])
        assert (folder / "log.txt").read_text().count("training in") == 1, "one process reports"
        assert_all_processes_took_part(trained, shared_store)
        assert_one_process_wrote(trained)
    assert len(list(runs.glob("audio-*"))) == 4, "one run folder a job"


def assert_one_process_wrote(run: Path) -> None:
    """TensorBoard has one file of a run, with one value an epoch, and the validation fold that was shown in the end."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert len(list((run / "tensorboard").glob("events.*"))) == 1
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    values = [event.value for event in events.Scalars("validation/macro_accuracy")]
    assert values == pytest.approx([float(row["validation/macro_accuracy"]) for row in rows(run)])
    assert len(events.Images("validation/confusion")) == 1
    assert len(events.Tensors("validation/class_wise/text_summary")) == 1


def test_failed_jobs_do_not_stop_a_sweep_and_killed_ones_go_on_when_it_is_run_again(
    start: Callable[..., subprocess.Popen[str]], run: Sweep, runs: Path, shared_store: Path
) -> None:
    choices = ["trainer=ddp_cpu", "recipe.optimizer.lr=0.001,-1,0.002", "hydra.launcher.jobs=2"]
    choices += ["trainer.max_epochs=60", "recipe.early_stopping_patience=100"]
    first = start(*choices)
    kill_second_process_of("recipe.optimizer.lr=0.001", 0.001, runs, first)
    output, errors = first.communicate(timeout=1500)
    assert first.returncode == 1, output + errors
    assert "2 of 3 jobs failed" in errors
    assert "[0] recipe.optimizer.lr=0.001" in errors
    assert "[1] recipe.optimizer.lr=-1" in errors
    assert "[2]" not in errors
    logs = [runs / "sweeps" / "audio" / str(number) / "log.txt" for number in range(3)]
    assert all(str(log) in errors for log in logs[:2])
    assert "The config value recipe.optimizer.lr is -1" in logs[1].read_text()
    status = {run_of(runs, lr)[1] for lr in (0.001, 0.002)}
    assert status == {"running", "finished"}
    (finished, _), rows_before = run_of(runs, 0.002), rows(run_of(runs, 0.001)[0])
    before = (finished / BEST).stat().st_mtime_ns

    again = run(*choices)
    assert again.returncode == 1
    assert "1 of 3 jobs failed" in again.stderr
    assert "was finished before; score" in again.stdout
    assert "resuming in" in logs[0].read_text()
    assert "reusing" in logs[2].read_text()
    assert (finished / BEST).stat().st_mtime_ns == before
    resumed, status_now = run_of(runs, 0.001)
    assert status_now == "finished"
    assert len(rows(resumed)) == 60
    assert rows(resumed)[: len(rows_before) - 1] == rows_before[:-1]
    assert_all_processes_took_part(resumed, shared_store)


def run_of(runs: Path, lr: float) -> tuple[Path, str]:
    """Run folder and status of the run with a learning rate."""
    (folder,) = [
        config.parent
        for config in runs.glob("*/config.yaml")
        if yaml.safe_load(config.read_text())["recipe"]["optimizer"]["lr"] == lr
    ]
    return folder, json.loads((folder / "record.json").read_text())["status"]


def kill_second_process_of(job: str, lr: float, runs: Path, sweep: subprocess.Popen[str]) -> None:
    """Kill the process that Lightning started for a job, as soon as an epoch has been trained."""
    deadline = time.monotonic() + 600

    def waited() -> bool:
        assert time.monotonic() < deadline
        assert sweep.poll() is None, sweep.communicate()
        time.sleep(0.02)
        return True

    second: list[str] = []
    while not second and waited():
        listed = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
        marks = (str(runs), job, "train_ddp_process_1")
        second = [line.split()[0] for line in listed.splitlines() if all(mark in line for mark in marks)]
    while not any(
        f"lr: {lr}\n" in checkpoint.parents[1].joinpath("config.yaml").read_text()
        for checkpoint in runs.glob("*/checkpoints/last.ckpt")
    ):
        waited()
    os.kill(int(second[0]), signal.SIGKILL)


def test_another_launcher_is_refused_where_a_job_has_several_processes(run: Sweep, runs: Path) -> None:
    sweep = run("hydra/launcher=basic", "trainer.devices=1,2", "trainer.max_epochs=1")
    assert sweep.returncode == 1
    assert "A job of this sweep trains with 2 processes, and the launcher is" in sweep.stderr
    assert "Leave hydra/launcher out." in sweep.stderr
    assert "Traceback" not in sweep.stderr
    records = [json.loads(record.read_text()) for record in runs.glob("*/record.json")]
    assert [record["status"] for record in records] == ["finished"], "the job of one process, and no other"


def test_a_sweep_is_started_once_and_not_by_every_process(
    run: Sweep, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    sweep = run("seed=1,2")
    assert sweep.returncode == 1
    assert "This is process 1 of 2 that start the same jobs" in sweep.stderr
    assert not list(runs.glob("audio-*"))

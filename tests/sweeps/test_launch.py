"""Sweeps whose jobs train with two processes (gloo): every case that other launchers get wrong (docs/sweeps.md)."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.runs.checkpoints import BEST
from tests.training.test_loggers import history as wandb_history
from tests.training.test_loggers import items as wandb_items

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # each process of each job takes seconds to load torch

Sweep = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def arguments(small: list[str]) -> list[str]:
    return [*small, "experiment=audio", "model.network.filters=[4,4,4]", "trainer.max_epochs=2"]


@pytest.fixture
def start(arguments: list[str]) -> Callable[..., subprocess.Popen[str]]:
    """Overrides -> a running sweep of the small audio stage; `program` starts it otherwise."""

    def start(*overrides: str, program: tuple[str, ...] = ("-m", "sedcrnn.train", "-m")) -> subprocess.Popen[str]:
        command = [sys.executable, *program, *arguments, *overrides]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


@pytest.fixture
def run(start: Callable[..., subprocess.Popen[str]]) -> Sweep:
    def run(*overrides: str, **options: Any) -> subprocess.CompletedProcess[str]:
        process = start(*overrides, **options)
        output, errors = process.communicate(timeout=1500)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    return run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_all_processes_took_part(run: Path, store: Path) -> None:
    """The validation scores of the best epoch, reduced over the processes, are those of one process that evaluates
    the checkpoint; one that had trained alone would have seen only its share of the clips."""
    report = json.loads(evaluate(str(run), fold="validation", extraction_workers=0, store=str(store)).read_text())
    scores = report["heads"]["audio"]["window"]
    best = json.loads((run / "record.json").read_text())["best"]["epoch"]  # from 1; metrics.csv counts from 0
    epoch = rows(run)[int(best) - 1]
    for name in ("macro_accuracy", "macro_log_loss", "accuracy", "log_loss"):
        assert float(epoch[f"validation/{name}"]) == pytest.approx(scores[name], rel=1e-4), name


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


def test_an_optuna_search_over_jobs_of_two_processes(run: Sweep, runs: Path, shared_store: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="the extra `sweep`")
    search = run("trainer=ddp_cpu", "hydra/sweeper=optuna_tpe", "hydra.sweeper.n_trials=2")
    assert search.returncode == 0, search.stdout + search.stderr
    results = [json.loads((runs / "sweeps" / "audio" / str(n) / "result.json").read_text()) for n in range(2)]
    best = yaml.safe_load((runs / "sweeps" / "audio" / "optimization_results.yaml").read_text())
    assert best["best_value"] == max(result["score"] for result in results)
    rates = []
    for result in results:
        trained = Path(result["runs"][0])
        rates.append(yaml.safe_load((trained / "config.yaml").read_text())["recipe"]["optimizer"]["lr"])
        # Both processes had this rate: the logged one is of the first, the scores are of both.
        assert float(rows(trained)[0]["train/learning_rate"]) == pytest.approx(rates[-1])
        assert_all_processes_took_part(trained, shared_store)
    assert len(set(rates)) == 2
    assert all(1e-5 <= rate <= 1e-2 for rate in rates)
    assert best["best_params"]["recipe.optimizer.lr"] in [pytest.approx(rate) for rate in rates]


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
    assert "This is process 1 of 2 that start the same sweep" in sweep.stderr
    assert not list(runs.glob("audio-*"))


def test_an_optuna_search_that_was_killed_goes_on(start: Callable[..., subprocess.Popen[str]], runs: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="the extra `sweep`")
    import optuna

    def finished() -> list[Path]:
        return [each for each in runs.glob("*/record.json") if json.loads(each.read_text())["status"] == "finished"]

    options = ("hydra/sweeper=optuna_tpe", "hydra.sweeper.n_trials=3", "trainer.max_epochs=4")
    search = start(*options)
    while not (len(finished()) == 1 and len(list(runs.glob("*/checkpoints/last.ckpt"))) == 1):  # the second trains
        assert search.poll() is None, search.communicate()
        time.sleep(0.02)
    os.killpg(search.pid, signal.SIGKILL)
    search.wait()
    first, known = finished()[0].stat().st_mtime_ns, set(runs.glob("*/record.json"))
    output, errors = start(*options).communicate(timeout=1500)
    assert "1 of 3 trials of this search are done" in output, output + errors
    assert len(finished()) == 3
    assert known <= set(finished()), "the killed trial's run went on"
    assert min(record.stat().st_mtime_ns for record in finished()) == first, "the finished trial was not run again"
    [summary] = optuna.get_all_study_summaries(f"sqlite:///{runs}/sweeps/audio/studies.sqlite")
    study = optuna.load_study(summary.study_name, f"sqlite:///{runs}/sweeps/audio/studies.sqlite")
    states = [trial.state.name for trial in study.trials]
    assert sorted(states) == ["COMPLETE", "COMPLETE", "COMPLETE", "FAIL"]
    killed = study.trials[states.index("FAIL")]
    assert [trial.params for trial in study.trials].count(killed.params) == 2
    rates = {trial.params["recipe.optimizer.lr"] for trial in study.trials}
    trained = {
        yaml.safe_load((each.parent / "config.yaml").read_text())["recipe"]["optimizer"]["lr"] for each in finished()
    }
    assert sorted(rates) == pytest.approx(sorted(trained))
    assert len(rates) == 3
    output, errors = start(*options).communicate(timeout=1500)
    assert "3 of 3 trials of this search are done" in output, output + errors
    assert f"The best has {study.best_value:.4g}" in output


def test_the_wandb_runs_of_a_sweep_compare(run: Sweep, runs: Path) -> None:
    pytest.importorskip("wandb")
    sweep = run("logger=wandb", "seed=0,1,2,3", "recipe.mixup_alpha=0,0.4", "hydra.launcher.jobs=2", "trainer=cpu")
    assert sweep.returncode == 0, sweep.stdout + sweep.stderr
    folders = sorted(record.parent for record in runs.glob("*/record.json"))
    assert len(folders) == 8
    keys, begun, drawn, configs = [], [], [], []
    for folder in folders:
        merged, records = wandb_history(folder)
        keys.append({epoch: set(row) for epoch, row in merged.items()})
        begun.append(next(record.run for record in records if record.WhichOneof("record_type") == "run"))
        config = {key: one for key, one in wandb_items(begun[-1].config.update).items() if not key.startswith("_")}
        drawn.append((config.pop("seed"), config["recipe"].pop("mixup_alpha")))
        assert config["data"].pop("validation_seed") == drawn[-1][0]
        configs.append(config)
    assert all(one == keys[0] for one in keys)
    assert all(one == configs[0] for one in configs)
    assert {one.run_group for one in begun} == {"audio"}
    assert {one.display_name for one in begun} == {folder.name for folder in folders}
    assert sorted(drawn) == [(seed, alpha) for seed in range(4) for alpha in (0, 0.4)]


def test_what_the_agent_of_a_wandb_sweep_starts_is_its_run(arguments: list[str], runs: Path) -> None:
    pytest.importorskip("wandb")
    sweep = yaml.safe_load((ROOT / "conf" / "wandb_sweep.yaml").read_text())
    drawn = [f"{name}={one.get('values', [one.get('max')])[-1]}" for name, one in sweep["parameters"].items()]
    own = [
        *arguments,
        "model.network.filters=[8,8,8]",
        *drawn,
        "logger.wandb.offline=true",
    ]  # the agent's own needs a key
    words = {
        "${env}": ["env"],
        "${interpreter}": [sys.executable],
        "${program}": [sweep["program"]],
        "${args_no_hyphens}": own,
    }
    command = [part for word in sweep["command"] for part in words.get(word, [word])]
    environment = {**os.environ, "WANDB_RUN_ID": "fromagent", "WANDB_SWEEP_ID": "sweep1", "OMP_NUM_THREADS": "1"}
    command.remove("logger.wandb.offline=false")
    trial = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert trial.returncode == 0, trial.stdout + trial.stderr
    (record,) = runs.glob("*/record.json")
    merged, records = wandb_history(record.parent)
    (begun,) = (one.run for one in records if one.WhichOneof("record_type") == "run")
    assert (begun.run_id, begun.sweep_id) == ("fromagent", "sweep1")
    compared = [row[sweep["metric"]["name"]] for row in merged.values()]
    assert compared == [float(row["validation/macro_accuracy"]) for row in rows(record.parent)]

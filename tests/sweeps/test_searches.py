"""Optuna's searches: over jobs of two processes, and killed ones that go on (docs/sweeps.md)."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.sweeps.conftest import Sweep, assert_all_processes_took_part, rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # each process of each job takes seconds to load torch


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

"""Sweeps in W&B: the runs of a sweep of ours compare there, and so do those that its agent starts (docs/wandb.md)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.sweeps.conftest import ROOT, Sweep, rows
from tests.training.wandb_files import history, items

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # each process of each job takes seconds to load torch


def test_the_wandb_runs_of_a_sweep_compare(run: Sweep, runs: Path) -> None:
    pytest.importorskip("wandb")
    sweep = run("logger=wandb", "seed=0,1,2,3", "recipe.mixup_alpha=0,0.4", "hydra.launcher.jobs=2", "trainer=cpu")
    assert sweep.returncode == 0, sweep.stdout + sweep.stderr
    folders = sorted(record.parent for record in runs.glob("*/record.json"))
    assert len(folders) == 8
    keys, begun, drawn, configs = [], [], [], []
    for folder in folders:
        merged, records = history(folder)
        keys.append({epoch: set(row) for epoch, row in merged.items()})
        begun.append(next(record.run for record in records if record.WhichOneof("record_type") == "run"))
        config = {key: one for key, one in items(begun[-1].config.update).items() if not key.startswith("_")}
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
    merged, records = history(record.parent)
    (begun,) = (one.run for one in records if one.WhichOneof("record_type") == "run")
    assert (begun.run_id, begun.sweep_id) == ("fromagent", "sweep1")
    compared = [row[sweep["metric"]["name"]] for row in merged.values()]
    assert compared == [float(row["validation/macro_accuracy"]) for row in rows(record.parent)]

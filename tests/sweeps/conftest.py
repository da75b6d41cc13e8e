"""Sweeps of the small audio stage as processes of their own, and what their runs have written."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sedcrnn.evaluation.fold_scores import evaluate

ROOT = Path(__file__).parents[2]

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

"""A pipeline of one audio stage that is trained in seconds, in a folder of its own."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

STAGE = """# @package _global_
table: stages
stages:
  audio: ["model.network.filters=[4,4,8]", "trainer.max_epochs=2", "trainer.precision=32-true"]
"""

# Kills itself when it is about to give a file its name for the so-many-th time.
KILLED = """
import os, runpy, signal, sys
name, left = sys.argv.pop(1), int(sys.argv.pop(1))
def watch(event, arguments):
    global left
    if event == "os.rename" and str(arguments[1]).endswith(name):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
runpy.run_module("sedcrnn.pipeline", run_name="__main__", alter_sys=True)
"""


class Work:
    """A folder with runs and a store, and the pipeline that works there on the data that `words` name."""

    def __init__(self, place: Path, *words: str) -> None:
        self.place, self.runs, self.store, self.words = place, place / "runs", place / "store", words
        (place / "conf" / "stages").mkdir(parents=True)
        (place / "conf" / "stages" / "one.yaml").write_text(STAGE)

    def pipeline(
        self, *words: str, program: Sequence[str] = ("-m", "sedcrnn.pipeline")
    ) -> subprocess.CompletedProcess[str]:
        own = ["stages=one", *self.words, f"store={self.store}", f"runs={self.runs}", "trainer=cpu"]
        command = [sys.executable, *program, "--config-dir", str(self.place / "conf"), *words]
        command += [*own, "recipe.batch_size=4"]
        return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)

    def killed_pipeline(self, *words: str, before: str, number: int) -> subprocess.CompletedProcess[str]:
        """One that is killed before it gives a file this name, for that time."""
        return self.pipeline(*words, program=("-c", KILLED, before, str(number)))

    def pooled(self, seed: int) -> Path:
        """The one folder of pooled results of a seed."""
        (record,) = self.runs.glob(f"audio-s{seed}-*/folds.json")
        return record.parent

    def folds(self, seed: int) -> list[dict[str, Any]]:
        """What pooled results say of each fold."""
        found: list[dict[str, Any]] = json.loads((self.pooled(seed) / "folds.json").read_text())["folds"]
        return found

    def report(self, seed: int) -> dict[str, Any]:
        """The pooled scores."""
        found: dict[str, Any] = json.loads((self.pooled(seed) / "evaluation" / "test" / "metrics.json").read_text())
        return found

    def rows(self, seed: int) -> dict[str, list[dict[str, str]]]:
        """Of each fold's run, the rows of its predictions."""
        found = {}
        for fold in self.folds(seed):
            with (self.runs / fold["run"] / "evaluation" / "test" / "predictions.csv").open(newline="") as file:
                found[fold["run"]] = list(csv.DictReader(file))
        return found

"""A sweep that ends the jobs which lie below the median of its finished ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STAGE = """# @package _global_
table: stages
stages:
  audio: []
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", [["train", "experiment=audio"], ["pipeline", "stages=one"]])
def test_a_job_that_learns_nothing_is_ended_and_the_sweep_is_whole(
    small: list[str], tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "conf" / "stages").mkdir(parents=True)
    (tmp_path / "conf" / "stages" / "one.yaml").write_text(STAGE)
    name, *words = command
    words += [*small, "model.network.filters=[4,4,8]", "trainer.max_epochs=12", "recipe.mixup_alpha=0"]
    words += ["callbacks=end_hopeless", "callbacks.hopeless.startup_runs=1", "callbacks.hopeless.warmup_epochs=10"]
    given = ["-m", f"sedcrnn.{name}", "--config-dir", str(tmp_path / "conf"), "-m", "recipe.optimizer.lr=0.01,1e-9"]
    done = subprocess.run(
        [sys.executable, *given, *words], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "finished in" in done.stdout
    assert "ended as hopeless after" in done.stdout
    results = [json.loads(path.read_text()) for path in sorted((tmp_path / "runs" / "sweeps").glob("*/*/result.json"))]
    records = [json.loads((Path(one["runs"][0]) / "record.json").read_text()) for one in results]
    assert [(one["status"], one["epochs"]) for one in records] == [("finished", 12), ("hopeless", 10)]
    assert results[1]["score"] < results[0]["score"]

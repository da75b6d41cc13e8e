"""The benchmark of training on a CPU, for the stage that takes the least time."""

import re
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_stage_has_a_row_for_every_way_to_run_it_and_one_under_lightning() -> None:
    command = [sys.executable, "-m", "sedcrnn.benchmarks.training_benchmark", "visual, cached"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [line for line in done.stdout.splitlines() if line.startswith("visual, cached: ")]
    assert {"fp32", "fp32, weights channels_last", "with loader, under Lightning"} <= {
        re.split(r"  +", row.removeprefix("visual, cached: "))[0] for row in rows
    }
    for row in rows:
        assert float(re.findall(r"[\d.]+", row.split("  ", 1)[1])[1]) > 0

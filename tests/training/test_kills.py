"""A run that was killed at any instant, and resumed, leaves what an uninterrupted one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("instants", "epochs"), [(20, 3), pytest.param(200, 14, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_a_run_killed_at_any_instant_ends_as_an_uninterrupted_one(
    tau_root: Path, shared_store: Path, tmp_path: Path, instants: int, epochs: int
) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, str(HERE / "kills_program.py"), str(tau_root), str(shared_store), str(tmp_path)]
    done = subprocess.run([*command, str(instants), str(epochs)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == {}
    assert found["killed"] == instants

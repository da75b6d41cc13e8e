"""One seed gives one result, for every kind of stage: in another process, and after a SIGKILL in mid-epoch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sedcrnn.runs.checkpoints import load_checkpoint

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
STAGES = ("audio", "visual", "visual_finetune", "fusion", "fusion_finetune")


@pytest.fixture(scope="module")
def trained(
    tau_root: Path, shared_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, str]]:
    """Way of training -> folder of its runs, and what it printed."""
    results = {}
    for number, way in enumerate(("once", "again", "killed")):
        runs = tmp_path_factory.mktemp(way)
        command = [sys.executable, str(HERE / "stages_in_a_process.py"), str(tau_root), str(shared_store), str(runs)]
        # another order of sets and of unsorted keys in each
        environment = {**os.environ, "PYTHONHASHSEED": str(number + 1)}
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [*command, *([way] if way == "killed" else [])], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        results[way] = runs, done.stdout
    return results


def folder(runs: Path, stage: str) -> Path:
    (found,) = runs.glob(f"{stage}-s0-*")
    return found


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("way", ["again", "killed"])
def test_metrics_and_weights_are_those_of_the_first_training(
    trained: dict[str, tuple[Path, str]], stage: str, way: str
) -> None:
    first, other = (folder(trained[one][0], stage) for one in ("once", way))
    text = (first / "metrics.csv").read_text()
    assert len(text.splitlines()) == 4
    assert (other / "metrics.csv").read_text() == text
    assert load_checkpoint(str(other)).digest == load_checkpoint(str(first)).digest


def test_every_stage_was_killed_once_and_resumed(trained: dict[str, tuple[Path, str]]) -> None:
    assert trained["once"][1].splitlines()[-1] == "attempts 0"
    output = trained["killed"][1]
    assert output.splitlines()[-1] == "attempts -9 -9 -9 -9 -9 0"
    for stage in STAGES:
        assert output.count(f"{stage}: resuming in") == 1

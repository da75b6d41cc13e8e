"""The whole chain on the tiny synthetic set: from nothing on disk to the table."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sedcrnn.sweeps.processes import RESULT

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.timeout(1800), pytest.mark.slow]

# Small networks that learn sixty clips in seconds; otherwise the demo's own stages. Only fusion trains with bfloat16,
# as the demo does, since processors without it are slow.
STAGES = [
    'stages.demo_audio=["model.network.filters=[16,24,32]","trainer.max_epochs=16","trainer.precision=32-true"]',
    'stages.demo_paper_visual=["model.network.backbone=resnet10t","recipe.optimizer.lr=1e-3","trainer.max_epochs=8",'
    '"trainer.precision=32-true"]',
    'stages.demo_paper_fusion=["trainer.max_epochs=10"]',
]


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    place = tmp_path_factory.mktemp("pipeline")
    return [
        "stages=demo_paper",
        "data=synthetic_tiny",
        f"data.root={place / 'data'}",
        f"store={place / 'store'}",
        f"runs={place / 'runs'}",
        "recipe.batch_size=8",
        "trainer.enable_progress_bar=false",
        *STAGES,
    ]


def start(arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sedcrnn.pipeline", *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_folder(arguments: list[str], stage: str) -> Path:
    runs = Path(next(a for a in arguments if a.startswith("runs=")).removeprefix("runs="))
    (folder,) = runs.glob(f"demo_{'' if stage == 'audio' else 'paper_'}{stage}-s0-*")
    return folder


@pytest.fixture(scope="module")
def finished(arguments: list[str]) -> str:
    """What the pipeline prints: killed in the middle of its second stage, then started again."""
    killed = start(arguments)
    runs = Path(next(a for a in arguments if a.startswith("runs=")).removeprefix("runs="))
    deadline = time.monotonic() + 700
    while not list(runs.glob("demo_paper_visual-*/checkpoints/last.ckpt")):
        assert time.monotonic() < deadline, "the visual stage never wrote a checkpoint"
        assert killed.poll() is None, killed.communicate()[1]
        time.sleep(0.1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    again = start(arguments)
    output, errors = again.communicate(timeout=600)
    assert again.returncode == 0, errors
    return output


def test_a_killed_pipeline_goes_on_where_it_was(finished: str, arguments: list[str]) -> None:
    assert "demo_audio: nothing has changed since it was trained; reusing" in finished
    assert "demo_paper_visual: resuming in" in finished
    assert "demo_paper_fusion: training in" in finished
    for stage in ("audio", "visual", "fusion"):
        record = json.loads((run_folder(arguments, stage) / "record.json").read_text())
        assert record["status"] == "finished"
        assert record["selection"] == "location_disjoint"


def test_the_chain_beats_chance_clearly_and_prints_the_table(finished: str, arguments: list[str]) -> None:
    report = json.loads((run_folder(arguments, "fusion") / "evaluation" / "test" / "metrics.json").read_text())
    accuracy = {head: scores["window"]["macro_accuracy"] for head, scores in report["heads"].items()}
    assert accuracy["late"] > 0.3  # chance is 0.1
    assert max(accuracy["audio"], accuracy["visual"]) > 0.25
    assert report["heads"]["late"]["window"]["examples"] == 40
    for words in ("audio", "visual", "early fusion", "late fusion", "15,416,148", "other data"):
        assert words in finished
    for file in ("metrics.json", "predictions.csv", "best.ckpt"):
        assert str(run_folder(arguments, "fusion")) in finished
        assert file in finished


def test_run_again_it_reuses_everything_and_tells_a_sweep_the_score_of_the_named_stage(
    finished: str, arguments: list[str], tmp_path: Path
) -> None:
    result = tmp_path / "result.json"
    again = start([*arguments, "score=demo_audio"], **{RESULT: str(result)})
    output, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert output.count("reusing") == 3
    tables = (text.split("Evaluating")[1].split("How good it is")[0] for text in (output, finished))
    said, before = (re.sub(r"took \d+ s", "", text) for text in tables)
    assert said == before
    audio, fusion = run_folder(arguments, "audio"), run_folder(arguments, "fusion")
    assert "How good it is: the late head" in finished
    assert f"sedcrnn predict run={fusion} " in finished
    assert "How good it is: the audio head" in output
    assert f"sedcrnn predict run={audio} " in output
    best = json.loads((audio / "record.json").read_text())["best"]["validation/macro_accuracy"]
    reported = json.loads(result.read_text())
    assert (reported["runs"], reported["score"]) == ([str(audio)], best)

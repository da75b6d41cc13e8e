"""A network that was trained on the device answers elsewhere as there: on the CPU, and as an ONNX file."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import sedcrnn
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.inference.onnx_export import export
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.training.stage import train

pytestmark = pytest.mark.gpu

Stage = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def trained() -> dict[str, Path]:
    return {}


@pytest.fixture
def run(on_device: Stage, trained: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fusion stage, trained in bfloat16 with every part of it, whose answers are not all alike."""
    if not trained:
        overrides = ["trainer.precision=bf16-mixed", "recipe.optimizer.lr=1e-2", "trainer.max_epochs=3"]
        folder = train(on_device("fusion_finetune", *overrides, f"runs={tmp_path_factory.mktemp('trained')}"))
        assert folder is not None
        trained["fusion"] = folder
    return trained["fusion"]


def test_weights_come_to_the_cpu_without_the_device(run: Path) -> None:
    weights = load_checkpoint(str(run)).weights
    assert len(weights) > 50
    assert {values.device.type for values in weights.values()} == {"cpu"}
    assert {values.dtype for values in weights.values()} <= {torch.float32, torch.int64}


@pytest.mark.slow
def test_files_have_the_same_scenes_on_either_device_and_as_onnx(
    run: Path, device: torch.device, tau_root: Path, tmp_path: Path
) -> None:
    export(str(run), str(tmp_path / "exported.onnx"))
    elsewhere = shutil.copytree(run, tmp_path / "elsewhere")
    ways = {
        "device": sedcrnn.load(run, device=device.type),
        "cpu": sedcrnn.load(elsewhere, device="cpu"),
        "onnx": sedcrnn.load(tmp_path / "exported.onnx"),
    }
    differing = 0.0
    for video in sorted((tau_root / "video").glob("*.mp4"))[::5]:
        audio = tau_root / "audio" / f"{video.stem}.wav"
        found = {way: predictor.predict(video, audio=audio) for way, predictor in ways.items()}
        expected = found["cpu"].probabilities
        differing = max(differing, np.ptp(expected["late"], axis=0).max())
        for way in ("device", "onnx"):
            assert list(found[way].probabilities) == list(expected) == ["audio", "visual", "early", "late"]
            for head, values in expected.items():
                np.testing.assert_allclose(found[way].probabilities[head], values, rtol=0, atol=1e-4)
            assert found[way].top(1)[0][0] == found["cpu"].top(1)[0][0]
    assert differing > 1e-3


def test_a_fold_has_the_same_scores_on_either_device(
    run: Path, device: torch.device, stage: Stage, tmp_path: Path
) -> None:
    store = str(stage("fusion").store)
    copies = {name: shutil.copytree(run, tmp_path / name) for name in (device.type, "again")}
    tables = [
        evaluate(str(folder), store=store, extraction_workers=0, device="cpu" if name == "again" else name)
        for name, folder in copies.items()
    ]
    rows = [list(csv.DictReader(table.with_name("predictions.csv").open())) for table in tables]
    assert len(rows[0]) == len(rows[1]) == 4 * 2 * 4  # clips, seconds, heads
    for mine, other in zip(*rows, strict=True):
        assert {key: mine[key] for key in ("clip", "window", "label", "head")} == {
            key: other[key] for key in ("clip", "window", "label", "head")
        }
        for scene in ("bus", "park"):
            assert float(mine[scene]) == pytest.approx(float(other[scene]), abs=1e-4)

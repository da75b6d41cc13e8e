"""Scores of trained networks under worse conditions, against the network asked by hand."""

import json
from pathlib import Path

import pytest
import torch

from sedcrnn.augmentation.batch_augmentation import without
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import ConfigError
from sedcrnn.evaluation.conditions import CONDITIONS
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.evaluation.metrics import SceneScores
from sedcrnn.evaluation.robustness_scores import robustness
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.training.stage import make_datamodule

BOTH = ("macro_accuracy", "macro_log_loss")


def tried(run: Path, config: TrainConfig, fold: str = "test") -> Path:
    return robustness(str(run), fold, batch_size=3, extraction_workers=0, store=config.store)


def test_a_fusion_network_is_scored_under_every_condition(trained_fusion: tuple[Path, TrainConfig]) -> None:
    run, config = trained_fusion
    path = tried(run, config)
    report = json.loads(path.read_text())
    assert path == run / "evaluation" / "test" / "robustness.json"
    assert list(report["conditions"]) == list(CONDITIONS)
    metrics = json.loads(evaluate(str(run), store=config.store, extraction_workers=0).read_text())
    for head, scores in report["conditions"]["complete"].items():
        assert scores == pytest.approx({name: metrics["heads"][head]["window"][name] for name in BOTH}, abs=1e-5)
    # where a track is missing, the other's subnetwork answers for all heads
    for condition, head in (("audio missing", "visual"), ("video missing", "audio")):
        expected = report["conditions"]["complete"][head]
        assert all(scores == expected for scores in report["conditions"][condition].values())
    assert report["batch_invariance"]["largest_difference"] < 1e-5
    data = make_datamodule(config)
    data.prepare_data()
    data.setup()
    network = load_checkpoint(str(run)).build()
    (silent, complete) = (SceneScores(10), SceneScores(10))
    rises = []
    for loaded in data.test_dataloader():
        batch = data.on_after_batch_transfer(loaded, 0)
        heads = [network.heads_of(inputs)["late"].log_softmax(-1) for inputs in (without(batch, "spectrogram"), batch)]
        silent.update(heads[0].detach(), batch["scene"])
        complete.update(heads[1].detach(), batch["scene"])
        rises.append(heads[0].amax(-1) > heads[1].amax(-1))
    expected = {name: silent.compute()[name].item() for name in BOTH}
    assert report["conditions"]["silence"]["late"] == pytest.approx(expected, abs=1e-5)
    assert report["confidence_rises"]["silence"]["late"] == torch.cat(rises).double().mean().item()
    assert report["conditions"]["silence"]["late"] != report["conditions"]["complete"]["late"]


def test_it_is_done_once_for_the_same_weights_and_data(
    trained_fusion: tuple[Path, TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, config = trained_fusion
    path = tried(run, config)
    before = path.stat().st_mtime_ns
    monkeypatch.setattr("sedcrnn.evaluation.robustness_scores._encode", None)
    assert tried(run, config) == path
    assert path.stat().st_mtime_ns == before


def test_a_misspelt_fold_is_an_error(trained_fusion: tuple[Path, TrainConfig]) -> None:
    with pytest.raises(ConfigError, match=r"The fold is 'tset'.*train, validation, test.*nearest is 'test'"):
        tried(*trained_fusion, fold="tset")


@pytest.mark.parametrize(
    ("kind", "conditions"),
    [
        ("audio", [c for c, (_, video) in CONDITIONS.items() if video == "as it is" and "missing" not in c]),
        ("visual", [c for c, (audio, _) in CONDITIONS.items() if audio == "as it is" and "missing" not in c]),
    ],
)
def test_a_single_network_is_scored_where_its_input_changes(
    fusion_parts: dict[str, Path], trained_fusion: tuple[Path, TrainConfig], kind: str, conditions: list[str]
) -> None:
    report = json.loads(tried(fusion_parts[kind], trained_fusion[1]).read_text())
    assert list(report["conditions"]) == conditions
    assert len(conditions) >= 4
    assert all(list(heads) == [kind] for heads in report["conditions"].values())

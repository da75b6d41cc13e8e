"""Scores of trained networks under worse conditions, against the network asked by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sedcrnn.augmentation.modality_dropout import without
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import ConfigError
from sedcrnn.evaluation.conditions import CONDITIONS
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.evaluation.metrics import SceneScores
from sedcrnn.evaluation.robustness_scores import robustness
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.training.stage import make_datamodule, train

Stage = Callable[..., TrainConfig]
BOTH = ("macro_accuracy", "macro_log_loss")


def tried(run: Path, config: TrainConfig, fold: str = "test") -> Path:
    return robustness(str(run), fold, batch_size=3, workers=0, store=config.store)


@pytest.fixture
def fusion(stage: Stage) -> tuple[Path, TrainConfig]:
    parts = [f"init_from.{kind}={train(stage(kind))}" for kind in ("audio", "visual")]
    config = stage("fusion", *parts)
    return train(config), config


def test_a_fusion_network_is_scored_under_every_condition(fusion: tuple[Path, TrainConfig]) -> None:
    run, config = fusion
    path = tried(run, config)
    told = json.loads(path.read_text())
    assert path == run / "evaluation" / "test" / "robustness.json"
    assert list(told["conditions"]) == list(CONDITIONS)
    metrics = json.loads(evaluate(str(run), store=config.store, workers=0).read_text())
    for head, scores in told["conditions"]["complete"].items():
        assert scores == pytest.approx({name: metrics["heads"][head]["window"][name] for name in BOTH}, abs=1e-5)
    # where a track is missing, the other's subnetwork answers for all heads
    for condition, head in (("sound missing", "visual"), ("picture missing", "audio")):
        expected = told["conditions"]["complete"][head]
        assert all(scores == expected for scores in told["conditions"][condition].values())
    assert told["batch_invariance"]["largest_difference"] < 1e-5
    data = make_datamodule(config)
    data.prepare_data()
    network = load_checkpoint(str(run)).build()
    (silent, complete) = (SceneScores(10), SceneScores(10))
    rises = []
    for batch in data.test_dataloader():
        heads = [network.heads_of(inputs)["late"].log_softmax(-1) for inputs in (without(batch, "spectrogram"), batch)]
        silent.update(heads[0].detach(), batch["scene"])
        complete.update(heads[1].detach(), batch["scene"])
        rises.append(heads[0].amax(-1) > heads[1].amax(-1))
    expected = {name: silent.compute()[name].item() for name in BOTH}
    assert told["conditions"]["silence"]["late"] == pytest.approx(expected, abs=1e-5)
    assert told["confidence_rises"]["silence"]["late"] == torch.cat(rises).double().mean().item()
    assert told["conditions"]["silence"]["late"] != told["conditions"]["complete"]["late"]


def test_it_is_done_once_for_the_same_weights_and_data(
    fusion: tuple[Path, TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, config = fusion
    path = tried(run, config)
    before = path.stat().st_mtime_ns
    monkeypatch.setattr("sedcrnn.robustness._encode", None)
    assert tried(run, config) == path
    assert path.stat().st_mtime_ns == before


def test_a_misspelt_fold_is_an_error(fusion: tuple[Path, TrainConfig]) -> None:
    with pytest.raises(ConfigError, match=r"fold is 'tset'.*train, validation, test"):
        tried(*fusion, fold="tset")


@pytest.mark.parametrize(
    ("kind", "conditions"),
    [
        ("audio", [c for c, (_, picture) in CONDITIONS.items() if picture == "as it is" and "missing" not in c]),
        ("visual", [c for c, (sound, _) in CONDITIONS.items() if sound == "as it is" and "missing" not in c]),
    ],
)
def test_a_single_network_is_scored_where_its_input_changes(stage: Stage, kind: str, conditions: list[str]) -> None:
    config = stage(kind, "trainer.max_epochs=1")
    told = json.loads(tried(train(config), config).read_text())
    assert list(told["conditions"]) == conditions
    assert len(conditions) >= 4
    assert all(list(heads) == [kind] for heads in told["conditions"].values())

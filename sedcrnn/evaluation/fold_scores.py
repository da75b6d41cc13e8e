"""Evaluate a trained network, rebuilt from its checkpoint alone: predictions.csv and metrics.json.

python -m sedcrnn.evaluate run=<run folder or checkpoint>
"""

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.datamodule import SceneDataModule
from sedcrnn.datasets.folds import Folds
from sedcrnn.errors import CheckpointError, ConfigError
from sedcrnn.evaluation.cost import describe_cost, measure_latency
from sedcrnn.evaluation.intervals import describe_intervals
from sedcrnn.evaluation.metrics import score
from sedcrnn.evaluation.predictions import AGGREGATOR, Predictions, predict, write_predictions
from sedcrnn.features.store import FeatureStore
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.execution import choose_device
from sedcrnn.networks.profile import count_parameters
from sedcrnn.runs.checkpoints import Checkpoint, load_checkpoint
from sedcrnn.runs.files import write_json
from sedcrnn.training.frozen_cache import FrozenEncoder

EVALUATION = "evaluation"  # within a run folder
METRICS, PREDICTIONS, LATENCY = "metrics.json", "predictions.csv", "latency.json"
ROBUSTNESS = "robustness.json"  # written by sedcrnn.robustness

# Raised whenever metrics.json says more or something else, so that one of an older form is made again.
FORM = 3


def evaluate(
    run: str,
    fold: str = "test",
    root: str | None = None,
    batch_size: int = 32,
    workers: int = 2,
    store: str = "data/store",
    device: str = "cpu",
) -> Path:
    """Predict and score a fold, unless the same weights have been scored on the same data before.

    Args:
        run: run folder or checkpoint file.
        fold: `train`, `validation` or `test`.
        root: where the data set lies now; None: where it lay in training.
        batch_size: windows at a time; the result does not depend on it.
        workers: processes that make missing features.
        store: where features are kept.
        device: torch device.

    Returns:
        metrics.json, with predictions.csv beside it, and latency.json beside the fold's folder.
    """
    device = choose_device(device)
    checkpoint, datamodule = open_fold(run, fold, root, batch_size, workers, store)
    folder = evaluation_folder(checkpoint, fold)
    asked = {"checkpoint": checkpoint.digest, "data": datamodule.identity, "fold": fold, "form": FORM}
    if (folder / METRICS).is_file() and json.loads((folder / METRICS).read_text())["of"] == asked:
        return folder / METRICS
    network = checkpoint.build()
    if checkpoint.recipe["cache_frozen"]:
        datamodule.encoder = FrozenEncoder(
            network, checkpoint.network, datamodule.features, device=torch.device(device)
        )
    clips = datamodule.dataset(fold).clips
    predictions = predict(network, datamodule.evaluation_loader(fold), device)
    write_predictions(folder / PREDICTIONS, predictions, clips, checkpoint.scenes)
    window = datamodule.example(fold)
    # Beside the folds, and not in metrics.json, which is the same wherever it is made.
    write_json(folder.parent / LATENCY, measure_latency(network, window, device))
    report = {
        "of": asked,
        "stage": checkpoint.stage,
        "selection": checkpoint.data["selection"],
        "clips": len(clips),
        "skipped_clips": [clip.clip for clip in datamodule.skipped],
        "cost": describe_cost(network, window, checkpoint.recipe["frozen"]),
        "heads": _score(network, predictions, checkpoint.scenes, clips),
    }
    write_json(folder / METRICS, report)
    return folder / METRICS


def open_fold(
    run: str, fold: str, root: str | None, batch_size: int, workers: int, store: str
) -> tuple[Checkpoint, SceneDataModule]:
    """A trained network, and the data that it is to be scored on; parameters as those of `evaluate`.

    Raises:
        ConfigError: an option that does not exist or fit.
        CheckpointError: a run that is missing, of other scenes, or has learnt from the fold's locations.
        DataError: data that cannot be used as they are.
    """
    names = [field.name for field in fields(Folds)]
    if fold not in names:
        raise ConfigError(f"fold is '{fold}'", f"It may be {', '.join(names)}", "Correct the name")
    checkpoint = load_checkpoint(run)
    datamodule = _data_of(checkpoint, root, batch_size, workers, store)
    if datamodule.manifest.scenes != checkpoint.scenes:
        raise CheckpointError(
            f"{checkpoint.path} was trained for the scenes {', '.join(checkpoint.scenes)}",
            f"The data set has {', '.join(datamodule.manifest.scenes)}",
            "Evaluate on the data set that it was trained on",
        )
    if fold != "train":
        checkpoint.check_unseen(getattr(datamodule.folds, fold), f"make the {fold} fold")
    return checkpoint, datamodule


def _data_of(checkpoint: Checkpoint, root: str | None, batch_size: int, workers: int, store: str) -> SceneDataModule:
    """The data that a checkpoint was trained on, with the same folds."""
    data = replace(checkpoint.data_config(), extraction_workers=workers)
    if root is not None:
        data.source = {**data.source, "root": root}
    features = {name: build(node, "feature", trusted=False) for name, node in checkpoint.features.items()}
    datamodule = SceneDataModule(data, features, FeatureStore(Path(store)), batch_size, checkpoint.seed)
    datamodule.prepare_data()
    return datamodule


def evaluation_folder(checkpoint: Checkpoint, fold: str) -> Path:
    """Where a fold's results lie: inside the run folder; beside the file for a checkpoint that lies elsewhere."""
    parent = checkpoint.path.parent
    run = parent.parent if (parent.parent / "record.json").is_file() else parent / checkpoint.path.stem
    return run / EVALUATION / fold


def _score(
    network: SceneNetwork, predictions: Predictions, scenes: tuple[str, ...], clips: Sequence[Clip]
) -> dict[str, Any]:
    """Every head's scores per 1-s window and per clip, with their intervals."""
    levels = {"window": predictions, "clip": predictions.per_clip()}
    scored: dict[str, Any] = {}
    for head in network.head_names:
        scored[head] = {"parameters": count_parameters(*network.parts_of(head)).keras}
        for level, examples in levels.items():
            report = score(examples.log_probabilities[head], examples.scene).report(scenes)
            locations = [clips[clip].location for clip in examples.clip.tolist()]
            intervals = describe_intervals(report, examples.log_probabilities[head], examples.scene, locations)
            scored[head][level] = {**report, "intervals": intervals}
        scored[head]["clip"]["aggregator"] = AGGREGATOR
    return scored

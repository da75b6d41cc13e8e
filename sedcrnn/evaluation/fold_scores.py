"""Evaluate a trained network, rebuilt from its checkpoint alone: predictions.csv and metrics.json."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sedcrnn.config.targets import build, resolve
from sedcrnn.datasets.clips import DataSource
from sedcrnn.datasets.scene_data import SceneData
from sedcrnn.errors import CheckpointError, check_choice
from sedcrnn.evaluation.cost import describe_cost, measure_latency
from sedcrnn.evaluation.intervals import describe_intervals
from sedcrnn.evaluation.predictions import AGGREGATOR, Predictions, predict, write_predictions
from sedcrnn.evaluation.result_names import EVALUATION, LATENCY, METRICS, PREDICTIONS, SCHEMA_VERSION, is_whole
from sedcrnn.evaluation.scores import score
from sedcrnn.evaluation.thresholds import halves
from sedcrnn.features.store import FeatureStore
from sedcrnn.networks.execution import choose_device
from sedcrnn.networks.profile import count_parameters
from sedcrnn.runs.checkpoints import Checkpoint, load_checkpoint
from sedcrnn.runs.files import write_json
from sedcrnn.runs.outputs import check_place
from sedcrnn.runs.records import RECORD, read_json
from sedcrnn.training.frozen_cache import FrozenEncoder

FOLDS = ("train", "validation", "test")


def evaluate(
    run: str,
    fold: str = "test",
    root: str | None = None,
    batch_size: int = 32,
    extraction_workers: int = 2,
    store: str = "data/store",
    device: str = "cpu",
) -> Path:
    """Predict and score a fold, unless the same weights have been scored on the same data before; arguments are those
    of `sedcrnn evaluate`.

    Returns:
        metrics.json, with predictions.csv beside it, and latency.json beside the fold's folder.
    """
    device = choose_device(device)
    checkpoint, data, folder, of = open_fold(run, fold, root, batch_size, extraction_workers, store)
    of["schema_version"] = SCHEMA_VERSION
    if is_done(folder / METRICS, of) and is_whole(read_json(folder / METRICS) or {}):
        return folder / METRICS
    network = checkpoint.build()
    if checkpoint.recipe["cache_frozen"]:
        encoder = FrozenEncoder(network, checkpoint.network, data.features, torch.device(device), data.incomplete)
        data = data.encoded_by(encoder)
    clips = data.dataset(fold).clips
    predictions = predict(network, data.evaluation_loader(fold), device)
    write_predictions(folder / PREDICTIONS, predictions, clips, checkpoint.scenes)
    window = data.example(fold)
    write_json(folder.parent / LATENCY, measure_latency(network, window, device))
    parameters = {head: count_parameters(*network.parts_of(head)).keras for head in network.head_names}
    report = {
        "of": of,
        "calibrated": False,
        "stage": checkpoint.kind,
        "networks": name_networks(checkpoint.network, checkpoint.kind),
        "selection": checkpoint.data["selection"],
        "clips": len(clips),
        "skipped_clips": [clip.clip for clip in data.skipped],
        "cost": describe_cost(network, window, checkpoint.recipe["frozen"]),
        "heads": score_heads(
            parameters, predictions, checkpoint.scenes, [clip.location for clip in clips], checkpoint.thresholds
        ),
    }
    write_json(folder / METRICS, report)
    return folder / METRICS


def name_networks(node: Mapping[str, Any], kind: str) -> dict[str, str]:
    """What a network, given with its config and its kind, and those inside it are: kind -> their backbone, or class."""
    named = {kind: str(node.get("backbone") or str(node["_target_"]).rpartition(".")[2])}
    for part, own in node.items():
        if isinstance(own, Mapping) and part in ("audio", "visual"):
            named |= name_networks(own, part)
    return named


def open_fold(
    run: str, fold: str, root: str | None, batch_size: int, extraction_workers: int, store: str
) -> tuple[Checkpoint, SceneData, Path, dict[str, Any]]:
    """A trained network, its data with the folds of its training, the folder of the results, and what they are of;
    arguments and errors are those of `evaluate`.
    """
    check_choice("fold", fold, FOLDS)
    checkpoint = load_checkpoint(run)
    checkpoint.check()
    # How many processes work here, and where anything is written, is not for a file to say.
    config = replace(checkpoint.data_config(), extraction_workers=extraction_workers, num_workers="auto")
    if "workers" in config.source:
        config.source = {**config.source, "workers": extraction_workers}
    if root is not None:
        config.source = {**config.source, "root": root}
    features = {name: build(node, "feature", trusted=False) for name, node in checkpoint.features.items()}
    data = SceneData(config, features, FeatureStore(Path(store)), batch_size, checkpoint.seed)
    source = resolve(str(config.source["_target_"]), "data_source", trusted=False)
    lies_in = Path(config.source.get("root", "."))
    if source.prepare is not DataSource.prepare and root is None and not lies_in.exists():
        raise CheckpointError(
            f"The folder of the data set, {lies_in}, is missing",
            "The set can be generated again, which takes time and disk space, but not where a checkpoint says",
            "Give data.root=<folder>: where it lies, or where it is to be generated",
        )
    # Inside the run folder; beside the file for a checkpoint that lies elsewhere.
    parent = checkpoint.path.parent
    results = parent.parent if (parent.parent / RECORD).is_file() else parent / checkpoint.path.stem
    folder = results / EVALUATION / fold
    if not (folder / METRICS).is_file():  # of a run that may only be read, what is there is used
        check_place("evaluation", folder, is_folder=True, remedy="Copy the run to where it may be written")
    data.prepare_data()
    data.setup()
    if data.manifest.scenes != checkpoint.scenes:
        raise CheckpointError(
            f"{checkpoint.path} was trained for the scenes {', '.join(checkpoint.scenes)}",
            f"The data set has {', '.join(data.manifest.scenes)}",
            "Evaluate on the data set that it was trained on",
        )
    if fold != "train":
        checkpoint.check_unseen(getattr(data.folds, fold), f"make the {fold} fold")
    of = {"checkpoint": checkpoint.digest, "data": data.identity, "fold": fold}
    return checkpoint, data, folder, of


def is_done(path: Path, of: dict[str, Any]) -> bool:
    """Whether a file of results is there, and of the same weights, data and version."""
    return (read_json(path) or {}).get("of") == of


def score_heads(
    parameters: Mapping[str, int],
    predictions: Predictions,
    scenes: tuple[str, ...],
    location_of: Sequence[str],
    thresholds: Mapping[str, Any],
) -> dict[str, Any]:
    """Every head's scores per 1-s window and per clip, with their intervals, and its number of parameters. Locations
    are those of the clips; thresholds those of heads in multi-label data, by scene, or by clip and scene."""
    levels = {"window": predictions, "clip": predictions.per_clip()}
    scored: dict[str, Any] = {}
    for head, number in parameters.items():
        scored[head] = {"parameters": number}
        own = None
        if predictions.multi_label:
            own = torch.as_tensor(thresholds.get(head, halves(scenes)), dtype=torch.float64)
            if own.ndim == 1:  # those of several folds stand beside each of them
                scored[head]["thresholds"] = own.tolist()
        for level, examples in levels.items():
            bounds = own[examples.clip] if own is not None and own.ndim == 2 else own
            report = score(examples.log_probabilities[head], examples.scene, bounds).report(scenes)
            locations = [location_of[clip] for clip in examples.clip.tolist()]
            intervals = describe_intervals(report, examples.log_probabilities[head], examples.scene, locations)
            scored[head][level] = {**report, "intervals": intervals}
        scored[head]["clip"]["aggregator"] = AGGREGATOR
    return scored

"""How a stage starts from earlier ones: their networks' configs complete its own, their weights go into it.

A network named in `start_from` is the stage's own network (fine-tuning) or a part of it (fusion). The checkpoint
says how it is built; where the stage's config says so too, both must agree.
"""

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hydra.utils import get_object

from sedcrnn.checkpoints import Checkpoint, load_checkpoint, network_kind
from sedcrnn.config import TrainConfig
from sedcrnn.errors import CheckpointError, ConfigError
from sedcrnn.folds import Folds
from sedcrnn.networks import SceneNetwork

PARTS = ("audio", "visual")  # of a fusion network
PREVIOUS = "previous"  # in a pipeline, the latest earlier stage that trained such a network
Starts = dict[str, Checkpoint]


def load_starts(config: TrainConfig) -> Starts:
    """The checkpoints that `start_from` names, each checked to be of its stage.

    Raises:
        ConfigError: a start that the stage's network has no place for.
        CheckpointError: a run that is missing or holds another kind of network.
    """
    named = {kind: run for kind, run in asdict(config.start_from).items() if run is not None}
    stage = network_kind(config.model["network"])
    places = {stage, *(part for part in PARTS if part in config.model["network"])}
    for kind in named:
        if kind not in places:
            raise ConfigError(
                f"start_from.{kind} is given to a stage that trains a network of the kind '{stage}'",
                f"It may start from: {', '.join(sorted(places))}",
                f"Leave start_from.{kind}=null",
            )
        if named[kind] == PREVIOUS:
            raise ConfigError(
                f"start_from.{kind} is '{PREVIOUS}', which only a pipeline can tell",
                f"A stage trained alone starts from a run folder or a checkpoint of a {kind} network",
                f"Give start_from.{kind}=<run folder>, or run sedcrnn.pipeline",
            )
    return {kind: load_checkpoint(run, stage=kind) for kind, run in named.items()}


def check_starts(config: TrainConfig, starts: Starts, scenes: tuple[str, ...], folds: Folds) -> None:
    """Refuse a start that was trained for other scenes, on other features, or with another validation draw: it would
    have been trained on clips that are to select this stage's checkpoint. So would one from before the data set grew.

    Raises:
        CheckpointError: naming both values.
    """
    for kind, start in starts.items():
        if start.scenes != scenes:
            raise CheckpointError(
                f"{start.path} was trained for the scenes {', '.join(start.scenes)}",
                f"The data set has {', '.join(scenes)}",
                f"Name a run on this data set in start_from.{kind}",
            )
        for name in ("selection", "validation_share", "validation_seed"):
            _check_agreement(f"data.{name}", getattr(config.data, name), start.data[name], start)
        start.check_unseen(folds.validation, "select this stage's checkpoint")
        start.check_unseen(folds.test, "test this stage")
        features = asdict(config.features)
        for name, node in start.features.items():
            _check_agreement(f"features.{name}", features[name], node, start)


def complete_network(node: Mapping[str, Any], starts: Starts, dimensions: Mapping[str, int]) -> dict[str, Any]:
    """The config from which the stage's network can be built: with parts from checkpoints, and what the data decide
    (`scenes`, and the spectrogram's `channels`) filled in.

    Raises:
        ConfigError: a part that neither the config nor a checkpoint describes.
        CheckpointError: a part that both describe, differently.
    """
    kind = network_kind(node)
    if kind in starts:
        _check_agreement("model.network", node, starts[kind].network, starts[kind])
        return starts[kind].network
    complete = dict(node)
    for part in PARTS:
        if part not in node:
            continue
        if part not in starts and node[part] is None:
            raise ConfigError(
                f"Neither start_from.{part} nor model.network.{part} is given",
                f"A fusion network needs a trained {part} network to start from, or the config of a new one",
                f"Give start_from.{part}=<run folder>",
            )
        if part in starts:
            _check_agreement(f"model.network.{part}", node[part], starts[part].network, starts[part])
        complete[part] = starts[part].network if part in starts else complete_network(node[part], {}, dimensions)
    parameters = inspect.signature(get_object(node["_target_"])).parameters
    return complete | {name: size for name, size in dimensions.items() if name in parameters}


def load_weights(network: SceneNetwork, starts: Starts) -> None:
    """Copy the checkpoints' weights into the network or its parts."""
    for kind, start in starts.items():
        target = getattr(network, kind) if kind in PARTS and hasattr(network, kind) else network
        target.load_state_dict(start.weights)


def _check_agreement(path: str, stated: Any, recorded: Any, start: Checkpoint) -> None:
    """Every value that a config states must be the one in the checkpoint; null states nothing."""
    if isinstance(stated, Mapping) and isinstance(recorded, Mapping):
        for key, value in stated.items():
            _check_agreement(f"{path}.{key}", value, recorded.get(key), start)
    elif stated is not None and stated != recorded:
        raise CheckpointError(
            f"{path} is {stated}, but {start.path} was trained with {recorded}",
            "A stage and the networks that it starts from share these values",
            "Give the same value to all stages, or name another run to start from",
        )

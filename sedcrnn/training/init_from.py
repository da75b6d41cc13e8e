"""How a stage starts from earlier ones: their networks' configs complete its own, their weights go into it.

A network named in `init_from` is the stage's own network (fine-tuning) or a part of it (fusion). The checkpoint
says how it is built; where the stage's config says so too, both must agree. New encoders start from published weights
(`init_from.encoder`).
"""

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.config.targets import build, resolve
from sedcrnn.datasets.clips import Manifest
from sedcrnn.datasets.folds import Folds
from sedcrnn.errors import CheckpointError, ConfigError, WeightsError
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.backbones import find_normalisation
from sedcrnn.networks.freezing import lies_in
from sedcrnn.networks.profile import empty_inputs, layer_table
from sedcrnn.pretrained.encoder_weights import EncoderWeights, load_encoder_weights
from sedcrnn.pretrained.finding import find_published
from sedcrnn.runs.checkpoints import Checkpoint, load_checkpoint

PARTS = ("audio", "visual")  # of a fusion network
PUBLISHED, RANDOM = "published", "random"  # weights of new encoders, beside files
PREVIOUS = "previous"  # in a pipeline, the latest earlier stage that trained such a network
Starts = dict[str, Checkpoint]


def network_class(node: Mapping[str, Any]) -> type[SceneNetwork]:
    """The class that the config of a network names."""
    found: type[SceneNetwork] = resolve(node["_target_"], "network")
    return found


def load_initial(config: TrainConfig) -> Starts:
    """The checkpoints that `init_from` names, each checked to be of its kind, and to name trusted classes alone."""
    own = network_class(config.model["network"]).kind
    kinds = {own, *(part for part in PARTS if part in config.model["network"])}
    starts = {}
    for kind, run in asdict(config.init_from).items():
        if run is None or kind == "encoder":
            continue
        if kind not in kinds:
            raise ConfigError(
                f"init_from.{kind} is given to a stage that trains a network of the kind '{own}'",
                f"It may start from: {', '.join(sorted(kinds))}",
                f"Leave init_from.{kind}=null",
            )
        if run == PREVIOUS:
            raise ConfigError(
                f"init_from.{kind} is '{PREVIOUS}', which only a pipeline can tell",
                f"A stage trained alone starts from a run or a checkpoint of a {kind} network",
                f"Give init_from.{kind}=<run> (a folder, or a name: init_from.{kind}={kind}), or run sedcrnn pipeline",
            )
        starts[kind] = load_checkpoint(run, kind, config.runs)
        starts[kind].check()
    return starts


def load_encoders(config: TrainConfig) -> dict[str, EncoderWeights]:
    """Path of each new encoder in the stage's network that starts from published weights -> these, checked to fit.

    `init_from.encoder=published` gives all new encoders those that their backbones' names mean, and a file those whose
    backbone it holds.
    """
    given, nodes = config.init_from.encoder, _new_encoders(config)
    if given is not None and not nodes:
        raise ConfigError(
            f"init_from.encoder is {given}, but the stage '{config.name}' has no new encoder",
            "Weights are for networks with a backbone that do not start from another run",
            "Leave init_from.encoder=null here; in a pipeline give it to its stage: "
            "'stages.visual=[\"init_from.encoder=<file>\"]'",
        )
    found: dict[str, EncoderWeights] = {}
    if given == PUBLISHED:
        found = {path: find_published(node["backbone"]) for path, node in nodes.items()}
    elif given is not None and given != RANDOM:
        weights = load_encoder_weights(Path(given))
        found = {path: weights for path, node in nodes.items() if weights.are_of(node["backbone"])}
        if not found:
            listed = ", ".join(f"{_key(path)}.backbone is '{node['backbone']}'" for path, node in nodes.items())
            raise WeightsError(
                f"{given} holds weights of '{weights.backbone}' (trained on: {weights.trained_on}), and {listed}",
                "Both are the same network, and a tag names the same weights",
                f"Set {weights.settings}, or name another file",
            )
    for path, weights in found.items():
        _check_frames(weights, nodes[path], _key(path))
    for path in nodes.keys() - found.keys():
        frozen = [part for part in config.recipe.frozen if lies_in(part, path) or lies_in(path, part)]
        if frozen and given != RANDOM:
            raise ConfigError(
                f"recipe.frozen={frozen} keeps the encoder '{path}' as it is, and its weights are random",
                "A frozen encoder has weights that were trained: init_from.encoder=published, or a file of them; see "
                "`sedcrnn weights list`",
                "Set one of the two, train the encoder too (recipe.frozen=[]), or say init_from.encoder=random",
            )
    return found


def _new_encoders(config: TrainConfig) -> dict[str, Mapping[str, Any]]:
    """Path in the stage's network -> config of the network around it, of each encoder that starts from no run."""
    node, runs = config.model["network"], asdict(config.init_from)
    if runs.get(network_class(node).kind) is not None:
        return {}
    parts = {f"{part}.": node[part] for part in PARTS if node.get(part) is not None and runs[part] is None}
    return {
        f"{prefix}encoder": network
        for prefix, network in ({"": node} | parts).items()
        if "backbone" in network and "encoder" in network_class(network).encoding_parts
    }


def _key(path: str) -> str:
    """Config key of the network that an encoder belongs to."""
    return ".".join(["model.network", *path.split(".")[:-1]])


def _check_frames(weights: EncoderWeights, node: Mapping[str, Any], key: str) -> None:
    """Refuse weights that were trained on frames that were normalised otherwise than the network does it."""
    normalisation = node.get("normalisation", "raw")  # spectrograms have none
    if normalisation != "raw" and find_normalisation(normalisation, node["backbone"]) != weights.frames:
        raise WeightsError(
            f"The weights of {weights.source} were trained on frames with the normalisation '{weights.normalisation}', "
            f"and {key}.normalisation is '{normalisation}'",
            "Channel order, mean and scale are those of the training; raw, as in the authors' notebooks, is allowed",
            f"Set {weights.settings}",
        )


def check_initial(config: TrainConfig, starts: Starts, manifest: Manifest, folds: Folds) -> None:
    """Refuse a start that was trained for other scenes, on other features, or on clips that are to select this stage's
    checkpoint or test it: with another validation draw, or before the data set grew."""
    for kind, start in starts.items():
        if (start.scenes, start.multi_label) != (manifest.scenes, manifest.multi_label):
            own, other = (
                f"{', '.join(of.scenes)}{', any number to a clip' if of.multi_label else ''}"
                for of in (start, manifest)
            )
            raise CheckpointError(
                f"{start.path} was trained for the scenes {own}",
                f"The data set has {other}",
                f"Name a run on this data set in init_from.{kind}",
            )
        for name in ("selection", "validation_fraction", "validation_seed"):
            _check_agreement(f"data.{name}", getattr(config.data, name), start.data[name], start)
        start.check_unseen(folds.validation, "select this stage's checkpoint")
        start.check_unseen(folds.test, "test this stage")
        features = asdict(config.features)
        for name, node in start.features.items():
            stated = {
                key: value for key, value in (features[name] or {}).items() if key not in ("storage", "jpeg_quality")
            }
            _check_agreement(f"features.{name}", stated, node, start)


def complete_network(node: Mapping[str, Any], starts: Starts, dimensions: Mapping[str, int]) -> dict[str, Any]:
    """The config from which the stage's network can be built: with parts from checkpoints, and what the data decide
    (`scenes`, `multi_label`, the spectrogram's `channels`, the frames' `height` and `width`) filled in."""
    found = network_class(node)
    if found.kind in starts:
        _check_agreement("model.network", node, starts[found.kind].network, starts[found.kind])
        return starts[found.kind].network
    complete = dict(node)
    for part in PARTS:
        if part not in node:
            continue
        if part in starts:
            _check_agreement(f"model.network.{part}", node[part], starts[part].network, starts[part])
            complete[part] = starts[part].network
        elif node[part] is not None:
            complete[part] = complete_network(node[part], {}, dimensions)
        else:
            raise ConfigError(
                f"Neither init_from.{part} nor model.network.{part} is given",
                f"A fusion network needs a trained {part} network to start from, or the config of a new one",
                f"Give init_from.{part}=<run>",
            )
    parameters = inspect.signature(found).parameters
    if "multi_label" in dimensions and "multi_label" not in parameters and not any(part in node for part in PARTS):
        raise ConfigError(
            f"The data are multi-label, and a {found.__name__} answers with one scene of all",
            "A class of networks that can do both takes the argument multi_label, and sets it as an attribute",
            "Give the class that argument, or take data with one label to a clip",
        )
    return complete | {name: size for name, size in dimensions.items() if name in parameters}


def summarise(node: Mapping[str, Any], parts: Mapping[str, Any], features: Mapping[str, Any], scenes: int) -> str:
    """The layer table of a network for one second of a scene, freshly built; `parts` are the audio and the visual
    network of a fusion network that names none."""
    filled = {key: parts[key] if key in PARTS and value is None else value for key, value in node.items()}
    spectrogram, frames = (build(features[name], "feature") for name in ("spectrogram", "frames"))
    dimensions = {"scenes": scenes, **spectrogram.dimensions, **frames.dimensions}
    with torch.device("meta"):  # no values are needed
        network = build(complete_network(filled, {}, dimensions), "network")
        return layer_table(network.eval(), empty_inputs(network.inputs, dimensions))


def load_weights(network: SceneNetwork, starts: Starts, encoders: Mapping[str, EncoderWeights]) -> None:
    """Copy the checkpoints' weights into the network or its parts, and published ones into its new encoders."""
    for kind, start in starts.items():
        target = getattr(network, kind) if kind in PARTS and hasattr(network, kind) else network
        target.load_state_dict(start.weights)
    for path, weights in encoders.items():
        network.get_submodule(path).load_published(weights.weights)  # type: ignore[operator]


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

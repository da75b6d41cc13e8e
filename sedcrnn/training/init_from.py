"""How a stage starts from earlier ones: their networks' configs complete its own, their weights go into it.

A network named in `init_from` is the stage's own network (fine-tuning) or a part of it (fusion). The checkpoint
says how it is built; where the stage's config says so too, both must agree. A new frame encoder starts from a file of
published weights (`init_from.encoder`).
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.config.targets import build, check_names, resolve
from sedcrnn.datasets.folds import Folds
from sedcrnn.datasets.windows import STEPS_PER_WINDOW
from sedcrnn.errors import CheckpointError, ConfigError, WeightsError
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.backbones import find_normalisation
from sedcrnn.networks.freezing import lies_in
from sedcrnn.networks.profile import layer_table
from sedcrnn.pretrained.encoder_weights import EncoderWeights, load_encoder_weights
from sedcrnn.runs.checkpoints import Checkpoint, load_checkpoint

PARTS = ("audio", "visual")  # of a fusion network
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
        check_names(starts[kind].network, "network", trusted=False)
    return starts


def load_encoder(config: TrainConfig) -> EncoderWeights | None:
    """The weights that `init_from.encoder` names, checked to fit the stage's new frame encoder; None: it names none."""
    node, start = config.model["network"], config.init_from
    kind, file = network_class(node).kind, start.encoder
    encoder, visual = ("encoder", node) if kind == "visual" else ("visual.encoder", node.get("visual"))
    if kind not in ("visual", "fusion") or visual is None or start.visual is not None or start.fusion is not None:
        if file is None:
            return None
        raise ConfigError(
            f"init_from.encoder is {file}, but the stage '{config.name}' has no new frame encoder",
            "Weights are for a visual network that does not start from another run",
            "Leave init_from.encoder=null here; in a pipeline give it to its stage: "
            "'stages.visual=[\"init_from.encoder=<file>\"]'",
        )
    frozen = [part for part in config.recipe.frozen if lies_in(part, encoder) or lies_in(encoder, part)]
    if file is None and frozen:
        raise ConfigError(
            f"recipe.frozen={frozen} keeps the frame encoder as it is, and its weights are random",
            "A frozen encoder has weights that were trained: init_from.encoder=<file>; see `sedcrnn weights list`",
            "Give the file, train the encoder too (recipe.frozen=[]), or say init_from.encoder=random",
        )
    if file is None or file == "random":
        return None
    weights = load_encoder_weights(Path(file))
    architecture, _, tag = visual["backbone"].partition(".")
    if weights.backbone != architecture or tag not in ("", weights.trained_on):
        raise WeightsError(
            f"{file} holds weights of '{weights.backbone}' (trained on: {weights.trained_on}), and "
            f"model.network.backbone is '{visual['backbone']}'",
            "Both are the same network, and a tag names the same weights",
            f"Set {weights.settings}, or name another file",
        )
    normalisation = visual["normalisation"]
    if normalisation != "raw" and find_normalisation(normalisation, visual["backbone"]) != weights.frames:
        raise WeightsError(
            f"{file} was trained on frames with the normalisation '{weights.normalisation}', and "
            f"model.network.normalisation is '{normalisation}'",
            "Channel order, mean and scale are those of the training; raw, as in the authors' notebooks, is allowed",
            f"Set {weights.settings}",
        )
    return weights


def check_initial(config: TrainConfig, starts: Starts, scenes: tuple[str, ...], folds: Folds) -> None:
    """Refuse a start that was trained for other scenes, on other features, or on clips that are to select this stage's
    checkpoint or test it: with another validation draw, or before the data set grew."""
    for kind, start in starts.items():
        if start.scenes != scenes:
            raise CheckpointError(
                f"{start.path} was trained for the scenes {', '.join(start.scenes)}",
                f"The data set has {', '.join(scenes)}",
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
    (`scenes`, the spectrogram's `channels`, the frames' `height` and `width`) filled in."""
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


def empty_inputs(names: Sequence[str], dimensions: Mapping[str, int]) -> dict[str, Tensor]:
    """One second of silence, and of black frames, as a network of this package takes them."""
    shapes = {
        "spectrogram": [1, *(dimensions.get(name, 1) for name in ("channels", "bands", "columns"))],
        "frames": [1, STEPS_PER_WINDOW, 3, *(dimensions.get(name, 1) for name in ("height", "width"))],
    }
    return {name: torch.zeros(shapes[name]) for name in names}


def load_weights(network: SceneNetwork, starts: Starts, encoder: EncoderWeights | None) -> None:
    """Copy the checkpoints' weights into the network or its parts, and the encoder's into its new encoder."""
    for kind, start in starts.items():
        target = getattr(network, kind) if kind in PARTS and hasattr(network, kind) else network
        target.load_state_dict(start.weights)
    if encoder is not None:
        name = "visual.encoder" if hasattr(network, "visual") else "encoder"
        network.get_submodule(name).load_published(encoder.weights)  # type: ignore[operator]


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

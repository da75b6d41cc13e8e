"""A checkpoint's config and weights, against what this version of the package can build -> nothing, or what differs.

A key that is new and has a default is no difference: that default is how a new option leaves old networks as they were.
"""

import inspect
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import torch
from hydra.utils import get_object
from omegaconf import MISSING
from torch import Tensor

import sedcrnn
from sedcrnn.config import ALLOWED_TARGETS, HYDRA_KEYS, without_data_places
from sedcrnn.differences import ABSENT, Differences, differences, told
from sedcrnn.errors import CheckpointError

VERSION = "sedcrnn"
"""Key of a checkpoint file under which the version of the package stands that wrote it."""

UNKNOWN_VERSION = "of an unknown version"


def unknown(node: Any, path: str = "", target: Any = None) -> Differences:
    """What a recorded config has and this version does not take: keys that it does not know, values of another kind,
    and keys without a default that are not there.

    Args:
        node: recorded config, with `_target_` where something is to be built.
        path: dotted name of the node.
        target: what it is for; None: what its `_target_` names, if any.

    Returns:
        Dotted key -> (recorded value, kind of value that this version takes).
    """
    if not isinstance(node, Mapping):
        return {}
    prefix = f"{path}." if path else ""
    found: Differences = {}
    if "_target_" in node:
        try:
            target = get_object(node["_target_"]) if node["_target_"].startswith(ALLOWED_TARGETS) else None
        except Exception:  # whatever importing raises, the name does not lead anywhere
            target = None
        if target is None:
            return {f"{prefix}_target_": (node["_target_"], ABSENT)}
    if target is not None:
        parameters = inspect.signature(target).parameters
        kinds = get_type_hints(vars(target).get("__init__", target) if isinstance(target, type) else target)
        takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
        for key in node.keys() - HYDRA_KEYS:
            if key not in parameters and not takes_all:
                found[prefix + key] = (node[key], ABSENT)
            elif not _is_of(node[key], kinds.get(key, Any)):
                found[prefix + key] = (node[key], inspect.formatannotation(kinds[key]))
        for key, parameter in parameters.items():
            named = parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
            if key not in node and named and parameter.default in (inspect.Parameter.empty, MISSING):
                found[prefix + key] = (ABSENT, inspect.formatannotation(kinds.get(key, Any)))
    for key, value in node.items():
        found |= unknown(value, prefix + str(key))
    return dict(sorted(found.items()))


def check_known(path: Path, version: str, found: Differences) -> None:
    """Refuse a checkpoint with such differences.

    Raises:
        CheckpointError: naming the keys, both values and both versions.
    """
    if found:
        raise CheckpointError(
            f"{path} was written by sedcrnn {version}, and this is sedcrnn {sedcrnn.__version__}; they differ in "
            f"{told(found)}",
            "A checkpoint is read by code that knows all of its keys and builds the same network from them",
            "Use the version that wrote it, or train the stage again",
        )


def check_weights(path: Path, version: str, weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Refuse weights of other names or shapes than a network's; raises what `check_known` does."""
    recorded, present = ({name: list(one.shape) for name, one in state.items()} for state in (weights, wanted))
    check_known(path, version, differences(recorded, present))


def check_resumable(path: Path, described: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Refuse to resume from a checkpoint of a training with other arguments.

    Args:
        path: the checkpoint that holds the training's state.
        described: the arguments of the LightningModule that is to go on.
        state: its state.

    Raises:
        CheckpointError: as `check_known`.
    """
    content = torch.load(path, map_location="cpu", weights_only=True)
    version = content.get(VERSION, UNKNOWN_VERSION)
    recorded, present = (
        {**one, "data": without_data_places(one["data"])} for one in (content["hyper_parameters"], described)
    )
    check_known(path, version, differences(recorded, present))
    check_weights(path, version, content["state_dict"], state)


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a plain value is of an annotated kind; what is itself a node, or of a kind not listed here, passes."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, types.UnionType):
        return any(_is_of(value, one) for one in inner)
    if isinstance(value, Mapping) and "_target_" in value:
        return origin not in (bool, int, float, str, type(None))
    if origin is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if origin is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin in (bool, str, type(None)):
        return isinstance(value, origin)
    if origin in (list, tuple, Sequence):
        return isinstance(value, list | tuple) and (not inner or all(_is_of(one, inner[0]) for one in value))
    if origin in (dict, Mapping):
        return isinstance(value, Mapping)
    return True

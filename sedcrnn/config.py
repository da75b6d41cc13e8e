"""Config files and command-line overrides -> one checked config: every key known, every target allowed.

The dataclasses below are the one home of the config's shape. Nodes with a `_target_` (typed `Node`) are checked
against the signature of what they build, so a misspelt key is an error wherever it stands.
"""

import hashlib
import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from hydra.utils import get_object
from hydra.utils import instantiate as hydra_instantiate
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from sedcrnn.errors import ConfigError, nearest

Node = dict[str, Any]

_PACKAGE = Path(__file__).resolve().parent
# An installed wheel carries conf/ inside the package; a checkout has it beside the package.
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"

# What a config (or a checkpoint, which stores one) may build.
ALLOWED_TARGETS = ("sedcrnn.", "torch.optim.", "pytorch_lightning.")
HYDRA_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}

# Keys of the config that say where things lie, how fast they are made or what is shown; results do not depend on them.
_PLACES = {"runs", "store", "logger", "start_from"}
_DATA_PLACES = {"root", "manifest", "workers", "loader_workers"}
_SHOWN = {"enable_progress_bar", "enable_model_summary", "log_every_n_steps"}  # of the trainer


@dataclass
class DataConfig:
    """Which clips, and how the training fold is divided."""

    source: Node = MISSING
    selection: str = MISSING
    validation_share: float = MISSING
    validation_seed: int = MISSING
    leave_out_city: str | None = MISSING
    shuffle_labels: bool = MISSING
    unreadable: str = MISSING
    workers: int = MISSING
    loader_workers: int = MISSING


@dataclass
class FeaturesConfig:
    """How sound and picture are turned into what the networks take; null in a stage that does not take it."""

    spectrogram: Node | None = MISSING
    frames: Node | None = MISSING


@dataclass
class AugmentationConfig:
    """Random changes of training windows; null where there are none."""

    spectrogram: Node | None = MISSING
    frames: Node | None = MISSING


@dataclass
class RecipeConfig:
    """How a stage is trained (paper.md's recipe table); see conf/recipe for the meaning of each value."""

    batch_size: int = MISSING
    optimizer: Node = MISSING
    learning_rates: dict[str, float] = MISSING
    mixup_alpha: float = MISSING
    augmentation: AugmentationConfig = MISSING
    modality_dropout: float = MISSING
    head_weights: dict[str, float | None] = MISSING
    frozen: list[str] = MISSING
    cache_frozen: bool = MISSING
    l2: dict[str, float] = MISSING
    plateau_factor: float = MISSING
    plateau_patience: int = MISSING
    early_stopping_patience: int = MISSING
    compile: bool = MISSING
    checkpointing: bool = MISSING


@dataclass
class StartConfig:
    """Runs (or checkpoints) whose best weights a stage starts from, and a file of weights; null: none."""

    audio: str | None = MISSING
    visual: str | None = MISSING
    fusion: str | None = MISSING
    encoder: str | None = MISSING


@dataclass
class TrainConfig:
    """One training stage."""

    name: str = MISSING
    seed: int = MISSING
    data: DataConfig = MISSING
    features: FeaturesConfig = MISSING
    model: Node = MISSING
    recipe: RecipeConfig = MISSING
    start_from: StartConfig = MISSING
    trainer: Node = MISSING
    logger: Node | None = MISSING  # beside metrics.csv, which every run writes
    runs: str = MISSING
    store: str = MISSING


def checked(config: DictConfig, shape: type = TrainConfig) -> Any:
    """The resolved config as an instance of its dataclass.

    Raises:
        ConfigError: an unknown key (with the nearest valid one), a value of the wrong type, a mandatory value that
            is missing, or a target that is not allowed.
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(shape), config)
        result = OmegaConf.to_object(merged)
    except MissingMandatoryValue as error:
        raise ConfigError(
            f"The config value '{error.full_key}' is not set",
            "It is mandatory",
            f"Give it: {error.full_key}=<value>",
        ) from error
    except ConfigKeyError as error:
        raise unknown_key(str(error.full_key), _keys_of(shape)) from error
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"The config value '{error.full_key}' does not fit: {str(error).splitlines()[0]}",
            f"The config's shape is {shape.__name__} in sedcrnn/config.py",
            "Correct the value",
        ) from error
    check_targets(OmegaConf.to_container(merged, resolve=True), "")
    return result


def check_at_least(lowest: int, **values: int) -> None:
    """Check config values, given by their keys, against the lowest that makes sense.

    Raises:
        ConfigError: a lower one.
    """
    for key, value in values.items():
        if value < lowest:
            raise ConfigError(f"{key} is {value}", f"It is {lowest} or more", f"Set {key}=<number>")


def check_targets(node: Any, path: str) -> None:
    """Check every `_target_` below a node: allowed, existing, and given only arguments that it takes."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            check_targets(item, f"{path}[{index}]")
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        parameters = inspect.signature(_resolve_target(node["_target_"], path)).parameters
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
            for key in node.keys() - HYDRA_KEYS - parameters.keys():
                prefix = f"{path}." if path else ""
                raise unknown_key(prefix + key, [prefix + name for name in parameters])
    for key, value in node.items():
        check_targets(value, f"{path}.{key}" if path else str(key))


def _keys_of(shape: type, prefix: str = "") -> Iterator[str]:
    """Every key of a config's dataclass, and of those in it, as `a.b`."""
    for name, kind in get_type_hints(shape).items():
        yield prefix + name
        if is_dataclass(kind):
            yield from _keys_of(kind, f"{prefix}{name}.")  # type: ignore[arg-type]


def _resolve_target(target: str, path: str) -> Any:
    if not target.startswith(ALLOWED_TARGETS):
        raise ConfigError(
            f"'{path}._target_' is '{target}'",
            f"Targets start with {', '.join(ALLOWED_TARGETS)}",
            "Use one of the project's classes, or an optimiser, trainer or logger of these packages",
        )
    try:
        return get_object(target)
    except Exception as error:
        raise ConfigError(
            f"'{path}._target_' is '{target}', which cannot be imported: {error}",
            "A target is the full dotted name of a class or function",
            "Correct the name",
        ) from error


def instantiate(node: Mapping[str, Any], **arguments: Any) -> Any:
    """Build what a config node names, after the same checks as at start-up.

    The arguments go past Hydra, which would copy the tensors and callbacks among them.
    """
    check_targets(dict(node), "")
    return hydra_instantiate({**node, "_partial_": True}, _convert_="all")(**arguments)


def unknown_key(key: str, known: Iterable[str]) -> ConfigError:
    """The error for a key that does not exist, with the nearest ones that do."""
    return ConfigError(
        f"There is no config key '{key}'",
        f"The nearest valid key is {nearest(key, known)}",
        "Correct the spelling; `python -m sedcrnn.train --cfg job` prints every key with its value",
    )


def dotted_keys(node: Any, prefix: str = "") -> Iterator[str]:
    """Every key of a config as `a.b.c`, groups included."""
    if isinstance(node, DictConfig | dict):
        for key in node:
            name = prefix + str(key)
            yield name
            value = node._get_node(key) if isinstance(node, DictConfig) else node[key]
            yield from dotted_keys(value, f"{name}.")


def without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """A plain config without what its result does not depend on."""
    plain = {key: value for key, value in config.items() if key not in _PLACES}
    trainer = {key: value for key, value in plain["trainer"].items() if key not in _SHOWN}
    return {**plain, "data": without_data_places(plain["data"]), "trainer": trainer}


def without_data_places(data: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the data without where they lie and how fast they are read."""
    kept = {key: value for key, value in data.items() if key not in _DATA_PLACES}
    return kept | {"source": {key: value for key, value in data["source"].items() if key not in _DATA_PLACES}}


def digest(value: Any, size: int = 8) -> str:
    """A stable hash of plain data, of so many bytes, in hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()

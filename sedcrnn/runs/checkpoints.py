"""Checkpoint files -> networks, rebuilt from what the checkpoint itself says, and from nothing else.

A checkpoint is torch's own kind of file, a zip archive, with a seal as its comment.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any
from zipfile import ZipFile

import pydantic
import torch
from pydantic import Field
from torch import Tensor

from sedcrnn.config.checking import checked
from sedcrnn.config.stage_config import DataConfig, RecipeConfig, without_data_places
from sedcrnn.config.targets import build, check_names
from sedcrnn.config.values import CHECKED, FeatureNode, Name, NetworkNode, Positive, Seed, Share
from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import CheckpointError, SedcrnnError
from sedcrnn.networks import SceneNetwork
from sedcrnn.runs.files import atomic
from sedcrnn.runs.network_checks import check_fits, check_weights
from sedcrnn.runs.plain_data import check_plain
from sedcrnn.runs.records import CHECKPOINTS, differences, find_run, in_words, is_finished, read_record
from sedcrnn.runs.seals import UNSEALED, is_sealed, seal

log = logging.getLogger(__name__)

BEST = Path(CHECKPOINTS) / "best.ckpt"  # within a run folder: best by the monitored metric
LAST = Path(CHECKPOINTS) / "last.ckpt"  # for resuming

# Raised whenever checkpoints describe their networks in another way, or a network gets other weights; older ones are
# then refused.
SCHEMA_VERSION = 3

SCHEMA_KEY, KIND_KEY = "sedcrnn_schema_version", "sedcrnn_network_kind"
# Added when the training has ended.
TEMPERATURES_KEY, NO_TEMPERATURES_KEY, THRESHOLDS_KEY = "temperatures", "no_temperatures", "thresholds"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says of itself, and its weights.

    `network`, `features`, `data` and `recipe` are configs as plain data.

    Attributes:
        scenes: label order.
        locations: from which it has learnt, in this stage and in those before.
        temperatures: of its heads, fitted on the validation fold (`evaluation.calibration`); empty without.
        no_temperatures: why there are none; empty where there are.
        thresholds: of its heads in multi-label data, by scene, for probabilities before the temperature; empty without.
    """

    path: Path
    kind: str
    network: dict[str, Any]
    scenes: tuple[str, ...]
    features: dict[str, Any]
    data: dict[str, Any]
    recipe: dict[str, Any]
    locations: frozenset[str]
    seed: int
    weights: dict[str, Tensor]
    temperatures: dict[str, float]
    no_temperatures: str
    thresholds: dict[str, list[float]] = field(default_factory=dict)

    @property
    def multi_label(self) -> bool:
        """Whether its network answers to each scene by itself."""
        own = [self.network.get("audio"), self.network.get("visual"), self.network]
        return any(isinstance(node, Mapping) and node.get("multi_label") for node in own)

    @property
    def digest(self) -> str:
        """Hash of the weights by name, the same on every machine and for every file that holds them."""
        return weights_digest(self.weights)

    def check_unseen(self, clips: Iterable[Clip], purpose: str) -> None:
        """Refuse clips of locations that the network has learnt from; `purpose` is for the message."""
        if shared := sorted({clip.location for clip in clips} & self.locations):
            raise CheckpointError(
                f"{self.path} has learnt from {len(shared)} of the locations that are to {purpose}: "
                f"{', '.join(shared[:3])}{', ...' if len(shared) > 3 else ''}",
                "What a network is scored on shares no location or group with what it was trained on; the data set's "
                "clips or folds, or how they are drawn, have changed since",
                "Train it again on the data as they are, or name another run",
            )

    def check(self) -> None:
        """Refuse what cannot be built, at no cost, before data are read.

        Raises:
            TrustError: it names a class of a package that the user has not said to trust.
            CheckpointError: its weights, its features or its scenes are not those of its network.
        """
        check_names(self.network, "network", trusted=False)
        check_fits(self.path, self.network, self.features, len(self.scenes), self.weights)

    def build(self) -> SceneNetwork:
        """The network with these weights, in evaluation mode; raises errors as `check`."""
        self.check()
        network: SceneNetwork = build(self.network, "network", trusted=False)
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:  # of another package's network
            raise CheckpointError(
                f"The weights in {self.path} do not fit its network: {' '.join(str(error).split())[:300]}",
                "They have the names and shapes that its config leads to",
                "Train the stage again, or use the version of sedcrnn and timm that wrote it",
            ) from error
        return network.eval()

    def data_config(self) -> DataConfig:
        """The checked config of the data it was trained on; raises errors as `build`."""
        check_names(self.data["source"], "data_source", trusted=False)
        config: DataConfig = checked(self.data, DataConfig)
        return config


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Hash of tensors by name, in hexadecimal digits."""
    state = hashlib.blake2b(digest_size=16)
    for name, value in sorted(weights.items()):
        state.update(name.encode())
        state.update(value.contiguous().numpy().tobytes())
    return state.hexdigest()


def checkpoint_path(run: str, runs: str | Path = "runs") -> Path:
    """The checkpoint file itself, or the best one of a run as `find_run` takes it, with a warning if unfinished."""
    file = Path(run) if Path(run).is_file() else find_run(run, runs) / BEST
    if not file.is_file():
        raise CheckpointError(
            f"There is no checkpoint at {file}",
            f"A run is named by its folder, which holds {BEST}, or by a checkpoint file",
            "Check the path, or train the stage first",
        )
    record = read_record(file.parents[1]) if len(file.parents) > 1 else None
    if record is not None and not is_finished(record):
        log.warning("The run %s is not finished: this is the best of its epochs so far.", file.parents[1])
    return file


def load_checkpoint(run: str, kind: str | None = None, runs: str | Path = "runs") -> Checkpoint:
    """Read a checkpoint file, or the best checkpoint of a run as `find_run` takes it, on the CPU and without executing
    anything stored in it; `kind` is that of the network that it has to hold.
    """
    checkpoint = read_checkpoint(checkpoint_path(run, runs))
    if kind is not None and checkpoint.kind != kind:
        raise CheckpointError(
            f"{checkpoint.path} holds a network of the kind '{checkpoint.kind}'",
            f"A checkpoint of the kind '{kind}' is needed here",
            f"Name a run of a network of the kind '{kind}'",
        )
    return checkpoint


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint file; as `load_checkpoint`, whatever became of its run."""
    content = read_content(path)
    try:
        described = {name: content["hyper_parameters"][name] for name in _FROM_MODULE}
        described |= {
            "kind": content[KIND_KEY],
            TEMPERATURES_KEY: content.get(TEMPERATURES_KEY, {}),
            NO_TEMPERATURES_KEY: content.get(NO_TEMPERATURES_KEY, "its training is not finished"),
            THRESHOLDS_KEY: content.get(THRESHOLDS_KEY, {}),
        }
        check_plain(described)
        checked(described, _Described)
        if any(len(own) != len(described["scenes"]) for own in described[THRESHOLDS_KEY].values()):
            raise ValueError("its thresholds are not one for each scene")
        parts = [(*name.partition("."), value) for name, value in content["state_dict"].items()]
    except (SedcrnnError, LookupError, TypeError, AttributeError, ValueError) as error:
        raise _unreadable(path, error) from error
    weights = {name: value for attribute, _, name, value in parts if attribute == "network"}
    check_weights(path, weights)
    plural = {"scenes": tuple(described["scenes"]), "locations": frozenset(described["locations"])}
    return Checkpoint(path=path, weights=weights, **described | plural)


def write_checkpoint(content: Mapping[str, Any], path: Path) -> None:
    """Write what a checkpoint holds, whole and sealed, or nothing.

    Raises:
        OSError: as of any file; of a full disk, torch itself says only that a position is unexpected.
    """
    with atomic(path) as temporary:
        try:
            with temporary.open("wb") as file:
                torch.save(dict(content), file)
        except RuntimeError as error:
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
        with ZipFile(temporary, "a") as archive:
            archive.comment = UNSEALED
        seal(temporary)


def read_content(path: Path) -> dict[str, Any]:
    """What `write_checkpoint` wrote, on the CPU and without executing anything stored in it.

    Raises:
        CheckpointError: the file is missing, is not as it was written, or has another schema version.
    """
    try:
        if not is_sealed(path):
            raise ValueError("it is damaged, or was changed or written by something else than this version of sedcrnn")
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = content.get(SCHEMA_KEY)
    except Exception as error:  # of torch's there is no end
        raise _unreadable(path, error) from error
    if found != SCHEMA_VERSION:
        raise CheckpointError(
            f"{path} has the schema version {found}",
            f"This version of sedcrnn reads {SCHEMA_VERSION}",
            "Use the version that wrote it, or train the stage again",
        )
    return dict(content)


def write_temperatures(
    path: Path,
    temperatures: Mapping[str, float],
    reason: str,
    thresholds: Mapping[str, list[float]] = MappingProxyType({}),
) -> None:
    """Add the temperatures of the heads, or the reason that there are none, and their thresholds, if any, to a
    checkpoint file."""
    added = {TEMPERATURES_KEY: dict(temperatures), NO_TEMPERATURES_KEY: reason}
    if thresholds:
        added[THRESHOLDS_KEY] = dict(thresholds)
    write_checkpoint({**read_content(path), **added}, path)


def check_resumable(path: Path, described: Mapping[str, Any]) -> None:
    """Refuse to resume, from a checkpoint, a LightningModule with other arguments than it was written with."""
    content = read_content(path)
    recorded, present = (
        {**one, "data": without_data_places(one["data"])} for one in (content["hyper_parameters"], described)
    )
    if found := differences(recorded, present):
        raise CheckpointError(
            f"{path} is of a training that differs in {in_words(found)}",
            "A training goes on with the arguments that it began with",
            "Remove the run folder to train it again",
        )


@pydantic.dataclasses.dataclass(config=CHECKED, kw_only=True)
class _Described:
    """What a checkpoint may say; the keys of a LightningModule, and three more."""

    network: NetworkNode
    features: dict[str, FeatureNode]
    data: DataConfig
    recipe: RecipeConfig
    scenes: Annotated[list[Name], Field(min_length=1)]
    locations: list[str]
    seed: Seed
    kind: Name
    temperatures: dict[str, Positive]
    no_temperatures: str
    thresholds: dict[str, list[Share]]


_FROM_MODULE = ("network", "features", "data", "recipe", "scenes", "locations", "seed")


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    found = error.found if isinstance(error, SedcrnnError) else f"{type(error).__name__}: {error}"
    return CheckpointError(
        f"{path} cannot be read as a checkpoint of sedcrnn: {' '.join(found.split())[:300]}",
        "It is a file that sedcrnn train wrote, whole and unchanged",
        "Name another run, or remove the file and train the stage again",
    )

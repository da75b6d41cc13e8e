"""Checkpoint files -> networks, rebuilt from what the checkpoint itself says, and from nothing else."""

import hashlib
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sedcrnn.config.checking import checked
from sedcrnn.config.stage_config import DataConfig, without_data_places
from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import CheckpointError
from sedcrnn.networks import SceneNetwork
from sedcrnn.runs.differences import differences, told

BEST = Path("checkpoints") / "best.ckpt"  # within a run folder: best by the monitored metric
LAST = Path("checkpoints") / "last.ckpt"  # for resuming

SCHEMA_VERSION = 2
"""Raised whenever a checkpoint says something else of its network, or a network gets other weights: it is then read by
the version that wrote it alone."""

SCHEMA_KEY = "sedcrnn_schema_version"

# The network's weights have this prefix in a LightningModule's state.
_PREFIX = "network."


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says of itself, and its weights.

    Attributes:
        path: the file.
        network: config of the network, complete.
        scenes: label order.
        features: configs of the features it takes, by name.
        data: config of the data it was trained on.
        recipe: how it was trained.
        locations: from which it has learnt, in this stage and in those before.
        seed: seed of its training.
        weights: state of the network.
    """

    path: Path
    network: dict[str, Any]
    scenes: tuple[str, ...]
    features: dict[str, Any]
    data: dict[str, Any]
    recipe: dict[str, Any]
    locations: frozenset[str]
    seed: int
    weights: dict[str, Tensor]

    @property
    def digest(self) -> str:
        """Hash of the weights by name, the same on every machine and for every file that holds them."""
        return weights_digest(self.weights)

    @property
    def stage(self) -> str:
        """`audio`, `visual` or `fusion`: the kind of network."""
        return network_kind(self.network)

    def check_unseen(self, clips: Iterable[Clip], purpose: str) -> None:
        """Refuse clips of locations that the network has learnt from.

        Args:
            clips: to be scored.
            purpose: what they are to do, for the message: `select this stage's checkpoint`.

        Raises:
            CheckpointError: naming the first of these locations.
        """
        if seen := sorted({clip.location for clip in clips} & self.locations):
            raise CheckpointError(
                f"{self.path} has learnt from {len(seen)} of the locations that are to {purpose}: "
                f"{', '.join(seen[:3])}{', ...' if len(seen) > 3 else ''}",
                "What a network is scored on shares no location or group with what it was trained on; the data set's "
                "clips or folds, or how they are drawn, have changed since",
                "Train it again on the data as they are, or name another run",
            )

    def build(self) -> SceneNetwork:
        """The network with these weights, in evaluation mode.

        Raises:
            CheckpointError: weights of other names or shapes than this version of the network has.
        """
        network: SceneNetwork = build(self.network, "network", trusted=False)
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"The weights in {self.path} do not fit its network: {' '.join(str(error).split())[:300]}",
                "They have the names and shapes that its config leads to",
                "Train the stage again, or use the version of sedcrnn and timm that wrote it",
            ) from error
        return network.eval()

    def data_config(self) -> DataConfig:
        """The config of the data it was trained on.

        Raises:
            ConfigError: one that this version of the package does not know.
        """
        config: DataConfig = checked(self.data, DataConfig)
        return config


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Hash of tensors by name, in hexadecimal digits."""
    state = hashlib.blake2b(digest_size=16)
    for name, value in sorted(weights.items()):
        state.update(name.encode())
        state.update(value.contiguous().numpy().tobytes())
    return state.hexdigest()


def network_kind(node: Mapping[str, Any]) -> str:
    """`audio`, `visual` or `fusion`, from the config of a network."""
    return str(node["_target_"]).rsplit(".", 1)[-1].removesuffix("Network").lower()


def checkpoint_path(run: str) -> Path:
    """The best checkpoint of a run folder, or the checkpoint file itself.

    Raises:
        CheckpointError: neither is there.
    """
    path = Path(run)
    file = path / BEST if path.is_dir() else path
    if not file.is_file():
        raise CheckpointError(
            f"There is no checkpoint at {file}" + ("" if path.exists() else f" ({path} does not exist)"),
            f"A run is named by its folder, which holds {BEST}, or by a checkpoint file",
            "Check the path, or train the stage first",
        )
    return file


def load_checkpoint(run: str, stage: str | None = None) -> Checkpoint:
    """Read the best checkpoint of a run, on the CPU and without executing anything stored in it.

    Args:
        run: a run folder or a checkpoint file.
        stage: the kind of network that it has to hold; None: any.

    Raises:
        CheckpointError: missing, unreadable, not one of this package, of another stage, or with a config that this
            version of the package does not know.
    """
    path = checkpoint_path(run)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        check_schema(path, content)
        described = content["hyper_parameters"]
        checkpoint = Checkpoint(
            path=path,
            network=described["network"],
            scenes=tuple(described["scenes"]),
            features=described["features"],
            data=described["data"],
            recipe=described["recipe"],
            locations=frozenset(described["locations"]),
            seed=described["seed"],
            weights={
                name.removeprefix(_PREFIX): value
                for name, value in content["state_dict"].items()
                if name.startswith(_PREFIX)
            },
        )
    except (KeyError, TypeError, RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint of sedcrnn: {type(error).__name__}: {str(error).splitlines()[0]}",
            "It is a file that sedcrnn.train wrote, whole",
            "Name another run, or train the stage again",
        ) from error
    if stage is not None and checkpoint.stage != stage:
        raise CheckpointError(
            f"{path} holds a network of the stage '{checkpoint.stage}'",
            f"A checkpoint of the stage '{stage}' is needed here",
            f"Name a run whose model is '{stage}'",
        )
    return checkpoint


def check_schema(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that another version of the package wrote in another way.

    Raises:
        CheckpointError: naming both schema versions.
    """
    found = content.get(SCHEMA_KEY)
    if found != SCHEMA_VERSION:
        raise CheckpointError(
            f"{path} has the schema version {found}",
            f"This version of sedcrnn reads {SCHEMA_VERSION}",
            "Use the version that wrote it, or train the stage again",
        )


def check_resumable(path: Path, described: Mapping[str, Any]) -> None:
    """Refuse to resume from a checkpoint of a training with other arguments.

    Args:
        path: the checkpoint that holds the training's state.
        described: the arguments of the LightningModule that is to go on.

    Raises:
        CheckpointError: another schema version, or naming the arguments that differ.
    """
    content = torch.load(path, map_location="cpu", weights_only=True)
    check_schema(path, content)
    recorded, present = (
        {**one, "data": without_data_places(one["data"])} for one in (content["hyper_parameters"], described)
    )
    if found := differences(recorded, present):
        raise CheckpointError(
            f"{path} is of a training that differs in {told(found)}",
            "A training goes on with the arguments that it began with",
            "Remove the run folder to train it again",
        )

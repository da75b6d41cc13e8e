"""A network and a loader of windows -> log-probabilities of every head, per window and per clip; and their file."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import CheckpointError
from sedcrnn.networks import SceneNetwork
from sedcrnn.runs.files import atomic

# How the windows of a clip become one decision.
AGGREGATOR = "mean of the windows' probabilities"

# Of predictions.csv, before those of the scenes.
COLUMNS = ("clip", "location", "window", "label", "head")


@dataclass(frozen=True)
class Predictions:
    """What a network says of each example.

    Attributes:
        clip: (example,) index of the clip in its fold.
        window: (example,) second of the clip, or -1 for a whole clip.
        scene: (example,) true class index.
        log_probabilities: head -> (example, scene).
    """

    clip: Tensor
    window: Tensor
    scene: Tensor
    log_probabilities: dict[str, Tensor]

    def per_clip(self) -> "Predictions":
        """One example per clip: the mean of its windows' probabilities."""
        clips, place = torch.unique(self.clip, return_inverse=True)
        count = torch.bincount(place)[:, None]

        def mean(values: Tensor) -> Tensor:
            sums = torch.zeros(len(clips), values.shape[-1], dtype=torch.float64)
            return (sums.index_add_(0, place, values.double().exp()) / count).log()

        scene = torch.zeros_like(clips).index_copy_(0, place, self.scene)
        heads = {head: mean(values) for head, values in self.log_probabilities.items()}
        return Predictions(clips, torch.full_like(clips, -1), scene, heads)


@torch.inference_mode()
def predict(network: SceneNetwork, loader: DataLoader[dict[str, Tensor]], device: str = "cpu") -> Predictions:
    """Run a network in evaluation mode over all windows of a loader, in order."""
    network = network.to(device).eval()
    collected: dict[str, list[Tensor]] = {"clip": [], "window": [], "scene": []}
    heads: dict[str, list[Tensor]] = {head: [] for head in network.head_names}
    for batch in tqdm(loader, desc="predicting", unit="batch"):
        on_device = {name: values.to(device) for name, values in batch.items()}
        for head, logits in network.heads_of(on_device).items():
            heads[head].append(logits.float().log_softmax(-1).cpu())
        for name, values in collected.items():
            values.append(batch[name])
    joined = {name: torch.cat(values) for name, values in collected.items()}
    return Predictions(**joined, log_probabilities={head: torch.cat(values) for head, values in heads.items()})


def write_predictions(path: Path, predictions: Predictions, clips: Sequence[Clip], scenes: Sequence[str]) -> None:
    """Write one row per head and window: clip, location, window, label, head, and the probability of every scene."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *scenes])
        for head, values in predictions.log_probabilities.items():
            rows = zip(
                predictions.clip.tolist(),
                predictions.window.tolist(),
                values.double().exp().tolist(),
                strict=True,
            )
            for clip, window, probabilities in rows:
                numbers = [f"{probability:.9g}" for probability in probabilities]  # as float32 has them
                about = clips[clip]
                writer.writerow([about.id, about.location, window, about.scene, head, *numbers])


@dataclass(frozen=True)
class StoredPredictions:
    """What predictions.csv holds.

    Attributes:
        scenes: label order.
        clips: ids of the fold's clips, to which `predictions.clip` points.
        locations: of these clips.
        predictions: of every head.
    """

    scenes: tuple[str, ...]
    clips: tuple[str, ...]
    locations: tuple[str, ...]
    predictions: Predictions


def read_predictions(path: Path) -> StoredPredictions:
    """Read what `write_predictions` wrote.

    Raises:
        CheckpointError: the file is absent, damaged or of another form.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file))
        if tuple(header[: len(COLUMNS)]) != COLUMNS:
            raise ValueError(f"its columns are {', '.join(header)}")
        scenes = tuple(header[len(COLUMNS) :])
        heads: dict[str, list[list[str]]] = {}
        for row in rows:
            heads.setdefault(row[COLUMNS.index("head")], []).append(row)
        windows = next(iter(heads.values()))
        locations = {clip: location for clip, location, *_ in windows}
        index = {clip: number for number, clip in enumerate(locations)}
        log_probabilities = {
            head: torch.tensor(
                [[float(value) for value in row[len(COLUMNS) :]] for row in of], dtype=torch.float64
            ).log()
            for head, of in heads.items()
        }
        if {len(values) for values in log_probabilities.values()} != {len(windows)}:
            raise ValueError("its heads do not have the same windows")
        predictions = Predictions(
            clip=torch.tensor([index[row[0]] for row in windows]),
            window=torch.tensor([int(row[2]) for row in windows]),
            scene=torch.tensor([scenes.index(row[3]) for row in windows]),
            log_probabilities=log_probabilities,
        )
    except (OSError, ValueError, IndexError, StopIteration) as error:
        raise CheckpointError(
            f"{path} cannot be read as predictions: {error or type(error).__name__}",
            "It is a file that sedcrnn.evaluate wrote, whole",
            "Remove the folder that it lies in, and evaluate the run again",
        ) from error
    return StoredPredictions(scenes, tuple(locations), tuple(locations.values()), predictions)

"""A network and a loader of windows -> log-probabilities of every head, per window and per clip; and their file."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.window_dataset import Batch, ClipWindows, moved
from sedcrnn.errors import CheckpointError, ClipError
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.execution import keep_freed_memory
from sedcrnn.progress import progress
from sedcrnn.runs.csv_cells import from_cell, to_cell
from sedcrnn.runs.files import atomic

# How the windows of a clip become one decision.
AGGREGATOR = "mean of the windows' probabilities"

# Of predictions.csv, before those of the scenes.
COLUMNS = ("clip", "location", "window", "label", "head")
LABELS = "labels"  # in place of `label`, where a clip has any number of them: a JSON list


@dataclass(frozen=True)
class Predictions:
    """A network's answers for some examples."""

    clip: Tensor  # (example,) index of the clip in its fold
    window: Tensor  # (example,) second of the clip, or -1 for a whole clip
    scene: Tensor  # (example,) true class index; (example, scene) whether it is there, in multi-label data
    log_probabilities: dict[str, Tensor]  # head -> (example, scene)

    @property
    def multi_label(self) -> bool:
        """Whether an example may have any number of scenes."""
        return self.scene.ndim == 2

    def per_clip(self) -> "Predictions":
        """One example per clip: the mean of its windows' probabilities."""
        clips, index = torch.unique(self.clip, return_inverse=True)
        count = torch.bincount(index)[:, None]

        def mean(values: Tensor) -> Tensor:
            sums = torch.zeros(len(clips), values.shape[-1], dtype=torch.float64)
            return (sums.index_add_(0, index, values.double().exp()) / count).log()

        scene = self.scene.new_zeros(len(clips), *self.scene.shape[1:]).index_copy_(0, index, self.scene)
        heads = {head: mean(values) for head, values in self.log_probabilities.items()}
        return Predictions(clips, torch.full_like(clips, -1), scene, heads)


@torch.inference_mode()
def predict(network: SceneNetwork, loader: DataLoader[Batch], device: str = "cpu") -> Predictions:
    """Run a network in evaluation mode over all windows of a loader of `ClipWindows`, in order.

    Raises:
        ClipError: a probability is not finite.
    """
    keep_freed_memory()
    network = network.to(device).eval()
    dataset = cast(ClipWindows, loader.dataset)
    labels, heads = [], []
    for batch in progress(loader, "Predicting", unit="batch", leave=False):
        logits = network.heads_of(dataset.network_inputs(moved(batch, device)))
        heads.append({head: network.log_probabilities(values.float()) for head, values in logits.items()})
        labels.append({name: batch[name] for name in ("clip", "window", "scene")})
    # Not before, so that a GPU is not waited for after every batch.
    log_probabilities = {head: values.cpu() for head, values in _joined(heads).items()}
    found = Predictions(**_joined(labels), log_probabilities=log_probabilities)
    for head, values in log_probabilities.items():
        if (index := first_not_finite(values.exp())) is not None:
            raise not_finite(dataset.clips[int(found.clip[index])].id, int(found.window[index]), head)
    return found


def first_not_finite(probabilities: Tensor) -> int | None:
    """Of (example, scene) probabilities, the index of the first example with one that is not finite, if any."""
    broken = torch.nonzero(~probabilities.isfinite().all(-1)).flatten()
    return int(broken[0]) if len(broken) else None


def not_finite(file: str, second: int, head: str) -> ClipError:
    """The error for what is no answer, and must not be taken for one."""
    return ClipError(
        f"The network's probabilities for second {second} of '{file}', by its head '{head}', are not finite",
        "Its weights are those of a training that went well, and its inputs are finite",
        "Look at the losses in metrics.csv of its run, and train it again or use another one; try 32-true where the "
        "precision is lower",
    )


def _joined(batches: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def write_predictions(path: Path, predictions: Predictions, clips: Sequence[Clip], scenes: Sequence[str]) -> None:
    """Write one row per head and window: clip, location, window, label or labels, head, and the probability of every
    scene."""
    digits = ".17g" if predictions.multi_label else ".9g"  # as float32 has them; of scenes by themselves 1 - p as well
    columns = [LABELS if predictions.multi_label and column == "label" else column for column in COLUMNS]
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, *map(to_cell, scenes)])
        for head, values in predictions.log_probabilities.items():
            rows = zip(predictions.clip.tolist(), predictions.window.tolist(), values.double().exp(), strict=True)
            for clip, window, probabilities in rows:
                numbers = [f"{probability:{digits}}" for probability in probabilities.tolist()]
                about = clips[clip]
                label = about.scene if about.labels is None else json.dumps(about.labels)
                names = map(to_cell, (about.id, about.location, str(window), label, head))
                writer.writerow([*names, *numbers])


class StoredPredictions(NamedTuple):
    """What predictions.csv holds."""

    scenes: tuple[str, ...]  # label order
    clips: tuple[str, ...]  # ids of the fold's clips, to which `predictions.clip` points
    locations: tuple[str, ...]  # of these clips
    predictions: Predictions  # of every head


def read_predictions(path: Path) -> StoredPredictions:
    """Read what `write_predictions` wrote.

    Raises:
        CheckpointError: the file is absent, damaged or of another form.
    """
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            header, *rows = ([from_cell(cell) for cell in row] for row in csv.reader(file))
        multi_label = header[COLUMNS.index("label")] == LABELS
        if tuple(header[: len(COLUMNS)]) not in (COLUMNS, tuple(LABELS if one == "label" else one for one in COLUMNS)):
            raise ValueError(f"its columns are {', '.join(header)}")
        scenes = tuple(header[len(COLUMNS) :])
        heads: dict[str, list[list[str]]] = {}
        for row in rows:
            heads.setdefault(row[COLUMNS.index("head")], []).append(row)
        windows = next(iter(heads.values()))
        if {len(of) for of in heads.values()} != {len(windows)}:
            raise ValueError("its heads do not have the same windows")
        locations = {clip: location for clip, location, *_ in windows}
        index = {clip: number for number, clip in enumerate(locations)}
        predictions = Predictions(
            clip=torch.tensor([index[row[0]] for row in windows]),
            window=torch.tensor([int(row[2]) for row in windows]),
            scene=torch.tensor(
                [
                    [one in labels for one in scenes] if multi_label else scenes.index(row[3])
                    for row in windows
                    for labels in [json.loads(row[3]) if multi_label else ()]
                ]
            ),
            log_probabilities={
                head: torch.tensor([list(map(float, row[len(COLUMNS) :])) for row in of], dtype=torch.float64).log()
                for head, of in heads.items()
            },
        )
    except (OSError, ValueError, IndexError, StopIteration) as error:
        raise CheckpointError(
            f"{path} cannot be read as predictions: {error or type(error).__name__}",
            "It is a file that `sedcrnn evaluate` wrote, whole",
            "Remove the folder that it lies in, and evaluate the run again",
        ) from error
    return StoredPredictions(scenes, tuple(locations), tuple(locations.values()), predictions)

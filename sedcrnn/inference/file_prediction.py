"""What a network says of a file, second by second: as an object, as JSON and as CSV."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedcrnn.evaluation.predictions import AGGREGATOR
from sedcrnn.runs.files import atomic, write_json


@dataclass(frozen=True, eq=False)
class Prediction:
    """The scenes of one file.

    Attributes:
        path: the file (the one with the picture, where sound and picture are two).
        scenes: label order.
        head: the head that answers: the one that was asked for, or the network's own answer.
        probabilities: of every head that could answer, (second, scene) float64.
        tracks: `sound` and `picture`, as far as the network was given them, with their lengths in whole seconds.
    """

    path: Path
    scenes: tuple[str, ...]
    head: str
    probabilities: Mapping[str, NDArray[np.float64]]
    tracks: Mapping[str, int]

    @property
    def seconds(self) -> NDArray[np.int64]:
        """(second,) start of each window, in seconds from the start of the file."""
        return np.arange(len(self.probabilities[self.head]))

    @property
    def clip(self) -> dict[str, NDArray[np.float64]]:
        """(scene,) probabilities of the whole file per head: the mean of its windows', as in the evaluation."""
        return {head: values.mean(0) for head, values in self.probabilities.items()}

    def top(self, k: int = 3, second: int | None = None) -> list[tuple[str, float]]:
        """The k likeliest scenes with their probabilities, by the answering head; of the whole file, or of a second."""
        values = self.clip[self.head] if second is None else self.probabilities[self.head][second]
        return [(self.scenes[scene], float(values[scene])) for scene in np.argsort(-values, kind="stable")[:k]]

    @property
    def plain(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "path": str(self.path),
            "head": self.head,
            "tracks": dict(self.tracks),
            "clip": {head: dict(zip(self.scenes, values.tolist(), strict=True)) for head, values in self.clip.items()},
            "seconds": self.seconds.tolist(),
            "probabilities": {head: values.tolist() for head, values in self.probabilities.items()},
        }


def write_predictions_json(path: Path, predictions: Sequence[Prediction], scenes: Sequence[str], **about: Any) -> None:
    """Write all probabilities of all heads, with the scenes and what else is to be known."""
    files = [prediction.plain for prediction in predictions]
    write_json(path, {**about, "scenes": list(scenes), "aggregator": AGGREGATOR, "files": files})


def write_predictions_csv(path: Path, predictions: Sequence[Prediction], scenes: Sequence[str]) -> None:
    """Write one row per file, head and second: file, second, head, and the probability of every scene."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "second", "head", *scenes])
        for prediction in predictions:
            for head, values in prediction.probabilities.items():
                for second, row in zip(prediction.seconds.tolist(), values.tolist(), strict=True):
                    writer.writerow([prediction.path, second, head, *(f"{probability:.6g}" for probability in row)])

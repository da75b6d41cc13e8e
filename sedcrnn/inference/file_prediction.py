"""What a network says of a file, second by second: as an object, as text, as JSON and as CSV."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedcrnn.runs.files import atomic, write_json


@dataclass(frozen=True, eq=False)
class Prediction:
    """The scenes of one file: (second, scene) probabilities of every head that could answer, of which `head` is chosen;
    `tracks` are `audio` and `video` with their lengths in seconds, as far as there are, and `absent` those that lack.
    """

    path: Path
    scenes: tuple[str, ...]
    head: str
    probabilities: Mapping[str, NDArray[np.float64]]
    tracks: Mapping[str, int]
    absent: tuple[str, ...] = ()

    @property
    def seconds(self) -> NDArray[np.int64]:
        """(second,) start of each window, in seconds from the start of the file."""
        return np.arange(len(self.probabilities[self.head]))

    @property
    def clip(self) -> dict[str, NDArray[np.float64]]:
        """(scene,) probabilities of the whole file per head: the mean of its windows', as in the evaluation."""
        return {head: values.mean(0) for head, values in self.probabilities.items()}

    def top(self, k: int = 3, second: int | None = None, head: str | None = None) -> list[tuple[str, float]]:
        """The k likeliest scenes with their probabilities, of the whole file or of a second, by the answering head or
        another."""
        head = head or self.head
        values = self.clip[head] if second is None else self.probabilities[head][second]
        return [(self.scenes[scene], float(values[scene])) for scene in np.argsort(-values, kind="stable")[:k]]


def table(prediction: Prediction, name: str, top: int) -> Iterator[str]:
    """Lines for the terminal: the answer for the whole file, a row per second, and one for the whole file."""
    [(scene, probability)] = prediction.top(1)
    seconds = len(prediction.seconds)
    yield f"{name}: {scene}, probability {probability:.2f} (mean over {seconds} s, {prediction.head} head)"
    yield from notes(prediction)
    width = max(map(len, prediction.scenes))

    def row(label: str, scenes: Iterable[tuple[str, float]]) -> str:
        return f"{label:>7}  " + "  ".join(f"{scene:{width}} {probability:.3f}" for scene, probability in scenes)

    yield f"{'second':>7}  likeliest scenes"
    for second in range(seconds):
        yield row(str(second), prediction.top(top, second))
    yield row("all", prediction.top(top))


def notes(prediction: Prediction) -> Iterator[str]:
    """Sentences on the tracks that the answers rest on, where that is not the whole file."""
    for track in prediction.absent:
        yield f"The file has no {track}: the {prediction.head} head answers without it."
    if len(set(prediction.tracks.values())) > 1:
        lengths = " and ".join(f"{seconds} s of {track}" for track, seconds in prediction.tracks.items())
        yield f"The file has {lengths}: only the seconds that have both are predicted."


def write_predictions_json(path: Path, predictions: Sequence[Prediction], scenes: Sequence[str], **about: Any) -> None:
    """Write all probabilities of all heads, with the scenes and whatever else describes them."""
    from sedcrnn.evaluation.predictions import (
        AGGREGATOR,
    )  # here, because it takes torch, which mistakes do not wait for

    files = [
        {
            "path": str(one.path),
            "head": one.head,
            "tracks": dict(one.tracks),
            "clip": {head: dict(zip(scenes, values.tolist(), strict=True)) for head, values in one.clip.items()},
            "seconds": one.seconds.tolist(),
            "probabilities": {head: values.tolist() for head, values in one.probabilities.items()},
        }
        for one in predictions
    ]
    write_json(path, {**about, "scenes": list(scenes), "aggregator": AGGREGATOR, "files": files})


def write_predictions_csv(path: Path, predictions: Sequence[Prediction], scenes: Sequence[str]) -> None:
    """Write one row per file, head and second: file, second, head, and the probability of every scene."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "second", "head", *scenes])
        for prediction in predictions:
            for head, values in prediction.probabilities.items():
                for second, row in enumerate(values.tolist()):
                    writer.writerow([prediction.path, second, head, *(f"{probability:.6g}" for probability in row)])

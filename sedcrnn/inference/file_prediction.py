"""What a network says of a file, second by second: as an object, as words, as a table, as JSON and as CSV."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedcrnn.datasets.clips import NO_SCENE
from sedcrnn.inference.modality_shares import guessed, modality_shares
from sedcrnn.runs.csv_cells import to_cell
from sedcrnn.runs.files import atomic, write_json

TRACKS = ("audio", "video")
SURE, LIKELY = 0.9, 0.6
"""Calibrated probabilities from which on an answer is called sure, and likely; below, it is called unsure."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """The scenes of one file: (second, scene) probabilities of every head that could answer, of which `head` is chosen;
    `tracks` are `audio` and `video` with their lengths in seconds, as far as there are, and `absent` those that lack.
    `temperatures` are those of the heads whose probabilities are calibrated; of the others they are the network's own.
    `alone` are, where reasons were asked for, (second, scene) probabilities of the answer to one track, as if the file
    had no other. `thresholds` are those of the heads in multi-label data, by scene, for these probabilities: a second
    has all scenes that reach theirs, or none.
    """

    path: Path
    scenes: tuple[str, ...]
    head: str
    probabilities: Mapping[str, NDArray[np.float64]]
    tracks: Mapping[str, int]
    absent: tuple[str, ...] = ()
    temperatures: Mapping[str, float] = field(default_factory=dict)
    alone: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    thresholds: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def guess(self) -> float:
        """The probability of every scene to which nothing speaks."""
        return guessed(len(self.scenes), multi_label=bool(self.thresholds))

    @property
    def calibrated(self) -> bool:
        """Whether the answering head's probabilities are calibrated."""
        return self.head in self.temperatures

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

    def answers(self, second: int | None = None, head: str | None = None) -> list[tuple[str, float]]:
        """The scenes of the whole file or of a second with their probabilities, the likeliest first: one, or, in
        multi-label data, all that reach their thresholds."""
        if not self.thresholds:
            return self.top(1, second, head)
        bounds = dict(zip(self.scenes, self.thresholds[head or self.head], strict=True))
        found = self.top(len(self.scenes), second, head)
        return [(scene, value) for scene, value in found if value >= bounds[scene]]

    def shares(self, scene: str | None = None) -> dict[str, NDArray[np.float64]]:
        """Track -> (second,) its share in a scene's probability, None: in that of the answer for the whole file; see
        `modality_shares`. Their means are the shares in the whole file. Empty where reasons were not asked for."""
        number = self.scenes.index(scene or self.top(1)[0][0])
        alone = {track: values[:, number] for track, values in self.alone.items()}
        return modality_shares(self.probabilities[self.head][:, number], alone, self.guess) if alone else {}


def scene_in_words(scene: str) -> str:
    """The name of a scene as people read it."""
    return scene.replace("_", " ")


def certainty(probability: float) -> str:
    """How sure a calibrated probability is, in a word: sure, likely or unsure; the bounds are `SURE` and `LIKELY`."""
    return "sure" if probability >= SURE else "likely" if probability >= LIKELY else "unsure"


def summary(prediction: Prediction) -> str:
    """The answer for the whole file in a line: `street traffic (0.93, sure), 10 s`, or, where it is not, `unsure: metro
    0.41 or tram 0.38, 10 s`; in multi-label data all scenes, `tram 0.93 + crowd 0.71, 10 s`. Only calibrated
    probabilities have such a word; others are said to be not calibrated."""
    likeliest = [(scene_in_words(scene), probability) for scene, probability in prediction.top(2)]
    (scene, probability), seconds = likeliest[0], f"{len(prediction.seconds)} s"
    if prediction.thresholds:
        raw = "" if prediction.calibrated else " (not calibrated)"
        answers = " + ".join(f"{scene_in_words(one)} {value:.2f}" for one, value in prediction.answers())
        return f"{answers or f'{NO_SCENE}, {scene} {probability:.2f} at most'}{raw}, {seconds}"
    if not prediction.calibrated:
        return f"{scene} ({probability:.2f}, not calibrated), {seconds}"
    if (word := certainty(probability)) != "unsure":
        return f"{scene} ({probability:.2f}, {word}), {seconds}"
    return f"unsure: {' or '.join(f'{one} {value:.2f}' for one, value in likeliest)}, {seconds}"


def overview(names: Sequence[str], predictions: Sequence[Prediction]) -> Iterator[str]:
    """Lines that close the tables of several files: each file's name with its summary."""
    width = max(map(len, names))
    yield f"The answers for {len(names)} files:"
    for name, prediction in zip(names, predictions, strict=True):
        yield f"  {name:{width}}  {summary(prediction)}"


def table(prediction: Prediction, name: str, top: int) -> Iterator[str]:
    """Lines for the terminal: the answer for the whole file, a row per second, and one for the whole file."""
    yield f"{name}: {summary(prediction)}"
    temperature = prediction.temperatures.get(prediction.head)
    kind = "raw probabilities" if temperature is None else f"calibrated probabilities (temperature {temperature:.2f})"
    yield f"Answer of the {prediction.head} head: {kind}, for the whole file the mean over its seconds."
    yield from notes(prediction)
    shares = prediction.shares()
    if shares:
        yield reasons_in_words(prediction)
    if prediction.thresholds:
        listed = zip(prediction.scenes, prediction.thresholds[prediction.head], strict=True)
        bounds = ", ".join(f"{scene_in_words(scene)} {bound:.2f}" for scene, bound in listed)
        yield f"A second has every scene that reaches its threshold: {bounds}."
    width = max(map(len, prediction.scenes))

    def shown(second: int | None = None) -> list[tuple[str, float]]:
        return prediction.answers(second) if prediction.thresholds else prediction.top(top, second)

    def row(label: str, scenes: Iterable[tuple[str, float]], parts: Mapping[str, Any]) -> str:
        cells = [f"{scene_in_words(scene):{width}} {probability:.3f}" for scene, probability in scenes]
        return f"{label:>7}  " + "  ".join(
            [*(cells or [NO_SCENE]), *(f"{track} {share:+.3f}" for track, share in parts.items())]
        )

    yield f"{'second':>7}  {'scenes' if prediction.thresholds else 'likeliest scenes'}"
    for second in range(len(prediction.seconds)):
        yield row(str(second), shown(second), {track: values[second] for track, values in shares.items()})
    yield row("all", shown(), {track: values.mean() for track, values in shares.items()})


def notes(prediction: Prediction) -> Iterator[str]:
    """Sentences on the tracks that the answers rest on, where that is not the whole file."""
    for track in prediction.absent:
        yield f"The file has no {track}: the {prediction.head} head answers without it."
    if len(set(prediction.tracks.values())) > 1:
        lengths = " and ".join(f"{seconds} s of {track}" for track, seconds in prediction.tracks.items())
        yield f"The file has {lengths}: only the seconds that have both are predicted."


def reasons_in_words(prediction: Prediction) -> str:
    """Which track decided for the answer to the whole file, with the tracks' shares in its probability."""
    scene, probability = prediction.top(1)[0]
    shares = {track: values.mean() for track, values in prediction.shares().items()}
    guess = prediction.guess
    sum_of = " ".join(f"{'+' if share >= 0 else '-'} {abs(share):.2f} {track}" for track, share in shares.items())
    first, *others = sorted(shares, key=lambda track: -shares[track])
    decided = f"The {first} decided" if shares[first] > 0 else "Nothing in the file speaks"
    if others and shares[others[0]] > shares[first] / 2:
        decided = "Audio and video decided together"
    return f"{decided} for {scene_in_words(scene)}: {probability:.2f} = {guess:.2f} guessed {sum_of}."


def write_predictions_json(path: Path, predictions: Sequence[Prediction], scenes: Sequence[str], **about: Any) -> None:
    """Write all probabilities of all heads, with the scenes and whatever else describes them."""
    from sedcrnn.evaluation.predictions import (
        AGGREGATOR,
    )  # here, because it takes torch, which mistakes do not wait for

    files = [
        {
            "path": str(one.path),
            "head": one.head,
            "calibrated": one.calibrated,
            "tracks": dict(one.tracks),
            "clip": {head: dict(zip(scenes, values.tolist(), strict=True)) for head, values in one.clip.items()},
            "seconds": one.seconds.tolist(),
            "probabilities": {head: values.tolist() for head, values in one.probabilities.items()},
        }
        | ({"reasons": _reasons(one)} if one.alone else {})
        | ({"thresholds": _thresholds(one), "answers": _answers(one)} if one.thresholds else {})
        for one in predictions
    ]
    write_json(path, {**about, "scenes": list(scenes), "aggregator": AGGREGATOR, "files": files})


def _reasons(prediction: Prediction) -> dict[str, Any]:
    shares = {track: values.tolist() for track, values in prediction.shares().items()}
    return {"scene": prediction.top(1)[0][0], "guessed": prediction.guess, "shares": shares}


def _thresholds(prediction: Prediction) -> dict[str, dict[str, float]]:
    """Of every head, by scene."""
    return {head: dict(zip(prediction.scenes, bounds, strict=True)) for head, bounds in prediction.thresholds.items()}


def _answers(prediction: Prediction) -> dict[str, list[Any]]:
    """The scenes of the file and of each second, by the answering head."""
    seconds = [[scene for scene, _ in prediction.answers(second)] for second in range(len(prediction.seconds))]
    return {"clip": [scene for scene, _ in prediction.answers()], "seconds": seconds}


def write_predictions_csv(path: Path, predictions: Sequence[Prediction], scenes: Sequence[str]) -> None:
    """Write one row per file, head and second: file, second, head, the temperature of the head's probabilities (1: the
    network's own), and the probability of every scene; in multi-label data, the scenes that reach their thresholds, as
    a JSON list; with reasons, in rows of the answering head, the scene of the whole file and the tracks' shares in its
    probability; names as `csv_cells` has them, with the bytes that they have on the disk."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        reasons = ["reasons_for", "audio_share", "video_share"] if any(one.alone for one in predictions) else []
        answers = ["answers"] if any(one.thresholds for one in predictions) else []
        writer.writerow(["file", "second", "head", "temperature", *map(to_cell, scenes), *answers, *reasons])
        for prediction in predictions:
            shares = prediction.shares()
            for head, values in prediction.probabilities.items():
                temperature = f"{prediction.temperatures.get(head, 1):.6g}"
                for second, row in enumerate(values.tolist()):
                    numbers = (f"{probability:.6g}" for probability in row)
                    row = [to_cell(str(prediction.path)), second, to_cell(head), temperature, *numbers]
                    if answers:
                        row.append(json.dumps([scene for scene, _ in prediction.answers(second, head)]))
                    if reasons and head == prediction.head:
                        row.append(to_cell(prediction.top(1)[0][0]))
                        row += [f"{shares[track][second]:.6g}" if track in shares else "" for track in TRACKS]
                    writer.writerow(row + [""] * (4 + len(scenes) + len(answers) + len(reasons) - len(row)))

"""The best checkpoint on the validation fold -> confusion matrix, scores by scene, example clips -> the run's loggers.

The validation fold alone: what is looked at during development must not be the test fold.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from sedcrnn.datasets.clips import NO_SCENE, Clip
from sedcrnn.datasets.datamodule import SceneDataModule
from sedcrnn.datasets.window_dataset import read_values, window_loader
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, ConsecutiveWindows, Window
from sedcrnn.evaluation.predictions import Predictions, predict
from sedcrnn.evaluation.result_names import ACCURACY, F1, LOG_LOSS, PRECISION
from sedcrnn.evaluation.scores import example_losses, score
from sedcrnn.evaluation.thresholds import choose_thresholds
from sedcrnn.features.audio_file import open_audio
from sedcrnn.features.feature import STEPS_PER_SECOND
from sedcrnn.features.frames import Frames
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.features.video_track import aspect_ratio
from sedcrnn.plotting.input_figure import FrameStrip, draw_inputs
from sedcrnn.plotting.network_inputs import beginning, spectrogram_panels
from sedcrnn.runs.checkpoints import BEST, Checkpoint, read_checkpoint

# Of the table of class-wise scores.
COLUMNS = ("head", "scene", ACCURACY, LOG_LOSS, "examples")
LABEL_COLUMNS = ("head", "scene", PRECISION, LOG_LOSS, F1, "examples")  # in multi-label data


class Example(NamedTuple):
    """One window of the validation fold: what it is and the prediction, its inputs as the network got them, and its
    audio as recorded, (sample, 2) in [-1, 1], where the network takes audio.
    """

    caption: str
    figure: Figure
    audio: NDArray[np.floating] | None
    sample_rate: int


@dataclass(frozen=True, kw_only=True)
class Showcase:
    """The best checkpoint on the windows of the validation fold.

    Attributes:
        epoch: the last one of the training.
        scenes: label order.
        true: class indices of the windows; empty in multi-label data, which have no confusion of two scenes.
        predicted: class indices that the network's answer gives them.
        reports: head -> `SceneScores.report`, in the network's order; the last is the answer's.
        examples: of every scene, the window of the least and of the greatest log loss.
    """

    epoch: int
    scenes: tuple[str, ...]
    true: list[int]
    predicted: list[int]
    reports: dict[str, dict[str, Any]]
    examples: list[Example]

    @property
    def answer(self) -> dict[str, Any]:
        """The report of the network's answer."""
        return list(self.reports.values())[-1]

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the class-wise table."""
        return COLUMNS if self.true else LABEL_COLUMNS

    def class_wise(self) -> list[list[Any]]:
        """Rows of `columns`: every head's scores for every scene."""
        return [
            [head, scene, *scores.values()]
            for head, report in self.reports.items()
            for scene, scores in report["class_wise"].items()
        ]

    def scores(self) -> dict[str, float]:
        """The answer's scores by name, and its accuracy or average precision for every scene, as `accuracy/<scene>`."""
        means = {name: value for name, value in self.answer.items() if isinstance(value, float)}
        own = self.columns[2]
        scenes = {f"{own}/{name}": scores[own] for name, scores in self.answer["class_wise"].items()}
        return means | {name: value for name, value in scenes.items() if value is not None}


class ShowValidation(Callback):
    """At the end of a training, shows the validation fold to every logger that has a `show`; `predictions` are then
    those of the best checkpoint."""

    predictions: Predictions | None = None

    def on_fit_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Predict with the best checkpoint, on rank 0 alone."""
        shows = [logger.show for logger in trainer.loggers if hasattr(logger, "show")]
        if not shows or not trainer.is_global_zero:
            return
        data: SceneDataModule = trainer.datamodule  # type: ignore[attr-defined]
        checkpoint = read_checkpoint(Path(trainer.default_root_dir) / BEST)
        self.predictions = predict_validation(checkpoint, data, str(trainer.strategy.root_device))
        showcase = make_showcase(checkpoint, self.predictions, data, trainer.current_epoch - 1)
        for show in shows:
            show(showcase)


def predict_validation(checkpoint: Checkpoint, data: SceneDataModule, device: str) -> Predictions:
    """What a checkpoint answers for all windows of the validation fold."""
    dataset = data.dataset("validation")
    loader = window_loader(dataset, ConsecutiveWindows(dataset.steps, 32), num_workers=0)
    return predict(checkpoint.build(), loader, device)


def make_showcase(checkpoint: Checkpoint, found: Predictions, data: SceneDataModule, epoch: int) -> Showcase:
    """Score what a checkpoint answers for the validation fold, and choose the examples."""
    scenes = checkpoint.scenes
    answer = list(found.log_probabilities.values())[-1]
    thresholds = {
        head: torch.tensor(choose_thresholds(values, found.scene), dtype=torch.float64) if found.multi_label else None
        for head, values in found.log_probabilities.items()
    }
    bounds = list(thresholds.values())[-1]
    examples = []
    for index in _extremes(example_losses(answer, found.scene), found.scene):
        clip, second = data.folds.validation[found.clip[index]], int(found.window[index])
        predicted = _answer(answer[index].exp(), scenes, bounds)
        caption = f"{clip.id}, second {second}: {clip.label}, predicted {predicted}"
        examples.append(_example(data, clip, second, caption))
    return Showcase(
        epoch=epoch,
        scenes=scenes,
        true=[] if found.multi_label else found.scene.tolist(),
        predicted=[] if found.multi_label else answer.argmax(-1).tolist(),
        reports={
            head: score(values, found.scene, thresholds[head]).report(scenes)
            for head, values in found.log_probabilities.items()
        },
        examples=examples,
    )


def _answer(probabilities: Tensor, scenes: Sequence[str], thresholds: Tensor | None) -> str:
    """The likeliest scene, or all from their thresholds on, with their probabilities."""
    chosen = probabilities >= (probabilities.max() if thresholds is None else thresholds)
    numbers = chosen.nonzero().flatten().tolist()[: 1 if thresholds is None else None]
    return " + ".join(f"{scenes[number]} ({probabilities[number]:.2f})" for number in numbers) or NO_SCENE


def _extremes(losses: Tensor, scene: Tensor) -> Iterator[int]:
    """Indices of the windows of the least and of the greatest loss of every scene that occurs."""
    occurring = scene.any(0).nonzero().flatten().tolist() if scene.ndim == 2 else sorted(set(scene.tolist()))
    for one in occurring:
        own = torch.nonzero(scene[:, one] if scene.ndim == 2 else scene == one).flatten()
        order = own[losses[own].argsort(stable=True)]
        yield from dict.fromkeys((int(order[0]), int(order[-1])))


def _example(data: SceneDataModule, clip: Clip, second: int, caption: str) -> Example:
    step = second * STEPS_PER_SECOND
    panels = strip = audio = None
    sample_rate = 0
    for name, feature in data.features.items():
        if data.incomplete.lacks(name, clip):
            continue
        if isinstance(feature, Spectrogram):
            panels = spectrogram_panels(feature, read_values(feature, clip, data.store), [Window(0, step)])
        if isinstance(feature, Frames):
            frames = read_values(feature, clip, data.store, step, STEPS_PER_WINDOW)
            strip = FrameStrip(frames=frames, aspect_ratio=aspect_ratio(clip.video))
        if feature.track == "audio":
            with open_audio(clip.audio) as file:
                sample_rate = file.sample_rate
                samples = beginning((block.T for block in file.blocks()), (second + 1) * sample_rate)
                audio = samples[second * sample_rate :].clip(-1, 1)
    return Example(caption, draw_inputs(caption, second, second + 1, panels, strip), audio, sample_rate)

"""The best checkpoint on the validation fold -> confusion matrix, class-wise scores, example clips -> the run's logger.

The validation fold alone: what is looked at during development must not be the test fold.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.datamodule import SceneDataModule
from sedcrnn.datasets.window_dataset import read_frames, window_loader
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, ConsecutiveWindows, Window
from sedcrnn.evaluation.metrics import ACCURACY, LOG_LOSS, log_losses, score
from sedcrnn.evaluation.predictions import Predictions, predict
from sedcrnn.features.audio_file import open_sound
from sedcrnn.features.feature import STEPS_PER_SECOND
from sedcrnn.features.video_track import aspect_ratio
from sedcrnn.plotting.input_figure import FrameStrip, SoundPanels, draw_inputs
from sedcrnn.plotting.network_inputs import beginning, see_sound
from sedcrnn.runs.checkpoints import load_checkpoint

# Names under which loggers keep it.
CONFUSION, CLASS_WISE = "validation/confusion", "validation/class_wise"
EXAMPLES_SEEN, EXAMPLES_HEARD = "validation/examples/seen", "validation/examples/heard"
BEST_SCORES = "best"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One window of the validation fold, as the network got it, and what the network made of it.

    Attributes:
        clip: id of its clip.
        second: of the clip, at which it starts.
        scene: the true one.
        predicted: the likeliest one.
        probability: of the predicted scene.
        panels: its spectrograms, where the network takes sound.
        strip: its frames, where the network takes them.
        sound: (sample, 2) left and right in [-1, 1] as recorded, where the network takes sound.
        sample_rate: of `sound`, in Hz.
    """

    clip: str
    second: int
    scene: str
    predicted: str
    probability: float
    panels: SoundPanels | None
    strip: FrameStrip | None
    sound: NDArray[np.floating] | None
    sample_rate: int

    @property
    def caption(self) -> str:
        """Which window it is, its scene, and the prediction."""
        return f"{self.clip}, second {self.second}: {self.scene}, predicted {self.predicted} ({self.probability:.2f})"

    def draw(self) -> Figure:
        """What the network saw, on one time axis."""
        return draw_inputs(self.caption, self.second, self.second + 1, self.panels, self.strip)


@dataclass(frozen=True, kw_only=True)
class Showcase:
    """The best checkpoint on the windows of the validation fold.

    Attributes:
        epoch: the last one of the training.
        scenes: label order.
        true: class indices of the windows.
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

    columns = ("head", "scene", ACCURACY, LOG_LOSS, "examples")

    @property
    def answer(self) -> dict[str, Any]:
        """The report of the network's answer."""
        return list(self.reports.values())[-1]

    def class_wise(self) -> list[list[Any]]:
        """Rows of `columns`: every head's scores for every scene."""
        return [
            [head, scene, *scores.values()]
            for head, report in self.reports.items()
            for scene, scores in report["class_wise"].items()
        ]

    def scores(self) -> dict[str, float]:
        """The answer's scores by name, and its accuracy for every scene as `accuracy/<scene>`."""
        means = {name: value for name, value in self.answer.items() if isinstance(value, float)}
        scenes = {f"{ACCURACY}/{name}": scores[ACCURACY] for name, scores in self.answer["class_wise"].items()}
        return means | {name: value for name, value in scenes.items() if value is not None}


class ShowValidation(Callback):
    """At the end of a training, shows the validation fold to every logger that has a `show`."""

    def on_fit_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Predict with the best checkpoint, on the first process alone."""
        shows = [logger.show for logger in trainer.loggers if hasattr(logger, "show")]
        if not shows or not trainer.is_global_zero:
            return
        data: SceneDataModule = trainer.datamodule  # type: ignore[attr-defined]
        device = str(trainer.strategy.root_device)
        showcase = make_showcase(Path(trainer.default_root_dir), data, trainer.current_epoch - 1, device)
        for show in shows:
            show(showcase)


def make_showcase(run: Path, data: SceneDataModule, epoch: int, device: str = "cpu") -> Showcase:
    """Predict all windows of the validation fold with the best checkpoint of a run, and choose the examples."""
    dataset = data.dataset("validation")
    checkpoint = load_checkpoint(str(run))
    network, scenes = checkpoint.build(), checkpoint.scenes
    predictions = predict(network, window_loader(dataset, ConsecutiveWindows(dataset.steps, 32), workers=0), device)
    reports = {
        head: score(log_probabilities, predictions.scene).report(scenes)
        for head, log_probabilities in predictions.log_probabilities.items()
    }
    answer = predictions.log_probabilities[network.head_names[-1]]
    return Showcase(
        epoch=epoch,
        scenes=scenes,
        true=predictions.scene.tolist(),
        predicted=answer.argmax(-1).tolist(),
        reports=reports,
        examples=[
            _example(data, scenes, predictions, answer, index)
            for index in _extremes(log_losses(answer, predictions.scene), predictions.scene)
        ],
    )


def _extremes(losses: Tensor, scene: Tensor) -> Iterator[int]:
    """Indices of the windows of the least and of the greatest loss of every scene that there is."""
    for one in sorted(set(scene.tolist())):
        own = torch.nonzero(scene == one).flatten()
        order = own[losses[own].argsort(stable=True)]
        yield from dict.fromkeys((int(order[0]), int(order[-1])))


def _example(
    data: SceneDataModule, scenes: tuple[str, ...], predictions: Predictions, answer: Tensor, index: int
) -> Example:
    place, second = int(predictions.clip[index]), int(predictions.window[index])
    clip, step = data.folds.validation[place], second * STEPS_PER_SECOND
    panels = strip = sound = None
    sample_rate = 0
    if "spectrogram" in data.features:
        feature: Any = data.features["spectrogram"]
        panels = see_sound(feature, data.store.read(clip.audio, feature), [Window(place, step)])
        sound, sample_rate = read_second(clip, second)
    if "frames" in data.features:
        frames = read_frames(data.features["frames"], clip, data.store)[step : step + STEPS_PER_WINDOW]
        strip = FrameStrip(frames=frames.permute(0, 2, 3, 1).numpy(), aspect_ratio=aspect_ratio(clip.video))
    likeliest = int(answer[index].argmax())
    return Example(
        clip=clip.id,
        second=second,
        scene=clip.scene,
        predicted=scenes[likeliest],
        probability=float(answer[index, likeliest].exp()),
        panels=panels,
        strip=strip,
        sound=sound,
        sample_rate=sample_rate,
    )


def read_second(clip: Clip, second: int) -> tuple[NDArray[np.floating], int]:
    """One second of a clip's sound: (sample, 2) in [-1, 1], and its sample rate in Hz."""
    with open_sound(clip.audio) as sound:
        rate = sound.sample_rate
        pieces = (block.T for block in sound.blocks())
        return beginning(pieces, (second + 1) * rate)[second * rate :].clip(-1, 1), rate

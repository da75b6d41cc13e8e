"""What networks answer, as figures: the scenes of a file over time, and the confusion matrix of many windows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sedcrnn.inference.file_prediction import Prediction
from sedcrnn.runs.files import atomic


def write_timeline(path: Path, prediction: Prediction, title: str, heads: Sequence[str] = ()) -> None:
    """Draw the probability of every scene in every second, with the whole file's at the right, for some heads one above
    the other (none: the one that answers); the suffix of `path` is the format.
    """
    heads = heads or [prediction.head]
    scenes, seconds = len(prediction.scenes), len(prediction.seconds)
    row = 0.3 if len(heads) == 1 else 0.22  # inches
    figure = Figure(figsize=(9, 0.8 + (0.6 + row * scenes) * len(heads)), layout="constrained")
    panels = figure.subplots(len(heads), sharex=True, squeeze=False)[:, 0]
    for axes, head in zip(panels, heads, strict=True):
        image = _draw_head(axes, prediction, head)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if seconds >= 120:
        clock = FuncFormatter(lambda second, _: f"{int(second) // 60}:{int(second) % 60:02}")
        axes.xaxis.set_major_formatter(clock)
    axes.set_xlabel("time, min:s" if seconds >= 120 else "time, s")
    panels[0].set_title(f"{title}: {panels[0].get_title()} (line: the likeliest scene)")
    figure.colorbar(image, ax=panels, label="probability", aspect=20 * len(heads))
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _draw_head(axes: Axes, prediction: Prediction, head: str) -> AxesImage:
    probabilities = prediction.probabilities[head]
    seconds, scenes = probabilities.shape
    image = axes.imshow(
        probabilities.T,
        aspect="auto",
        interpolation="nearest",
        extent=(0, seconds, scenes - 0.5, -0.5),
        vmin=0,
        vmax=1,
        cmap="Blues",
    )
    axes.stairs(probabilities.argmax(1), np.arange(seconds + 1), baseline=None, color="tab:orange", linewidth=1.5)
    axes.set_yticks(range(scenes), prediction.scenes)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(scenes), [f"{value:.2f}" for value in prediction.clip[head]])
    right.set_ylabel("whole file")
    axes.set_title(f"{head} head")
    return image


def confusion_figure(confusion: Any, scenes: Sequence[str]) -> Figure:
    """Draw a confusion matrix: (true scene, predicted scene) counts, as percentages of each true scene."""
    counts = np.asarray(confusion)
    percent = 100 * counts / counts.sum(1, keepdims=True).clip(min=1)
    side = 1.3 + 0.34 * len(scenes)
    figure = Figure((side, side), layout="constrained")
    axis = figure.add_subplot()
    axis.imshow(np.ma.masked_where(counts == 0, percent), cmap="Blues", vmin=0, vmax=100)  # nothing where there is none
    for (true, predicted), value in np.ndenumerate(percent):
        if counts[true, predicted]:
            colour = "white" if value > 55 else "0.1"
            axis.text(predicted, true, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=8)
    names = [scene.replace("_", " ") for scene in scenes]
    axis.set_xticks(range(len(scenes)), names, rotation=90)
    axis.set_yticks(range(len(scenes)), names)
    axis.set(xlabel="predicted", ylabel="true")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return figure

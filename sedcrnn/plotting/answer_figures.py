"""What networks answer, as figures: the scenes of a file over time, and the confusion matrix of many windows."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sedcrnn.inference.file_prediction import Prediction, scene_in_words, summary
from sedcrnn.plotting.reason_figures import draw_shares
from sedcrnn.runs.files import atomic


def write_timeline(path: Path, prediction: Prediction, name: str) -> None:
    """Write `timeline_figure` to a file whose suffix is the format."""
    figure = timeline_figure(prediction, name)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=120)


def timeline_figure(prediction: Prediction, name: str) -> Figure:
    """Draw the answering head's probability of every scene in every second, with the whole file's at the right, under
    the file's name and the answer in a line. With reasons, the tracks' shares in the answer are drawn below.
    """
    probabilities = prediction.probabilities[prediction.head]
    seconds, scenes = probabilities.shape
    shares = prediction.shares()
    heights = [1.6 + 0.3 * scenes, *([1.1] if shares else [])]  # inches
    figure = Figure(figsize=(9, sum(heights)), layout="constrained")
    axes, *below = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    image = axes.imshow(
        probabilities.T,
        aspect="auto",
        interpolation="nearest",
        extent=(0, seconds, scenes - 0.5, -0.5),
        vmin=0,
        vmax=1,
        cmap="Blues",
    )
    if prediction.thresholds:  # a line under every scene where it is there
        answered = probabilities >= np.array(prediction.thresholds[prediction.head])
        for scene, there in enumerate(answered.T):
            rows = np.where(there, scene + 0.4, np.nan)
            axes.stairs(rows, np.arange(seconds + 1), baseline=None, color="tab:orange", linewidth=2.5)
    else:
        axes.stairs(probabilities.argmax(1), np.arange(seconds + 1), baseline=None, color="tab:orange", linewidth=1.5)
    axes.set_yticks(range(scenes), [scene_in_words(scene) for scene in prediction.scenes])
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(scenes), [f"{value:.2f}" for value in prediction.clip[prediction.head]])
    right.set_ylabel("whole file")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if seconds >= 120:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda second, _: f"{int(second) // 60}:{int(second) % 60:02}"))
    for panel in below:
        draw_shares(panel, shares, prediction.top(1)[0][0])
    lines = "lines: scenes that reach their thresholds" if prediction.thresholds else "line: the likeliest scene"
    (below or [axes])[-1].set_xlabel(f"time, {'min:s' if seconds >= 120 else 's'} ({lines})")
    figure.suptitle(wrapped(name), x=0.01, ha="left", parse_math=False, weight="bold")
    axes.set_title(wrapped(summary(prediction)), loc="left", parse_math=False, fontsize="medium")
    figure.colorbar(image, ax=axes, label=f"probability, {prediction.head} head")
    return figure


def wrapped(text: str) -> str:
    """Lines of a title that the figure is wide enough for."""
    return fill(text, 85)


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
    names = [scene_in_words(scene) for scene in scenes]
    axis.set_xticks(range(len(scenes)), names, rotation=90)
    axis.set_yticks(range(len(scenes)), names)
    axis.set(xlabel="predicted", ylabel="true")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return figure

"""Prediction of a file -> a picture of the scenes' probabilities over time."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sedcrnn.files import atomic
from sedcrnn.inference.prediction import Prediction


def write_timeline(path: Path, prediction: Prediction, title: str) -> None:
    """Draw the probability of every scene in every second, with the whole file's at the right.

    Args:
        path: of the picture; its suffix is the format: `.png`, `.pdf` or `.svg`.
        prediction: of a file; the head that answers is drawn.
        title: above the picture.
    """
    probabilities, clip = prediction.probabilities[prediction.head], prediction.clip[prediction.head]
    seconds, scenes = probabilities.shape
    figure = Figure(figsize=(9, 1.4 + 0.3 * scenes), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(
        probabilities.T,
        aspect="auto",
        interpolation="nearest",
        extent=(0, seconds, scenes - 0.5, -0.5),
        vmin=0,
        vmax=1,
        cmap="Blues",
    )
    likeliest = probabilities.argmax(1)
    axes.step(np.arange(seconds + 1), [*likeliest, likeliest[-1]], where="post", color="tab:orange", linewidth=1.5)
    axes.set_yticks(range(scenes), prediction.scenes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda second, _: _clock(second) if seconds >= 120 else f"{second:g}"))
    axes.set_xlabel("time, min:s" if seconds >= 120 else "time, s")
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(scenes), [f"{value:.2f}" for value in clip])
    right.set_ylabel("whole file")
    axes.set_title(f"{title}: {prediction.head} head (line: the likeliest scene)")
    figure.colorbar(image, ax=axes, label="probability")
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _clock(second: float) -> str:
    return f"{int(second) // 60}:{int(second) % 60:02}"

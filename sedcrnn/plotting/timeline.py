"""Prediction of a file -> a picture of the scenes' probabilities over time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sedcrnn.inference.file_prediction import Prediction
from sedcrnn.runs.files import atomic


def write_timeline(path: Path, prediction: Prediction, title: str, heads: Sequence[str] | None = None) -> None:
    """Draw the probability of every scene in every second, with the whole file's at the right.

    Args:
        path: of the picture; its suffix is the format: `.png`, `.pdf` or `.svg`.
        prediction: of a file.
        title: above the picture.
        heads: that are drawn, one above the other; None: the one that answers.
    """
    heads = heads or [prediction.head]
    scenes, seconds = len(prediction.scenes), len(prediction.seconds)
    row = 0.3 if len(heads) == 1 else 0.22  # inches
    figure = Figure(figsize=(9, 0.8 + (0.6 + row * scenes) * len(heads)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(heads), sharex=True, squeeze=False)[:, 0]
    for axes, head in zip(panels, heads, strict=True):
        image = _draw_head(axes, prediction, head)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda second, _: _clock(second) if seconds >= 120 else f"{second:g}"))
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
    likeliest = probabilities.argmax(1)
    axes.step(np.arange(seconds + 1), [*likeliest, likeliest[-1]], where="post", color="tab:orange", linewidth=1.5)
    axes.set_yticks(range(scenes), prediction.scenes)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(scenes), [f"{value:.2f}" for value in prediction.clip[head]])
    right.set_ylabel("whole file")
    axes.set_title(f"{head} head")
    return image


def _clock(second: float) -> str:
    return f"{int(second) // 60}:{int(second) % 60:02}"

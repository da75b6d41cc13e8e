"""Why a network answers as it does, as figures: the tracks' shares over time, and heat maps over what it got."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sedcrnn.errors import visible
from sedcrnn.features.feature import STEPS_PER_SECOND
from sedcrnn.inference.file_prediction import reasons_in_words, scene_in_words
from sedcrnn.runs.files import atomic

if TYPE_CHECKING:  # it takes torch, which reports do without
    from sedcrnn.inference.reasons import Explanation

COLOURS = {"audio": "tab:blue", "video": "tab:green"}
MIDDLE = STEPS_PER_SECOND // 2  # the frame that is shown of a second


def draw_shares(axes: Axes, shares: Mapping[str, NDArray[np.float64]], scene: str) -> None:
    """Draw what each track adds to a scene's probability, second by second: bars on each other, those that take
    something away below zero."""
    seconds = np.arange(len(next(iter(shares.values()))))
    above, below = np.zeros(len(seconds)), np.zeros(len(seconds))
    for track, values in shares.items():
        axes.bar(
            seconds, values, 1, np.where(values >= 0, above, below), align="edge", color=COLOURS[track], label=track
        )
        above, below = above + values.clip(min=0), below + values.clip(max=0)
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.set_ylabel(f"share in\n{scene_in_words(scene)}", fontsize="small", parse_math=False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small")


def write_heat_maps(path: Path, explanation: "Explanation", name: str) -> None:
    """Write `heat_map_figure` to a file whose suffix is the format."""
    figure = heat_map_figure(explanation, name)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=120)


def heat_map_figure(explanation: "Explanation", name: str) -> Figure:
    """Draw a column for each second that has heat maps: what the network got, and under it the same with what in it
    speaks for the scene. Of frames it is the middle one, of spectrograms the mean of the channels, lowest band below.
    """
    rows = [input for input in ("frames", "spectrogram") if input in explanation.heat]
    rows += [input for input in explanation.heat if input not in rows]
    seconds = explanation.seconds
    figure = Figure(figsize=(1.6 + 1.25 * max(len(seconds), 5), 1.0 + 2.7 * len(rows)), layout="constrained")  # inches
    grid = figure.subplots(2 * len(rows), len(seconds), squeeze=False)
    for number, second in enumerate(seconds):
        for row, input in enumerate(rows):
            picture, heat = _picture(explanation.inputs[input][number], explanation.heat[input][number])
            plain, covered = grid[2 * row, number], grid[2 * row + 1, number]
            plain.imshow(picture, cmap="gray", aspect="auto")
            covered.imshow(picture.mean(-1) if picture.ndim == 3 else picture, cmap="gray", aspect="auto")
            for axes in (plain, covered):
                axes.set(xticks=[], yticks=[])
            covered.imshow(heat, cmap="jet", vmin=0, vmax=1, alpha=0.5, aspect="auto")
            if number == 0:
                plain.set_ylabel(input, fontsize="small")
                covered.set_ylabel(f"for {scene_in_words(explanation.scene)}", fontsize="small", parse_math=False)
        parts = [f"{track} {values[second]:+.2f}" for track, values in explanation.shares.items()]
        grid[0, number].set_title("\n".join([f"second {second}", *parts]), fontsize="small")
    answered = explanation.prediction.top(1)[0][0] == explanation.scene
    words = reasons_in_words(explanation.prediction) if answered else f"For {scene_in_words(explanation.scene)}"
    title = "\n".join(fill(line, round(11 * figure.get_figwidth())) for line in (visible(name), words))
    figure.suptitle(title, x=0.01, ha="left", parse_math=False, fontsize="medium")
    return figure


def _picture(values: NDArray[Any], heat: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """One second of an input and its heat -> what is shown of both: (height, width, channel=3), or one channel."""
    if heat.ndim == 3:  # (time, height, width)
        return values[MIDDLE].transpose(1, 2, 0), heat[MIDDLE]
    return values.mean(0), heat

"""Rows -> figures as SVG: accuracy by scene, confusion matrices, reliability diagrams."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

from sedcrnn.reporting.calibration import Reliability, reliability
from sedcrnn.reporting.rows import Row, Table, mean_and_spread

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#9d755d")
"""Of the rows in a figure, in order; told apart without red and green alone."""

MOST = 3
"""Rows of a figure where a table has no single modalities and no reference."""

STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "sedcrnn",  # the same figure is the same file
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def drawn_rows(table: Table) -> list[Row]:
    """The rows that figures show: single modalities and the reference, as in the paper; otherwise the first few."""
    with_runs = [row for row in table.rows if row.runs]
    chosen = [row for row in with_runs if row in table.single_modality or row is table.reference]
    return chosen[: len(COLOURS)] or with_runs[:MOST]


def draw_classes(rows: Sequence[Row], scenes: Sequence[str]) -> str:
    """Bars of accuracy on windows, grouped by scene; mean over seeds, with whiskers of one standard deviation."""
    with matplotlib.rc_context(STYLE):
        figure = Figure((1.5 + 0.85 * len(scenes), 3.2), layout="constrained")
        axis = figure.add_subplot()
        width = 0.8 / len(rows)
        for number, row in enumerate(rows):
            runs = [run.levels["window"].class_wise for run in row.runs.values()]
            told = [mean_and_spread([100 * run[scene] for run in runs]) for scene in scenes]
            places = np.arange(len(scenes)) + width * (number - (len(rows) - 1) / 2)
            spread = [deviation or 0 for _, deviation in told] if len(runs) > 1 else None
            axis.bar(
                places,
                [middle for middle, _ in told],
                0.92 * width,
                yerr=spread,
                color=COLOURS[number],
                error_kw={"elinewidth": 0.8, "ecolor": "0.25"},
                label=row.label,
            )
        axis.set_xticks(range(len(scenes)), [scene.replace("_", "\n") for scene in scenes])
        axis.set(ylim=(0, 100), ylabel="accuracy %")
        axis.grid(axis="y", linewidth=0.4, color="0.85")
        axis.set_axisbelow(True)
        figure.legend(loc="outside upper left", ncols=len(rows), frameon=False)
        return _svg(figure)


def draw_confusion(row: Row, scenes: Sequence[str]) -> str:
    """The confusion matrix on windows, summed over seeds, each true scene in percent."""
    counts = np.sum([run.levels["window"].confusion for run in row.runs.values()], axis=0)
    percent = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    with matplotlib.rc_context(STYLE):
        side = 1.3 + 0.34 * len(scenes)
        figure = Figure((side, side), layout="constrained")
        axis = figure.add_subplot()
        axis.imshow(percent, cmap="Blues", vmin=0, vmax=100)
        for true, predicted in np.ndindex(percent.shape):
            if counts[true, predicted]:
                value = percent[true, predicted]
                colour = "white" if value > 55 else "black"
                axis.text(predicted, true, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=8)
        names = [scene.replace("_", " ") for scene in scenes]
        axis.set_xticks(range(len(scenes)), names, rotation=90)
        axis.set_yticks(range(len(scenes)), names)
        axis.set(xlabel="predicted", ylabel="true")
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        return _svg(figure)


def draw_reliability(row: Row) -> str:
    """Accuracy against confidence of all seeds' windows, before and after temperature scaling."""
    levels = [run.levels["window"] for run in row.runs.values()]
    scene = torch.cat([level.scene for level in levels])
    curves = {"as predicted": reliability(torch.cat([level.log_probabilities for level in levels]), scene)}
    after = [level.scaled for level in levels if level.scaled is not None]
    if len(after) == len(levels):
        curves["scaled"] = reliability(torch.cat(after), scene)
    with matplotlib.rc_context(STYLE):
        figure = Figure((3.5, 3.7), layout="constrained")
        axis, shares = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
        for number, (name, curve) in enumerate(curves.items()):
            _draw_curve(axis, shares, curve, COLOURS[number], f"{name}, ECE {curve.error:.3f}")
        axis.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8)
        shares.set(xlabel="probability of the likeliest scene", ylabel="share", ylim=(0, 1), yticks=(0, 1))
        return _svg(figure)


def _draw_curve(
    axis: matplotlib.axes.Axes, shares: matplotlib.axes.Axes, curve: Reliability, colour: str, label: str
) -> None:
    filled = curve.count > 0
    axis.plot(curve.confidence[filled], curve.accuracy[filled], "o-", color=colour, markersize=3, label=label)
    middles = (np.arange(len(curve.count)) + 0.5) / len(curve.count)
    shares.step(middles, curve.count / curve.count.sum(), where="mid", color=colour)


def _svg(figure: Figure) -> str:
    """The figure as the text of an SVG element, without date and addresses of its maker."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    return text[text.index("<svg") :]

"""Tables, rows and runs -> figures, as SVG that takes the page's text colour, so that it is read on light and dark."""

import io
import re
from collections.abc import Sequence
from statistics import mean
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

from sedcrnn.evaluation.result_names import MACRO_LOG_LOSS, MEAN_PRECISION
from sedcrnn.plotting.answer_figures import confusion_figure
from sedcrnn.reporting.collection import ReportedRun
from sedcrnn.reporting.grids import LABEL_SCORES, SCORES
from sedcrnn.reporting.scoring import SCALED_LOG_LOSS, reliability
from sedcrnn.reporting.tables import Row

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#9d755d")
"""Of the rows in a figure, in order; they can be distinguished without red and green."""

STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "sedcrnn",  # the same figure is the same file
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "text.parse_math": False,  # names may hold dollars
    "axes.spines.top": False,
    "axes.spines.right": False,
}


FAINT: Any = {"color": "0.5", "alpha": 0.3, "linewidth": 0.6}  # of grids, on light and dark


def styled() -> Any:
    """The context in which figures of the page are drawn."""
    return matplotlib.rc_context(STYLE)


def as_svg(figure: Figure) -> str:
    """A figure as an element of an HTML page, black as the text's colour and without what every figure repeats."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace("#000000", "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    return re.sub(r' (?:xmlns(?::xlink)?|version)="[^"]*"| id="[A-Za-z0-9]+_[0-9]+"', "", svg)


def draw_score(rows: Sequence[Row], score: str) -> Figure:
    """A score of each row on 1-s windows with its interval over locations, the last row marked as the answer. The log
    loss is shown raw and calibrated."""
    scale, digits, label = (SCORES | LABEL_SCORES)[score]
    figure = Figure((4.3, 0.75 + 0.42 * len(rows)), layout="constrained")
    axis = figure.add_subplot()
    # As wide as the bounds of the intervals and the calibrated values, with room for a figure.
    ends = [max([row.interval("window", score)[1], *row.values("window", SCALED_LOG_LOSS)]) for row in rows]
    widest = max(ends) if score == MACRO_LOG_LOSS else scale
    for place, row in enumerate(rows):
        value = scale * mean(row.values("window", score))
        low, high = (scale * bound for bound in row.interval("window", score))
        colour = COLOURS[1] if row is rows[-1] else COLOURS[0]
        axis.barh(place, value, 0.62, color=colour)
        axis.plot([low, high], [place, place], color="black", linewidth=1)
        after = row.values("window", SCALED_LOG_LOSS) if score == MACRO_LOG_LOSS else []
        if len(after) == len(row.runs):
            axis.plot(mean(after), place, "D", color=COLOURS[2], markeredgecolor="black", markersize=6)
            label = f"{SCORES[MACRO_LOG_LOSS][2]} (bar: raw, diamond: calibrated)"
        text = f"{value:.{digits}f}"
        axis.text(max(high, *after, value) + 0.02 * widest, place, text, va="center", fontweight="bold")
    axis.set_yticks(range(len(rows)), [row.label for row in rows])
    axis.tick_params(axis="y", length=0)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.18 * widest)
    axis.grid(axis="x", **FAINT)
    axis.set_axisbelow(True)
    axis.set_xlabel(label)
    return figure


def draw_curves(runs: Sequence[ReportedRun]) -> Figure | None:
    """Log loss and accuracy by epoch, of training and validation, a line per run; None where no run has them."""
    epochs = [one for run in runs if (one := run.epochs())]
    if not epochs:
        return None
    figure = Figure((3.5, 3.7), layout="constrained")
    scores = LABEL_SCORES if f"validation/{MEAN_PRECISION}" in epochs[0] else SCORES
    panels = figure.subplots(len(scores), 1, sharex=True)
    for axis, (score, (scale, _, label)) in zip(panels, reversed(scores.items()), strict=True):
        for fold, colour in (("train", COLOURS[0]), ("validation", COLOURS[1])):
            for number, one in enumerate(epochs):
                values = scale * np.array(one.get(f"{fold}/{score}", []))
                name = {} if number else {"label": {"train": "training"}.get(fold, fold)}
                axis.plot(np.arange(1, len(values) + 1), values, ".-", color=colour, lw=1, ms=3, clip_on=False, **name)
        axis.grid(**FAINT)
        axis.set(ylabel=label, ylim=(0, None if score == MACRO_LOG_LOSS else scale))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=2, frameon=False, fontsize=8)
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    return figure


def draw_classes(rows: Sequence[Row], scenes: Sequence[str]) -> Figure:
    """Bars of accuracy, or average precision, on windows, by scene; mean over seeds, with whiskers of one
    standard deviation."""
    figure = Figure((1.5 + 0.85 * len(scenes), 3.2), layout="constrained")
    axis = figure.add_subplot()
    width = 0.8 / len(rows)
    labelled = next(iter(rows[0].runs.values())).multi_label
    scale, label = (1, "average precision") if labelled else (100, "accuracy %")
    for number, row in enumerate(rows):
        runs = [run.levels["window"].class_wise for run in row.runs.values()]
        values = [[scale * run[scene] for run in runs] for scene in scenes]
        axis.bar(
            np.arange(len(scenes)) + width * (number - (len(rows) - 1) / 2),
            list(map(mean, values)),
            0.92 * width,
            yerr=np.std(values, axis=1, ddof=1) if len(runs) > 1 else None,  # NaN for a scene without examples
            color=COLOURS[number],
            error_kw={"elinewidth": 0.8, "ecolor": "black"},
            label=row.label,
        )
    axis.set_xticks(range(len(scenes)), [scene.replace("_", "\n") for scene in scenes])
    axis.set(ylim=(0, scale), ylabel=label)
    axis.grid(axis="y", **FAINT)
    axis.set_axisbelow(True)
    figure.legend(loc="outside upper left", ncols=len(rows), frameon=False)
    return figure


def draw_confusion(row: Row, scenes: Sequence[str]) -> Figure:
    """The confusion matrix on windows, summed over seeds, each true scene in percent."""
    counts = np.sum([run.levels["window"].confusion for run in row.runs.values()], axis=0)
    return confusion_figure(counts, scenes)


def draw_reliability(row: Row) -> Figure:
    """Accuracy against confidence of all seeds' windows, before and after temperature scaling."""
    levels = [run.levels["window"] for run in row.runs.values()]
    curves = {"raw": [level.log_probabilities for level in levels]}
    after = [level.scaled for level in levels if level.scaled is not None]
    if len(after) == len(levels):
        curves["calibrated"] = after
    figure = Figure((3.5, 3.7), layout="constrained")
    axis, shares = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
    for (name, values), colour in zip(curves.items(), COLOURS, strict=False):
        curve = reliability(torch.cat(values), torch.cat([level.scene for level in levels]))
        filled, label = curve.number > 0, f"{name}, ECE {curve.error:.3f}"
        axis.plot(
            curve.confidence[filled], curve.accuracy[filled], "o-", color=colour, ms=3, clip_on=False, label=label
        )
        middles = (np.arange(len(filled)) + 0.5) / len(filled)
        shares.step(middles, curve.number / curve.number.sum(), where="mid", color=colour)
    labelled = levels[0].scene.ndim == 2
    axis.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of scenes that are there" if labelled else "accuracy")
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8)
    shares.set(
        xlabel=f"probability of {'a' if labelled else 'the likeliest'} scene",
        ylabel="share",
        ylim=(0, 1),
        yticks=(0, 1),
    )
    return figure

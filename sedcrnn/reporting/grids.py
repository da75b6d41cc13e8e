"""Grids of text: what every table is made of, in the terminal, in a README and on the report's page.

A line break in a cell separates a figure from what stands under it.
"""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import mean, stdev
from textwrap import fill, wrap

from sedcrnn.evaluation.result_names import MACRO_ACCURACY, MACRO_LOG_LOSS, MEAN_PRECISION

NOTHING = "-"
MISSING = "missing"
LEVELS = {"window": "1-s window", "clip": "clip"}
SCORES = {MACRO_ACCURACY: (100.0, 1, "accuracy %"), MACRO_LOG_LOSS: (1.0, 3, "log loss")}
"""Score -> what it is multiplied with, its decimals, and its name in headings."""

LABEL_SCORES = {MEAN_PRECISION: (1.0, 3, "mean average precision"), MACRO_LOG_LOSS: SCORES[MACRO_LOG_LOSS]}
"""The same of multi-label data."""

WIDEST_HEADING, WIDEST_NOTE = 14, 110  # characters, in the terminal

PUBLISHED = {
    "audio": ("69.0", "0.969", "323,274"),
    "visual": ("87.0", "0.616", "14,820,170"),
    "early": ("89.2", NOTHING, NOTHING),
    "late": ("90.0", "0.556", "15,416,148"),
}
"""Accuracy in percent, log loss (both means over scenes) and parameters as Keras counts them; docs/paper.md."""

PUBLISHED_NOTE = (
    "Published: arXiv 2107.13180 on 1-s windows of TAU Urban Audio-Visual Scenes 2021, development test fold, "
    "which also selected its checkpoints; one run. Early fusion's 89.2 is from a later list of benchmarks on that data "
    "set, not from the paper."
)


def scores_of(found: Container[str]) -> dict[str, tuple[float, int, str]]:
    """`SCORES` or `LABEL_SCORES`, by the scores that were found; the first is what networks are compared by."""
    return LABEL_SCORES if MEAN_PRECISION in found else SCORES


def score_columns(scores: Mapping[str, tuple[float, int, str]]) -> tuple[str, ...]:
    """The headings of scores per window and per clip."""
    return tuple(f"{label}, {LEVELS[level]}" for level in LEVELS for _, _, label in scores.values())


@dataclass(frozen=True)
class Grid:
    """A table of text."""

    title: str
    columns: tuple[str, ...]  # headings; the first is that of the rows' labels
    rows: tuple[tuple[str, ...], ...]  # cells, the label first
    notes: tuple[str, ...] = ()  # under it

    def text(self) -> str:
        """For the terminal: labels on the left, figures on the right of columns that are as wide as they have to be."""
        rows = [[wrap(heading, WIDEST_HEADING) for heading in self.columns]]
        rows += [[cell.split("\n") for cell in row] for row in self.rows]
        widths = [max(len(line) for cell in column for line in [*cell, ""]) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([f"{label:{widths[0]}}", *map(str.rjust, cells, widths[1:])]).rstrip()
            for row in rows
            for label, *cells in zip_longest(*row, fillvalue="")
        ]
        return "\n".join([self.title, *lines, "", *(fill(note, WIDEST_NOTE) for note in self.notes)])

    def markdown(self) -> str:
        """For a README, without the title."""
        head, *rows = (
            "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in row) + " |"
            for row in (self.columns, *self.rows)
        )
        return "\n".join([head, "|---|" + "---:|" * (len(self.columns) - 1), *rows, "", *self.notes])


def spread_text(values: Sequence[float], scale: float, digits: int, sign: str = "") -> str:
    """`56.1 ± 2.4`: mean and standard deviation (n - 1) of some seeds.

    One value has no spread, and none, or that of a scene without examples, is a dash.
    """
    if not values or any(map(math.isnan, values)):
        return NOTHING
    spread = f" ± {scale * stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{scale * mean(values):{sign}.{digits}f}{spread}"


def interval_text(bounds: Sequence[float], scale: float, digits: int) -> str:
    """The bounds of an interval, scaled: `59.0-61.0`."""
    return "-".join(f"{scale * bound:.{digits}f}" for bound in bounds)

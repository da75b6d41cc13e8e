"""Grids of text: what every table of the report is made of, on the page and in the README alike.

A line break in a cell parts a figure from what stands under it, smaller: its interval, or why it is missing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sedcrnn.evaluation.metrics import MACRO_ACCURACY, MACRO_LOG_LOSS
from sedcrnn.reporting.rows import mean_and_spread

NOTHING = "-"
MISSING = "missing"
SCORES = {MACRO_ACCURACY: (100.0, 1, "accuracy %"), MACRO_LOG_LOSS: (1.0, 3, "log loss")}
"""Score -> what it is multiplied with, its decimals, and its name in headings."""


@dataclass(frozen=True)
class Grid:
    """A table of text.

    Attributes:
        title: above it.
        columns: headings; the first is that of the rows' labels.
        rows: cells, the label first.
        notes: under it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def spread_text(values: Sequence[float], scale: float, digits: int, sign: str = "") -> str:
    """`56.1 ± 2.4`; one value has no spread, and none, or that of a scene without examples, is a dash."""
    if not values or any(map(math.isnan, values)):
        return NOTHING
    middle, spread = mean_and_spread(values)
    return f"{scale * middle:{sign}.{digits}f}" + ("" if spread is None else f" ± {scale * spread:.{digits}f}")

"""Streams of features -> consecutive windows of one second -> batches of what a network takes.

The windows are those of the evaluation (`windows.ConsecutiveWindows`): every whole second once. What is left at the
end, less than a second, is not predicted.
"""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedcrnn.datasets.windows import STEPS_PER_WINDOW
from sedcrnn.features.feature import Feature
from sedcrnn.features.spectrogram import scale_window

Array = NDArray[Any]


class Seconds:
    """The windows of one feature of one file, as stored: (row, ...), time first.

    Attributes:
        count: how many have been read; a whole file's are its length in whole seconds.
    """

    def __init__(self, feature: Feature, path: Path) -> None:
        self.feature, self.path = feature, path
        self.count = 0

    def __iter__(self) -> Iterator[Array]:
        """Read the file once.

        Raises:
            ClipError: as the feature's `stream`.
        """
        rows = STEPS_PER_WINDOW * self.feature.per_step
        held: list[Array] = []
        missing = rows
        for piece in self.feature.stream(self.path):
            held.append(piece)
            missing -= len(piece)
            if missing > 0:
                continue
            joined = np.concatenate(held)
            whole = len(joined) // rows
            for window in joined[: whole * rows].reshape(whole, rows, *joined.shape[1:]):
                self.count += 1
                yield window
            held = [joined[whole * rows :]]
            missing = rows - len(held[0])


def batches(windows: Mapping[str, Iterator[Array]], size: int) -> Iterator[dict[str, Array]]:
    """Windows of the same seconds side by side: name -> (window, row, ...).

    Seconds that not all features have are left out, but read, so that damage is noticed wherever it is, as in training.
    """
    rows: list[tuple[Array, ...]] = []
    for row in zip_longest(*windows.values()):
        if all(window is not None for window in row):
            rows.append(row)
        if len(rows) == size:
            yield _stacked(windows, rows)
            rows = []
    if rows:
        yield _stacked(windows, rows)


def _stacked(names: Mapping[str, object], rows: list[tuple[Array, ...]]) -> dict[str, Array]:
    return {name: np.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def network_input(name: str, feature: Feature, stored: Array) -> Array:
    """Stored windows as the network takes them.

    Args:
        name: `spectrogram` or `frames`.
        feature: what made them.
        stored: (window, row, ...), time second.

    Returns:
        `spectrogram`: (window, channel, band, column) float32 in [-1, 1], each window scaled by itself;
        `frames`: (window, time, channel=3, height, width) uint8, RGB.
    """
    if name == "spectrogram":
        return scale_window(feature.decode(stored.transpose(0, 2, 3, 1)))
    return np.ascontiguousarray(stored.transpose(0, 1, 4, 2, 3))

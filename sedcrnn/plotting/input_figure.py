"""Scaled spectrograms and sampled frames -> one figure with one time axis.

Axes are placed in inches: a thumbnail's proportions and its place in time have to come out exactly. Time is the grid on
which the network aligns audio and video: a frame begins at its time, with the columns of the 1/5 s that it goes with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from math import sqrt

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sedcrnn.features.feature import STEPS_PER_SECOND

DPI = 150

# In inches.
WIDTH, LEFT, RIGHT, TOP, BOTTOM, GAP = 10.0, 0.75, 1.0, 0.62, 0.5, 0.32
PANEL = 1.5
THUMBNAIL = 0.84  # side of a square thumbnail; one of another shape has the same area
TICKS_APART = 0.15  # least distance of two labels of the frequency axis

LONGEST_TITLE = 90  # characters
MOST_BOUNDARIES = 60  # boundaries of windows are drawn up to this number

Floats = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class SpectrogramPanels:
    """Spectrograms, one panel per channel: `values` (channel, band, column) in [-1, 1], highest band first, of whole
    seconds, and the bands' `centres` (band,) in Hz.
    """

    values: Floats
    names: Sequence[str]
    centres: Floats
    columns_per_second: int


@dataclass(frozen=True, kw_only=True)
class FrameStrip:
    """Frames at `STEPS_PER_SECOND`.

    Attributes:
        frames: (time, height, width, channel=3) uint8 RGB.
        aspect_ratio: width over height in which they are shown.
    """

    frames: NDArray[np.uint8]
    aspect_ratio: float


def draw_inputs(
    title: str, start: float, end: float, panels: SpectrogramPanels | None, strip: FrameStrip | None
) -> Figure:
    """Draw what a network gets of an excerpt: spectrograms above, frames of the same seconds under them.

    Start (a whole number) and end are in seconds of the file; what lies beyond the arrays is hatched.
    """
    axis_width = WIDTH - LEFT - RIGHT
    heights = [] if panels is None else [PANEL] * len(panels.values)
    if strip is not None:
        step, thumbnail = _thumbnails(strip.aspect_ratio, axis_width / (end - start) / STEPS_PER_SECOND)
        heights.append(thumbnail / strip.aspect_ratio)
    height = round(DPI * (TOP + sum(heights) + GAP * (len(heights) - 1) + BOTTOM)) / DPI  # whole pixels
    figure = Figure((WIDTH, height), dpi=DPI)
    line = " ".join(title.split())
    if len(line) > LONGEST_TITLE:  # it loses its middle
        line = f"{line[: LONGEST_TITLE // 2]}\N{HORIZONTAL ELLIPSIS}{line[-LONGEST_TITLE // 2 :]}"
    figure.text(LEFT / WIDTH, 1 - 0.26 / height, line, fontsize=11, va="center", parse_math=False)

    axes: list[Axes] = []
    bottom = height - TOP + GAP
    for panel in heights:
        bottom -= GAP + panel
        axes.append(figure.add_axes((LEFT / WIDTH, bottom / height, axis_width / WIDTH, panel / height)))
    covered = end
    if panels is not None:
        covered = start + panels.values.shape[2] / panels.columns_per_second
        for axis, name, values in zip(axes, panels.names, panels.values, strict=False):
            image = _draw_channel(axis, name, values, panels.centres, (start, covered))
        left, below = (WIDTH - RIGHT + 0.15) / WIDTH, axes[len(panels.values) - 1].get_position().y0
        place = figure.add_axes((left, below, 0.14 / WIDTH, axes[0].get_position().y1 - below))
        bar = figure.colorbar(image, cax=place, ticks=[-1, -0.5, 0, 0.5, 1])
        bar.ax.tick_params(labelsize=8)
        bar.set_label("level in dB, each second\nscaled to [\N{MINUS SIGN}1, 1]", fontsize=8)
    if strip is not None:
        covered = start + len(strip.frames) / STEPS_PER_SECOND
        _draw_frames(axes[-1], strip, start, step, thumbnail / axis_width * (end - start))
    for axis in axes:
        axis.set_xlim(start, end)
        axis.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
        axis.tick_params(axis="x", labelsize=8, labelbottom=axis is axes[-1])
        if covered < end:
            axis.axvspan(covered, end, facecolor="0.93", edgecolor="0.6", hatch="////", linewidth=0)
        if axis is axes[-1]:
            axis.set_xlabel("time (s)", fontsize=9)
    if covered < end:
        note = "hatched: beyond the last whole second, in no window"
        figure.text(1 - RIGHT / WIDTH, 0.15 / height, note, fontsize=8, va="center", ha="right")
    return figure


def band_ticks(centres: Floats, apart: float) -> tuple[list[float], list[str]]:
    """Round frequencies for an axis of bands: where they lie, in bands, and their labels.

    Args:
        centres: (band,) in Hz, highest first.
        apart: least distance of two ticks, in bands.
    """
    chosen: dict[float, float] = {}
    # Powers of ten first; the others are labelled where these leave room.
    for hertz in (digit * 10.0**power for digit in (1, 2, 5) for power in (4, 3, 2, 1)):
        band = float(np.interp(hertz, centres[::-1], np.arange(len(centres))[::-1]))
        inside = centres[-1] <= hertz <= centres[0]
        if inside and all(abs(band - other) >= apart for other in chosen.values()):
            chosen[hertz] = band
    labels = [f"{hertz / 1000:g}k" if hertz >= 1000 else f"{hertz:g}" for hertz in chosen]
    return list(chosen.values()), labels


def _thumbnails(aspect_ratio: float, inches: float) -> tuple[int, float]:
    """Frame stride and thumbnail width (inches), with this distance in inches from one frame to the next."""
    wanted = THUMBNAIL * sqrt(aspect_ratio)
    seconds = (digit * 10**power for power in count() for digit in (1, 2, 5))
    steps = chain((1, 2), (STEPS_PER_SECOND * second for second in seconds))  # round times, as ticks have them
    step = next(step for step in steps if step * inches >= 0.7 * wanted)
    return step, min(0.96 * step * inches, 1.4 * wanted)


def _draw_channel(axis: Axes, name: str, values: Floats, centres: Floats, time: tuple[float, float]) -> AxesImage:
    bands = len(centres)
    image = axis.imshow(
        values, extent=(*time, bands - 0.5, -0.5), aspect="auto", cmap="magma", vmin=-1, vmax=1, origin="upper"
    )
    axis.set_yticks(*band_ticks(centres, bands * TICKS_APART / PANEL), fontsize=8)
    axis.set_ylabel("Hz", fontsize=9)
    axis.set_title(name, loc="left", fontsize=9, pad=4)
    boundaries = np.arange(time[0] + 1, time[1])
    if len(boundaries) < MOST_BOUNDARIES:
        axis.vlines(boundaries, -0.5, bands - 0.5, color="white", linewidth=0.5, alpha=0.5)
    return image


def _draw_frames(axis: Axes, strip: FrameStrip, start: float, step: int, duration: float) -> None:
    """Every `step`-th frame as a thumbnail of so many seconds, as far as they fit."""
    times = start + np.arange(len(strip.frames)) / STEPS_PER_SECOND
    end = start + len(times) / STEPS_PER_SECOND
    for time, frame in zip(times[::step], strip.frames[::step], strict=True):
        if time + duration <= end:
            axis.imshow(frame, extent=(time, time + duration, 0, 1), aspect="auto")
            axis.add_patch(Rectangle((time, 0), duration, 1, fill=False, linewidth=0.5))
    axis.set(ylim=(0, 1), yticks=[])
    axis.spines[:].set_visible(False)
    height, width = strip.frames.shape[1:3]
    axis.set_title(
        f"frames of {height} \N{MULTIPLICATION SIGN} {width} pixels, drawn in the recording's proportions; one every "
        f"{step / STEPS_PER_SECOND:g} s (of {STEPS_PER_SECOND} per second), with its left edge at its time",
        loc="left",
        fontsize=9,
        pad=4,
    )

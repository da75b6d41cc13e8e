"""A file with audio, video or both -> the windows and frames that a network gets of it -> a figure."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sedcrnn.datasets.windows import STEPS_PER_WINDOW, ConsecutiveWindows, Window
from sedcrnn.errors import ClipError, ConfigError, MissingTrackError, visible
from sedcrnn.features.feature import STEPS_PER_SECOND, Feature
from sedcrnn.features.frames import Frames
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.features.video_track import aspect_ratio
from sedcrnn.plotting.input_figure import FrameStrip, SpectrogramPanels, draw_inputs
from sedcrnn.runs.files import atomic


def drawable(features: Mapping[str, Feature]) -> dict[str, Feature]:
    """The features that can be drawn: spectrograms and frames, and no features of a user's own."""
    return {name: feature for name, feature in features.items() if isinstance(feature, Spectrogram | Frames)}


def draw_file(
    file: Path, video: Path | None, output: Path, start: int, seconds: int, features: Mapping[str, Feature]
) -> Path:
    """Draw what a network gets of a file; arguments are those of `sedcrnn inspect`.

    Raises:
        ClipError: a file that is absent or damaged, or has nothing to draw.
        ConfigError: seconds that the file does not have, or a figure that cannot be written.
    """
    sources = {"audio": file, "video": video or file}
    if output.resolve() in [path.resolve() for path in sources.values()]:
        raise ConfigError(
            f"output={output} is the recording itself", "The figure is a file of its own", "Set another output"
        )
    decoded: dict[str, NDArray[Any]] = {}
    for name, feature in features.items():
        try:
            decoded[name] = beginning(
                feature.stream(sources[feature.track]), (start + seconds) * STEPS_PER_SECOND * feature.per_step
            )
        except MissingTrackError:
            if video is not None:  # each of two files is there for its track
                raise
    if not decoded:
        raise ClipError(
            f"'{file}' holds nothing of what is asked for: {', '.join(features) or 'no features'}",
            "The spectrogram is made of audio, and the frames of (moving) video",
            "Choose another file",
        )
    steps = [len(values) // features[name].per_step for name, values in decoded.items()]
    windows = ConsecutiveWindows([min(steps)], 1).windows
    if start >= len(windows):
        raise ConfigError(
            f"start={start}, and '{file}' has {len(windows)} whole seconds",
            f"The first second shown is one of 0 to {len(windows) - 1}",
            "Correct the value",
        )
    windows = windows[start : start + seconds]
    panels = strip = None
    for name, values in decoded.items():
        feature = features[name]
        if isinstance(feature, Spectrogram):
            panels = spectrogram_panels(feature, values, windows)
        else:
            frames = values[windows[0].step : windows[-1].step + STEPS_PER_WINDOW]
            strip = FrameStrip(frames=frames, aspect_ratio=aspect_ratio(sources["video"]))
    end = min(start + seconds, max(steps) / STEPS_PER_SECOND)
    title = ", ".join(dict.fromkeys(visible(path.name) for path in sources.values()))
    figure = draw_inputs(title, start, end, panels, strip)
    try:
        with atomic(output) as temporary:
            figure.savefig(temporary)
    except (OSError, ValueError) as error:  # matplotlib's, for a suffix that it does not know
        raise ConfigError(
            f"The figure '{output}' cannot be written: {getattr(error, 'strerror', error)}",
            "It is a file in a folder that is yours to write in, and its suffix is a format of figures",
            "Set output=<name>.png",
        ) from error
    return output


def beginning(pieces: Iterator[NDArray[Any]], length: int) -> NDArray[Any]:
    """The first rows of a stream, which is read no further; all where there are fewer."""
    taken: list[NDArray[Any]] = []
    while sum(map(len, taken)) < length and (piece := next(pieces, None)) is not None:
        taken.append(piece)
    return np.concatenate(taken)[:length]


def spectrogram_panels(feature: Spectrogram, decibels: NDArray[Any], windows: Sequence[Window]) -> SpectrogramPanels:
    """The windows of a spectrogram (column, channel, band) as the audio network gets them, one after another."""
    columns = feature.per_step
    cut = np.stack([decibels[window.step * columns : (window.step + STEPS_PER_WINDOW) * columns] for window in windows])
    return SpectrogramPanels(
        values=np.concatenate(list(feature.network_input(torch.from_numpy(cut)).numpy()), axis=-1),
        names=feature.layout.names,
        centres=feature.bank.centres(feature.sample_rate),
        columns_per_second=STEPS_PER_SECOND * columns,
    )

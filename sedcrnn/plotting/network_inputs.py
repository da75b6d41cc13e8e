"""A file with sound, picture or both -> the windows and frames that a network gets of it -> a figure.

python -m sedcrnn.inspect clip.mp4
python -m sedcrnn.inspect clip.wav clip.mp4
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backend_bases import FigureCanvasBase
from numpy.typing import NDArray

from sedcrnn.datasets.windows import STEPS_PER_WINDOW, ConsecutiveWindows, Window
from sedcrnn.errors import ClipError, ConfigError, MissingTrackError
from sedcrnn.features.feature import STEPS_PER_SECOND
from sedcrnn.features.spectrogram import Spectrogram, scale_window
from sedcrnn.features.video_track import aspect_ratio
from sedcrnn.plotting.input_figure import FrameStrip, SoundPanels, draw_inputs
from sedcrnn.runs.files import atomic


def draw_file(
    file: Path, video: Path | None, output: Path, start: int, seconds: int, features: Mapping[str, Any]
) -> Path:
    """Draw what the network sees of a file.

    The windows are those of evaluation: every whole second that all features have.

    Returns:
        The figure.

    Raises:
        ClipError: a file that is absent or damaged, or has nothing to draw.
        ConfigError: seconds that the file does not have, or a figure that cannot be written.
    """
    picture = video or file
    files = list(dict.fromkeys([file, picture]))
    _check_files(files, output)
    wanted = (start + seconds) * STEPS_PER_SECOND
    stored = read_features(features, {"spectrogram": file, "frames": picture}, wanted)
    steps = [len(array) // features[name].per_step for name, array in stored.items()]
    windows = _excerpt(ConsecutiveWindows([min(steps)], 1).windows, file, start, seconds)
    sound = frames = None
    if "spectrogram" in stored:
        sound = see_sound(features["spectrogram"], stored["spectrogram"], windows)
    if "frames" in stored:
        seen = stored["frames"][windows[0].step : windows[-1].step + STEPS_PER_WINDOW]
        frames = FrameStrip(frames=seen, aspect_ratio=aspect_ratio(picture))
    end = min(start + seconds, max(steps) / STEPS_PER_SECOND)
    figure = draw_inputs(", ".join(path.name for path in files), start, end, sound, frames)
    try:
        with atomic(output) as temporary:
            figure.savefig(temporary)
    except OSError as error:
        raise ConfigError(
            f"The figure '{output}' cannot be written: {error.strerror}",
            "It is a file in a folder that is yours to write in",
            "Set output=<name>.png",
        ) from error
    return output


def read_features(features: Mapping[str, Any], paths: Mapping[str, Path], steps: int) -> dict[str, NDArray[Any]]:
    """The first steps of every feature, as they would be stored; a file that stands for sound and picture may lack one.

    Raises:
        ClipError: a file is damaged so far, or lacks what it is there for.
    """
    stored: dict[str, NDArray[Any]] = {}
    for name, feature in features.items():
        try:
            stored[name] = beginning(feature.stream(paths[name]), steps * feature.per_step)
        except MissingTrackError:
            if len(set(paths.values())) > 1:
                raise
    if not stored:
        raise ClipError(
            f"'{paths['spectrogram']}' holds nothing of what is asked for: {', '.join(features) or 'no features'}",
            "The spectrogram is made of sound, and the frames of a (moving) picture",
            "Choose another file",
        )
    return stored


def beginning(pieces: Iterator[NDArray[Any]], length: int) -> NDArray[Any]:
    """So much of a stream, which is read no further; all where there is less."""
    taken: list[NDArray[Any]] = []
    while sum(map(len, taken)) < length and (piece := next(pieces, None)) is not None:
        taken.append(piece)
    return np.concatenate(taken)[:length]


def see_sound(feature: Spectrogram, stored: NDArray[Any], windows: Sequence[Window]) -> SoundPanels:
    """The windows of a stored spectrogram (column, channel, band) as the audio network gets them, one after another."""
    hops = feature.per_step
    cut = np.stack([stored[window.step * hops : (window.step + STEPS_PER_WINDOW) * hops] for window in windows])
    scaled = scale_window(feature.decode(cut.transpose(0, 2, 3, 1)))
    return SoundPanels(
        values=np.concatenate(list(scaled), axis=-1),
        names=feature.layout.names,
        centres=feature.bank.centres(feature.sample_rate),
        columns_per_second=STEPS_PER_SECOND * hops,
    )


def _excerpt(windows: Sequence[Window], file: Path, start: int, seconds: int) -> Sequence[Window]:
    """The windows that are asked for, at least one."""
    if start >= len(windows):
        raise ConfigError(
            f"start={start}, and '{file}' has {len(windows)} whole seconds",
            f"The first second shown is one of 0 to {len(windows) - 1}",
            "Correct the value",
        )
    return windows[start : start + seconds]


def _check_files(files: Sequence[Path], output: Path) -> None:
    for path in files:
        if not path.is_file():
            raise ClipError(
                f"'{path}' is {'a folder' if path.is_dir() else 'absent'}",
                "A recording is one file, or two where the picture lies apart: sound first",
                "Correct the name",
            )
        if output.exists() and output.samefile(path):
            raise ConfigError(
                f"output={output} is the recording itself", "The figure is a file of its own", "Set another output"
            )
    formats = FigureCanvasBase.get_supported_filetypes()
    if output.suffix.lower().removeprefix(".") not in formats:
        raise ConfigError(
            f"output={output} has the suffix '{output.suffix}'",
            f"It says the figure's format: {', '.join(sorted(formats))}",
            "Set output=<name>.png",
        )

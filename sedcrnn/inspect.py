"""A file with sound, picture or both -> the windows and frames that a network gets of it -> a figure.

python -m sedcrnn.inspect clip.mp4
python -m sedcrnn.inspect clip.wav clip.mp4
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backend_bases import FigureCanvasBase
from numpy.typing import NDArray
from omegaconf import MISSING, DictConfig

from sedcrnn.commands import command
from sedcrnn.config import FeaturesConfig, checked, instantiate
from sedcrnn.errors import ClipError, ConfigError, MissingTrackError
from sedcrnn.features.feature import STEPS_PER_SECOND
from sedcrnn.features.picture_track import aspect_ratio
from sedcrnn.features.spectrogram import Spectrogram, scale_window
from sedcrnn.files import atomic
from sedcrnn.plots import FrameStrip, SoundPanels, draw_inputs
from sedcrnn.windows import STEPS_PER_WINDOW, ConsecutiveWindows, Window


@dataclass
class InspectConfig:
    """What to draw of which file; see conf/inspect.yaml."""

    file: str = MISSING
    picture: str | None = MISSING
    output: str | None = MISSING
    start: int = MISSING
    seconds: int = MISSING
    features: FeaturesConfig = MISSING


def inspect(config: InspectConfig) -> Path:
    """Draw what the network sees of a file.

    The windows are those of evaluation: every whole second that all features have.

    Returns:
        The figure.

    Raises:
        ClipError: a file that is absent or damaged, or has nothing to draw.
        ConfigError: seconds that the file does not have, or a figure that cannot be written.
    """
    file, picture = Path(config.file), Path(config.picture or config.file)
    output = Path(config.output or f"{file.stem}.png")
    files = list(dict.fromkeys([file, picture]))
    _check_excerpt(config)
    _check_files(files, output)
    features = {name: instantiate(node) for name, node in asdict(config.features).items() if node is not None}
    wanted = (config.start + config.seconds) * STEPS_PER_SECOND
    stored = read_features(features, {"spectrogram": file, "frames": picture}, wanted)
    steps = [len(array) // features[name].per_step for name, array in stored.items()]
    windows = _excerpt(ConsecutiveWindows([min(steps)], 1).windows, config)
    sound = frames = None
    if "spectrogram" in stored:
        sound = see_sound(features["spectrogram"], stored["spectrogram"], windows)
    if "frames" in stored:
        seen = stored["frames"][windows[0].step : windows[-1].step + STEPS_PER_WINDOW]
        frames = FrameStrip(frames=seen, aspect_ratio=aspect_ratio(picture))
    end = min(config.start + config.seconds, max(steps) / STEPS_PER_SECOND)
    figure = draw_inputs(", ".join(path.name for path in files), config.start, end, sound, frames)
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
        centres=feature.bank.centres(feature.analysis_rate),
        columns_per_second=STEPS_PER_SECOND * hops,
    )


def _excerpt(windows: Sequence[Window], config: InspectConfig) -> Sequence[Window]:
    """The windows that are asked for, at least one."""
    if config.start >= len(windows):
        raise ConfigError(
            f"start={config.start}, and '{config.file}' has {len(windows)} whole seconds",
            f"The first second shown is one of 0 to {len(windows) - 1}",
            "Correct the value",
        )
    return windows[config.start : config.start + config.seconds]


def _check_excerpt(config: InspectConfig) -> None:
    if config.start < 0:
        raise ConfigError(f"start={config.start}", "The first second shown is 0 or a later one", "Set start=0")
    if config.seconds < 1:
        raise ConfigError(f"seconds={config.seconds}", "At least one second is shown", "Set seconds=10")


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


@command("inspect", positional=("file", "picture"))
def main(config: DictConfig) -> None:
    """Draw the file that the command line names, and print where the figure is."""
    print(inspect(checked(config, InspectConfig)))


if __name__ == "__main__":
    main()

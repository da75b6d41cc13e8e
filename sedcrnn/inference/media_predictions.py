"""Paths of files and folders -> the clips that they name -> predictor -> tables on the terminal, JSON, CSV, figures."""

import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import sedcrnn
from sedcrnn.datasets.clips import MEDIA_SUFFIXES
from sedcrnn.datasets.walk import linked_again, media_files, of_one_name
from sedcrnn.errors import ClipError, ConfigError, DataError, SedcrnnError, visible
from sedcrnn.inference.file_prediction import (
    Prediction,
    overview,
    table,
    write_predictions_csv,
    write_predictions_json,
)
from sedcrnn.runs.outputs import name_after

log = logging.getLogger(__name__)

FIGURES = (".png", ".pdf", ".svg")


@dataclass(frozen=True)
class Media:
    """What is predicted as one clip: its name for the user, and the files with its video and its audio, perhaps one."""

    name: str
    video: Path
    audio: Path


def predict_files(
    run: str,
    files: Sequence[str],
    audio: str | None,
    head: str | None,
    top: int,
    json: str | None,
    csv: str | None,
    plot: str | None,
    batch_size: int | None,
    calibrated: bool,
    damage: str,
    device: str,
    precision: str,
) -> None:
    """Predict all files, print their tables and write what is asked for; list the files that cannot be read at the end.

    Raises:
        SedcrnnError: before anything is predicted, for what is misused; afterwards a DataError, for files that cannot
            be read.
    """
    for key, value in {"json": json, "csv": csv}.items():
        if value is not None and Path(value).is_dir():
            raise ConfigError(f"{key}={value} is a folder", "It is a file", f"Give {key}={value}/predictions.{key}")
    media = find_media(files, audio)
    figures = figure_paths(media, plot)
    predictor = sedcrnn.load(run, device, precision, calibrated, damage)
    from sedcrnn.networks.execution import keep_freed_memory  # here, because it takes torch, as load does

    keep_freed_memory()
    predictor.check_head(head)
    names: list[str] = []
    predictions: list[Prediction] = []
    failed: list[tuple[str, str]] = []  # names, and why
    for one, figure in zip(media, figures, strict=True):
        try:
            prediction = predictor.predict(one.video, one.audio, head, batch_size, progress=True)
        except ClipError as error:
            failed.append((one.name, error.found))
            continue
        except SedcrnnError:
            raise
        except Exception as error:  # a fault of this package or of a library, which ends this file and no other
            log.debug("%s", one.name, exc_info=True)
            failed.append((one.name, f"'{one.video}' cannot be predicted ({type(error).__name__}: {error})"))
            continue
        names.append(one.name)
        predictions.append(prediction)
        print(*table(prediction, one.name, top), "", sep="\n", flush=True)
        if figure is not None:
            from sedcrnn.plotting.answer_figures import write_timeline  # here, because it takes a second to load

            write_timeline(figure, prediction, one.name)
    if len(predictions) > 1:
        print(*overview(names, predictions), "", sep="\n")
    if json is not None:
        temperatures = dict(predictor.model.temperatures)
        about: dict[str, Any] = {
            "sedcrnn": sedcrnn.__version__,
            "run": str(predictor.model.path),
            "unreadable": dict(failed),
        }
        about |= {"calibrated": bool(temperatures), "temperatures": temperatures}
        write_predictions_json(Path(json), predictions, predictor.scenes, **about)
    if csv is not None:
        write_predictions_csv(Path(csv), predictions, predictor.scenes)
    for written in filter(None, (json, csv, plot if predictions else None)):
        print(f"Written: {visible(written)}")
    if predictions and not (json or csv or plot):
        print(
            "Next: csv=scenes.csv keeps all probabilities; plot=scenes.png, or a folder for several files, draws them."
        )
    if failed:
        print("Not predicted:", *(f"  {visible(message)}" for _, message in failed), sep="\n", file=sys.stderr)
        raise DataError(
            f"{len(failed)} of {len(media)} files could not be predicted",
            "Files are whole, last a second or longer, and have the audio or the video that the head takes",
            f"Mend those listed above, or leave them out; {len(predictions)} were predicted",
        )


def find_media(paths: Sequence[str], audio: str | None = None) -> list[Media]:
    """The media that some paths name, in order.

    A file is taken whatever its name. A folder stands for the media files in it and in its folders, by their
    suffixes; there, an audio file and a video file of one name (`a.wav`, `a.mp4`) are one clip, with the audio of the
    audio file. `audio` is a file whose audio is taken in place of that of the only one.

    Raises:
        DataError: no paths, a path that does not exist, or a folder without media.
        ConfigError: audio for several.
    """
    found = [media for path in paths for media in _find(Path(path), len(paths) > 1)]
    if not found:
        raise DataError(
            "No files are named",
            "Any number of media files and folders may be",
            "Use `sedcrnn predict run=<run> <files or folder>`",
        )
    return found if audio is None else [_with_audio(found, Path(audio))]


def _with_audio(media: Sequence[Media], audio: Path) -> Media:
    """The one that is there, with the audio of another file."""
    if len(media) > 1:
        raise ConfigError(
            f"audio={audio} is one file, for {len(media)} to predict",
            "In folders, an audio file and a video file of one name are one clip",
            "Give one file to predict, or a folder with such pairs",
        )
    if not audio.is_file():
        raise DataError(f"There is no file '{audio}'", "audio=<file> names a media file", "Correct it")
    return replace(media[0], audio=audio)


def _find(path: Path, several: bool) -> Iterator[Media]:
    if path.is_file():
        yield Media(visible(str(path)), path, path)
        return
    if not path.is_dir():
        raise DataError(f"There is no file or folder '{path}'", "Media files and folders are predicted", "Correct it")
    clips: list[tuple[Path, Path]] = []
    for audio, video in of_one_name(media_files(path, Counter())).values():
        is_pair = len(audio) == len(video) == 1
        clips += [(video[0], audio[0])] if is_pair else [(file, file) for file in sorted(audio + video)]
    if not clips:
        raise DataError(
            f"The folder '{path}' holds no media files",
            f"They are known by their suffixes: {' '.join(sorted(MEDIA_SUFFIXES))}",
            "Name another folder, or the files themselves, which may have any name",
        )
    for (video_file, audio_file), again in zip(clips, linked_again(clips), strict=True):
        if not again:
            name = video_file if several else video_file.relative_to(path)
            yield Media(visible(str(name)), video_file, audio_file)


def figure_paths(media: Sequence[Media], plot: str | None) -> list[Path | None]:
    """Where the figure of each file goes: one file, or a folder with a figure named after each.

    Raises:
        ConfigError: one figure for several files.
    """
    if plot is None:
        return [None] * len(media)
    path = Path(plot)
    if path.suffix.lower() in FIGURES and len(media) > 1:
        raise ConfigError(
            f"plot={plot} is one figure, for {len(media)} files",
            "Several files have a figure each, in a folder",
            "Give the folder: plot=timelines",
        )
    if path.suffix.lower() in FIGURES:
        return [path]
    figures: dict[str, Path | None] = {}  # by what it is called where case plays no part
    for one in media:
        endings = chain([".png"], (f"-{number}.png" for number in count(2)))
        names = (name_after(one.video, ending) for ending in endings)
        name = next(name for name in names if name.casefold() not in figures)
        figures[name.casefold()] = path / name
    return list(figures.values())

"""Paths of files and folders -> the clips that they name -> predictor -> tables on the terminal, JSON, CSV, figures."""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import sedcrnn
from sedcrnn.datasets.clips import AUDIO_SUFFIXES, MEDIA_SUFFIXES, VIDEO_SUFFIXES
from sedcrnn.datasets.folder import media_files
from sedcrnn.errors import ClipError, ConfigError, DataError
from sedcrnn.inference.file_prediction import (
    Prediction,
    overview,
    table,
    write_predictions_csv,
    write_predictions_json,
)

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
    predictions: list[Prediction] = []
    unreadable: dict[str, str] = {}
    for one, figure in zip(media, figures, strict=True):
        try:
            prediction = predictor.predict(one.video, one.audio, head, batch_size, progress=True)
        except ClipError as error:
            unreadable[one.name] = error.found
            continue
        predictions.append(prediction)
        print(*table(prediction, one.name, top), "", sep="\n", flush=True)
        if figure is not None:
            from sedcrnn.plotting.answer_figures import write_timeline  # here, because it takes a second to load

            write_timeline(figure, prediction, one.name)
    if len(predictions) > 1:
        print(*overview([one.name for one in media if one.name not in unreadable], predictions), "", sep="\n")
    if json is not None:
        temperatures = dict(predictor.model.temperatures)
        about: dict[str, Any] = {
            "sedcrnn": sedcrnn.__version__,
            "run": str(predictor.model.path),
            "unreadable": unreadable,
        }
        about |= {"calibrated": bool(temperatures), "temperatures": temperatures}
        write_predictions_json(Path(json), predictions, predictor.scenes, **about)
    if csv is not None:
        write_predictions_csv(Path(csv), predictions, predictor.scenes)
    for written in filter(None, (json, csv, plot if predictions else None)):
        print(f"Written: {written}")
    if predictions and not (json or csv or plot):
        print(
            "Next: csv=scenes.csv keeps all probabilities; plot=scenes.png, or a folder for several files, draws them."
        )
    if unreadable:
        print("Not predicted:", *(f"  {message}" for message in unreadable.values()), sep="\n", file=sys.stderr)
        raise DataError(
            f"{len(unreadable)} of {len(media)} files could not be predicted",
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
    found = [media for path in paths for media in _find(Path(path))]
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


def _find(path: Path) -> Iterator[Media]:
    if path.is_file():
        yield Media(str(path), path, path)
        return
    if not path.is_dir():
        raise DataError(f"There is no file or folder '{path}'", "Media files and folders are predicted", "Correct it")
    by_name: defaultdict[Path, list[Path]] = defaultdict(list)
    for file in sorted(media_files(path, Counter())):
        by_name[file.with_suffix("")].append(file)
    if not by_name:
        raise DataError(
            f"The folder '{path}' holds no media files",
            f"They are known by their suffixes: {' '.join(sorted(MEDIA_SUFFIXES))}",
            "Name another folder, or the files themselves, which may have any name",
        )
    for files in by_name.values():
        audio = [file for file in files if file.suffix.lower() in AUDIO_SUFFIXES]
        video = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
        pairs = [(video[0], audio[0])] if len(audio) == len(video) == 1 else [(file, file) for file in files]
        for of_video, of_audio in pairs:
            yield Media(str(of_video.relative_to(path)), of_video, of_audio)


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
    stems: list[str] = []
    for one in media:
        names = chain([one.video.stem], (f"{one.video.stem}-{number}" for number in count(2)))
        stems.append(next(name for name in names if name not in stems))
    return [path / f"{stem}.png" for stem in stems]

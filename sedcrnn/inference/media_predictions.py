"""Paths of files and folders -> the clips that they name -> predictor -> tables on the terminal, JSON, CSV, figures."""

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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

if TYPE_CHECKING:  # it takes torch
    from sedcrnn.inference.reasons import Explanation

Result = TypeVar("Result")

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
    reasons: bool = False,
    cam: str | None = None,
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
    figures, heat_figures = figure_paths(media, plot), figure_paths(media, cam, "cam")
    predictor = sedcrnn.load(run, device, precision, calibrated, damage)
    from sedcrnn.networks.execution import keep_freed_memory  # here, because it takes torch, as load does

    keep_freed_memory()
    predictor.check_head(head)
    names: list[str] = []
    predictions: list[Prediction] = []
    failed: list[tuple[str, str]] = []

    def work(one: Media) -> "tuple[Prediction, Explanation | None]":
        if cam is not None:
            explanation = predictor.explain(one.video, one.audio, head, batch_size=batch_size, progress=True)
            return explanation.prediction, explanation
        return predictor.predict(one.video, one.audio, head, batch_size, progress=True, reasons=reasons), None

    for number, (prediction, explanation) in each_file(media, work, failed):
        name = media[number].name
        names.append(name)
        predictions.append(prediction)
        print(*table(prediction, name, top), "", sep="\n", flush=True)
        if figure := figures[number]:
            from sedcrnn.plotting.answer_figures import write_timeline  # here, because it takes a second to load

            write_timeline(figure, prediction, name)
        if explanation and (figure := heat_figures[number]):
            from sedcrnn.plotting.reason_figures import write_heat_maps

            write_heat_maps(figure, explanation, name)
    if len(predictions) > 1:
        print(*overview(names, predictions), "", sep="\n")
    if json is not None:
        temperatures = dict(predictor.model.temperatures)
        about: dict[str, Any] = {
            "sedcrnn": sedcrnn.__version__,
            "run": str(predictor.model.path),
            "unreadable": dict(failed),
        }
        about["multi_label"] = predictor.model.multi_label
        about |= {"calibrated": bool(temperatures), "temperatures": temperatures}
        write_predictions_json(Path(json), predictions, predictor.scenes, **about)
    if csv is not None:
        write_predictions_csv(Path(csv), predictions, predictor.scenes)
    for written in filter(None, (json, csv, *((plot, cam) if predictions else ()))):
        print(f"Written: {visible(written)}")
    if predictions and not (json or csv or plot or cam):
        print(
            "Next: csv=scenes.csv keeps all probabilities; plot=scenes.png, or a folder for several files, draws them."
        )
    check_none_failed(failed, len(media), "predicted")


def each_file(
    media: Sequence[Media], work: Callable[[Media], Result], failed: list[tuple[str, str]]
) -> Iterator[tuple[int, Result]]:
    """The number of each clip with what `work` makes of it. A clip that cannot be read, or on which a library fails,
    ends none of the others: its name and why go to `failed`."""
    for number, one in enumerate(media):
        try:
            result = work(one)
        except ClipError as error:
            failed.append((one.name, error.found))
        except SedcrnnError:
            raise
        except Exception as error:  # a fault of this package or of a library, which ends this file and no other
            log.debug("%s", one.name, exc_info=True)
            failed.append((one.name, f"'{one.video}' cannot be predicted ({type(error).__name__}: {error})"))
        else:
            yield number, result


def check_none_failed(failed: Sequence[tuple[str, str]], of: int, done: str) -> None:
    """List the files of which nothing became, and end with that; `done` is what became of the others.

    Raises:
        DataError: if there are any.
    """
    if failed:
        print(f"Not {done}:", *(f"  {visible(message)}" for _, message in failed), sep="\n", file=sys.stderr)
        raise DataError(
            f"{len(failed)} of {of} files could not be {done}",
            "Files are whole, last a second or longer, and have the audio or the video that the head takes",
            f"Mend those listed above, or leave them out; {of - len(failed)} were {done}",
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
            "Name them behind the command: <files or folder>",
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


def figure_paths(media: Sequence[Media], plot: str | None, key: str = "plot") -> list[Path | None]:
    """Where the figure of each file goes: one file, or a folder with a figure named after each; `key` asks for it.

    Raises:
        ConfigError: one figure for several files.
    """
    if plot is None:
        return [None] * len(media)
    path = Path(plot)
    if path.suffix.lower() in FIGURES and len(media) > 1:
        raise ConfigError(
            f"{key}={plot} is one figure, for {len(media)} files",
            "Several files have a figure each, in a folder",
            f"Give the folder: {key}=figures",
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

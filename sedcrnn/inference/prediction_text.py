"""The scene of every second of media files: any format, any length, with sound, picture or both.

python -m sedcrnn.predict run=<run folder, checkpoint or .onnx> <files or folder>
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import sedcrnn
from sedcrnn.augmentation.modality_dropout import TRACKS
from sedcrnn.errors import ClipError, ConfigError, DataError
from sedcrnn.inference.file_prediction import Prediction, write_predictions_csv, write_predictions_json
from sedcrnn.inference.media import Media, find_media

PICTURES = (".png", ".pdf", ".svg")


def predict_files(
    run: str,
    files: Sequence[str],
    head: str | None = None,
    top: int = 3,
    json: str | None = None,
    csv: str | None = None,
    plot: str | None = None,
    batch_size: int = 4,
    device: str = "cpu",
) -> None:
    """Predict all files, print their tables and write what is asked for; what cannot be read is told at the end.

    Raises:
        SedcrnnError: before anything is predicted, for what is misused; afterwards a DataError, for files that cannot
            be read.
    """
    for key, value in {"json": json, "csv": csv}.items():
        if value is not None and Path(value).is_dir():
            raise ConfigError(f"{key}={value} is a folder", "It is a file", f"Give {key}={value}/predictions.{key}")
    media = find_media(files)
    pictures = picture_paths(media, plot)
    predictor = sedcrnn.load(run, device)
    predictor.check_head(head)
    predictions: list[Prediction] = []
    refused: dict[str, str] = {}
    for one, picture in zip(media, pictures, strict=True):
        try:
            prediction = predictor.predict(one.picture, one.sound, head, batch_size, progress=True)
        except ClipError as error:
            refused[one.name] = error.found
            continue
        predictions.append(prediction)
        print(*table(prediction, one.name, predictor.heads, top), "", sep="\n", flush=True)
        if picture is not None:
            # Here, because it takes a second to load.
            from sedcrnn.plotting.timeline import write_timeline

            write_timeline(picture, prediction, one.name)
    if json is not None:
        about = {"sedcrnn": sedcrnn.__version__, "run": str(predictor.model.path), "unreadable": refused}
        write_predictions_json(Path(json), predictions, predictor.scenes, **about)
    if csv is not None:
        write_predictions_csv(Path(csv), predictions, predictor.scenes)
    for written in (json, csv, plot if predictions else None):
        if written is not None:
            print(written)
    if refused:
        print("Not predicted:", *(f"  {message}" for message in refused.values()), sep="\n", file=sys.stderr)
        raise DataError(
            f"{len(refused)} of {len(media)} files could not be predicted",
            "Files are whole, last a second or longer, and have the sound or the picture that the head takes",
            f"Mend those listed above, or leave them out; {len(predictions)} were predicted",
        )


def table(prediction: Prediction, name: str, heads: Sequence[str], top: int) -> Iterator[str]:
    """Lines for the terminal: what answered, a row per second, and one for the whole file."""
    seconds = len(prediction.seconds)
    yield f"{name}: {seconds} s, {prediction.head} head"
    yield from notes(prediction, heads)
    width = max(map(len, prediction.scenes))

    def row(label: str, scenes: Iterable[tuple[str, float]]) -> str:
        return f"{label:>7}  " + "  ".join(f"{scene:{width}} {probability:.3f}" for scene, probability in scenes)

    yield f"{'second':>7}  likeliest scenes"
    for second in range(seconds):
        yield row(str(second), prediction.top(top, second))
    yield row("all", prediction.top(top))


def notes(prediction: Prediction, heads: Sequence[str]) -> Iterator[str]:
    """What a reader of the answers has to know of the tracks that they rest on, in sentences."""
    tracks = prediction.tracks
    if "late" in heads and len(tracks) < len(TRACKS):
        absent = next(track for track in TRACKS.values() if track not in tracks)
        yield f"It has no {absent}: the {prediction.head} network answers alone."
    if len(set(tracks.values())) > 1:
        told = " and ".join(f"{seconds} s of {track}" for track, seconds in tracks.items())
        yield f"It has {told}: what has no counterpart is left out."


def picture_paths(media: Sequence[Media], plot: str | None) -> list[Path | None]:
    """Where the picture of each file goes: one file, or a folder with a picture named after each.

    Raises:
        ConfigError: one picture for several files.
    """
    if plot is None:
        return [None] * len(media)
    path = Path(plot)
    if path.suffix.lower() not in PICTURES:
        paths: dict[Path, None] = {}
        for one in media:
            stem = one.picture.stem
            names = (f"{stem}{number}.png" for number in ("", *(f"-{repeat}" for repeat in range(2, len(media) + 2))))
            paths[next(path / name for name in names if path / name not in paths)] = None
        return list(paths)
    if len(media) > 1:
        raise ConfigError(
            f"plot={plot} is one picture, for {len(media)} files",
            "Several files have a picture each, in a folder",
            "Give the folder: plot=timelines",
        )
    return [path]

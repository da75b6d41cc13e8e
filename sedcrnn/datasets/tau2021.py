"""TAU Urban Audio-Visual Scenes 2021: its folder -> the manifest of its clips; and the evaluation set of DCASE 2021
Task 1B, 72,000 clips of one second, numbered and unlabelled."""

import csv
from collections.abc import Collection
from pathlib import Path
from types import MappingProxyType

from sedcrnn.datasets.clips import TAU_SCENES, UNLABELLED, Clip, DataSource, Manifest, check_root
from sedcrnn.errors import DataError
from sedcrnn.features.feature import Feature

EVALUATION_FILES = 72_000

FOLD_LISTS = {"train": "fold1_train.csv", "test": "fold1_evaluate.csv"}
"""Fold -> its list. `fold1_test.csv` has the names of `fold1_evaluate.csv` without labels, so it is not needed."""


class Tau2021(DataSource):
    """The development set as its archives unpack: `audio/`, `video/`, `meta.csv` and `evaluation_setup/`; the lists may
    lie in a `*.meta` folder inside it.

    Attributes:
        archives: list of the published archives of both sets.
        known_faults: clip -> what those who have the data set report of its video.
    """

    archives = Path(__file__).with_name("tau2021_archives.csv")
    known_faults = MappingProxyType({"airport-lyon-1095-40158": "reported to have no usable video"})

    def __init__(self, root: str) -> None:
        self.root = Path(root)

    def manifest(self) -> Manifest:
        """The clips of both folds, in the order of the lists."""
        return read_tau_layout(self.root, name="tau2021")


def read_tau_layout(root: Path, name: str, scenes: tuple[str, ...] = TAU_SCENES) -> Manifest:
    """Read the fold lists of a data set in TAU layout: files are named `[scene]-[city]-[location]-[segment]`.

    Raises:
        DataError: a missing folder or list, an empty fold, a malformed row, or a label that is not a scene.
    """
    check_root(root, "It holds audio/, video/, meta.csv and evaluation_setup/")
    # The meta archive unpacks to a folder of its own.
    folders = [folder / "evaluation_setup" for folder in (root, *sorted(root.glob("*.meta")))]
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise DataError(
            f"The data set '{name}' has no evaluation_setup folder in {root}",
            f"It holds {' and '.join(FOLD_LISTS.values())}, in the root or in a *.meta folder inside it",
            "Unpack the meta archive there, or set data.root to the right folder",
        )
    clips: list[Clip] = []
    for fold, file_name in FOLD_LISTS.items():
        path = folder / file_name
        lines = path.read_text("utf-8-sig").splitlines() if path.is_file() else []
        if len(lines) < 2:
            raise DataError(
                f"The {fold} fold of the data set '{name}' is empty: {path} "
                + ("has no rows" if path.is_file() else "does not exist"),
                "Every fold needs at least one clip",
                "Restore the list from the data set's meta archive",
            )
        # Published lists have tabs, or commas as in the official baseline's copies, and CR, LF or CRLF.
        rows = csv.DictReader(lines, delimiter="\t" if "\t" in lines[0] else ",")
        clips += [_clip(row, root, fold, path) for row in rows]
    return Manifest(name, scenes, tuple(clips))


def _clip(row: dict[str, str], root: Path, fold: str, source: Path) -> Clip:
    if missing := [column for column in ("filename_audio", "filename_video", "scene_label") if not row.get(column)]:
        raise DataError(
            f"A row of {source} has no {', '.join(missing)}: {row}",
            "Columns are separated by tabs or commas, with the header filename_audio, filename_video, scene_label",
            "Correct the row, or restore the list from the meta archive",
        )
    audio = root / row["filename_audio"]
    parts = audio.stem.split("-")
    if len(parts) != 4:
        raise DataError(
            f"{source} lists '{row['filename_audio']}'",
            "File names are [scene]-[city]-[location]-[segment].wav",
            "Rename the file, or correct the row",
        )
    _, city, location, _ = parts
    return Clip(audio.stem, audio, root / row["filename_video"], row["scene_label"], city, f"{city}-{location}", fold)


class Tau2021Evaluation:
    """The evaluation set as its archives unpack: `audio/0.wav`, `video/0.mp4` and so on, in the root or in a folder
    inside it. Its labels are secret."""

    def __init__(self, root: str, files: int = EVALUATION_FILES) -> None:
        self.root, self.files = Path(root), files

    def clips(self, features: Collection[Feature]) -> tuple[Clip, ...]:
        """All clips in the order of their numbers, each with every file that the features are made from.

        Raises:
            DataError: a folder or files that are not there; what the features do without may be missing.
        """
        check_root(self.root, "It holds audio/0.wav, video/0.mp4 and so on")
        folders = (self.root, *sorted(self.root.iterdir()))
        audio, video = (
            next((folder / kind for folder in folders if (folder / kind).is_dir()), self.root / kind)
            for kind in ("audio", "video")
        )
        clips = tuple(
            Clip(str(n), audio / f"{n}.wav", video / f"{n}.mp4", UNLABELLED, city="", location="", fold="evaluation")
            for n in range(self.files)
        )
        needed = [feature.source(clip) for feature in features for clip in clips]
        if missing := [str(file) for file in needed if not file.is_file()]:
            raise DataError(
                f"{len(missing):,} of {len(needed):,} files of the evaluation set are missing: "
                f"{', '.join(missing[:3])}{' and more' * (len(missing) > 3)}",
                f"Files are numbered from 0 to {self.files - 1}, and each gets a prediction",
                "Unpack the archives of the evaluation set there, or set data.root to the folder that holds them",
            )
        return clips

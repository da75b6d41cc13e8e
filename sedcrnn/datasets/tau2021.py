"""A folder in the layout of TAU Urban Audio-Visual Scenes 2021 -> the manifest of its clips."""

import csv
from pathlib import Path
from types import MappingProxyType

from sedcrnn.datasets.clips import Clip, DataSource, Manifest
from sedcrnn.datasets.scenes import TAU_SCENES
from sedcrnn.errors import DataError

# Which of the data set's own lists makes which fold. `fold1_test.csv` has the names of `fold1_evaluate.csv`
# without labels, so it is not needed.
FOLD_LISTS = {"train": "fold1_train.csv", "test": "fold1_evaluate.csv"}


class Tau2021(DataSource):
    """The development set as its archives unpack: `audio/`, `video/`, `meta.csv` and `evaluation_setup/`.

    Args:
        root: the folder; the lists may lie in a `*.meta` folder inside it.

    Attributes:
        archives: list of the published archives of both sets, for `sedcrnn.data`.
        known_faults: clip -> what those who have the data set report of its picture.
    """

    archives = Path(__file__).with_name("tau2021_archives.csv")
    known_faults = MappingProxyType({"airport-lyon-1095-40158": "reported to have no usable video"})

    def __init__(self, root: str) -> None:
        self.root = Path(root)

    def manifest(self) -> Manifest:
        """The clips of both folds, in the order of the lists."""
        return read_tau_layout(self.root, name="tau2021")


def read_tau_layout(root: Path, name: str, scenes: tuple[str, ...] = TAU_SCENES) -> Manifest:
    """Read the fold lists of a data set in TAU layout.

    The file names say city and location: `[scene]-[city]-[location]-[segment]`.

    Raises:
        DataError: a missing folder or list, an empty fold, a malformed row, or a label that is not a scene.
    """
    if not root.is_dir():
        raise DataError(
            f"The folder of the data set '{name}' does not exist: {root}",
            "It holds audio/, video/, meta.csv and evaluation_setup/",
            "Set data.root=<folder>",
        )
    folder = _lists_folder(root, name)
    clips: list[Clip] = []
    for fold, file_name in FOLD_LISTS.items():
        rows = _read_rows(folder / file_name)
        if not rows:
            raise DataError(
                f"The {fold} fold of the data set '{name}' is empty: {folder / file_name} has no rows",
                "Every fold needs at least one clip",
                "Restore the list from the data set's meta archive",
            )
        clips += [_clip(row, root, fold, folder / file_name) for row in rows]
    return Manifest(name, scenes, tuple(clips))


def _lists_folder(root: Path, name: str) -> Path:
    """The `evaluation_setup` folder: in the root, or in the folder that the meta archive unpacks to."""
    for folder in (root, *sorted(root.glob("*.meta"))):
        if (folder / "evaluation_setup").is_dir():
            return folder / "evaluation_setup"
    raise DataError(
        f"The data set '{name}' has no evaluation_setup folder in {root}",
        f"It holds {' and '.join(FOLD_LISTS.values())}, in the root or in a *.meta folder inside it",
        "Unpack the meta archive there, or set data.root to the right folder",
    )


def _read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a list. Its columns are separated by tabs, or by commas as in the official baseline's copies; line
    endings may be CR, LF or CRLF. Published files have had each."""
    if not path.is_file():
        raise DataError(
            f"The list {path} does not exist",
            "Both fold lists are needed",
            "Unpack the data set's meta archive again",
        )
    lines = path.read_text("utf-8-sig").splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t" if lines and "\t" in lines[0] else ","))
    for row in rows:
        missing = [column for column in ("filename_audio", "filename_video", "scene_label") if not row.get(column)]
        if missing:
            raise DataError(
                f"A row of {path} has no {', '.join(missing)}: {row}",
                "Columns are separated by tabs or commas, with the header filename_audio, filename_video, scene_label",
                "Correct the row, or restore the list from the meta archive",
            )
    return rows


def _clip(row: dict[str, str], root: Path, fold: str, source: Path) -> Clip:
    audio, video = root / row["filename_audio"], root / row["filename_video"]
    parts = audio.stem.split("-")
    if len(parts) != 4:
        raise DataError(
            f"{source} lists '{row['filename_audio']}'",
            "File names are [scene]-[city]-[location]-[segment].wav",
            "Rename the file, or correct the row",
        )
    _, city, location, _ = parts
    return Clip(
        id=audio.stem,
        audio=audio,
        video=video,
        scene=row["scene_label"],
        city=city,
        location=f"{city}-{location}",
        fold=fold,
    )

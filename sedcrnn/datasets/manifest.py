"""A table of your own recordings (CSV, TSV or Parquet, one row per clip) -> the manifest of its clips."""

import csv
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from sedcrnn.datasets.clips import UNLABELLED, Clip, DataSource, Manifest
from sedcrnn.datasets.folds import UNDIVIDED, divide
from sedcrnn.errors import ConfigError, DataError, nearest, visible

log = logging.getLogger(__name__)

SEPARATORS = (";", "|", ",", "+", "/")  # that a column with several labels is likely to have


class ManifestFile(DataSource):
    """Clips as a table lists them, with their labels and, where it has them, groups and folds.

    Files are found by the bytes of their names, which need not be UTF-8; the rest of a table is text in UTF-8. Blanks
    around values are left out, unless a file has them in its name.

    With a `label_separator` the data are multi-label: a clip has any number of labels, `tram; crowd` say, and none
    where the cell is empty. Without one the whole text is its only label.

    A column that is not named here is called `video`, `audio`, `label`, `group` or `fold`, where the table has it. A
    clip is named by the path of its video (of its audio, where there is no column for video), as listed.

    Args:
        root: folder that the listed paths start from.
        manifest: the table; within the root, or anywhere as an absolute path.
        scenes, test_fraction, test_seed: as `divide` takes them.
        label_separator: what stands between the labels of a clip; None: it has one.
        columns: names of the columns, by `video_column`, `audio_column`, `label_column`, `group_column` and
            `fold_column`.
    """

    def __init__(
        self,
        root: str,
        manifest: str,
        scenes: Sequence[str] | None,
        test_fraction: float,
        test_seed: int,
        label_separator: str | None = None,
        **columns: str | None,
    ) -> None:
        self.root = Path(root)
        self.path = self.root / manifest
        self.columns = {role: columns.get(f"{role}_column") for role in ("video", "audio", "label", "group", "fold")}
        self.scenes, self.test_fraction, self.test_seed = scenes, test_fraction, test_seed
        self.separator = label_separator

    def manifest(self) -> Manifest:
        """The clips, in the order of the rows.

        Raises:
            DataError: a table that is missing, malformed, empty or lacks a value; none of its files where the root
                is; or labels and folds that cannot be used (`divide`).
            ConfigError: a column that the table does not have, or a Parquet file without pyarrow.
        """
        header, rows = _read_table(self.path)
        columns = self._find_columns(header)
        clips = [self._clip(row, number, columns) for number, row in enumerate(rows, start=2)]  # the header is row 1
        if self.separator is None:
            _warn_of_separators({clip.scene for clip in clips}, self.path)
        if not any(path.exists() for clip in clips for path in (clip.audio, clip.video)):
            raise DataError(
                f"None of the files that {self.path} lists exists: {clips[0].video}, ...",
                f"Listed paths start from data.root, which is {self.root}",
                "Set data.root=<folder>, or correct the paths",
            )
        used = ", ".join(f"{role} from '{column}'" for role, column in columns.items())
        unused = ", ".join(f"'{column}'" for column in header if column not in columns.values())
        source = f"{self.path} ({used}{f'; not used: {unused}' if unused else ''})"
        return divide("manifest", clips, self.scenes, self.test_fraction, self.test_seed, source)

    def _find_columns(self, header: Sequence[str]) -> dict[str, str]:
        """Role -> column, of the roles that the table has."""
        for role, column in self.columns.items():
            if column is not None and column not in header:
                raise ConfigError(
                    f"data.source.{role}_column is '{column}', which {self.path} does not have",
                    f"Its columns are {', '.join(header)}; the nearest is {nearest(column, header)}",
                    "Correct the name",
                )
        columns = {role: column or role for role, column in self.columns.items() if (column or role) in header}
        for needed in ({"video", "audio"}, {"label"}):
            if not needed & columns.keys():
                names = " or ".join(f"'{role}'" for role in sorted(needed, reverse=True))
                raise ConfigError(
                    f"{self.path} has no column {names}, but {', '.join(header)}",
                    "Every clip has a file and a label; columns are separated by commas, semicolons or tabs",
                    f"Say which column it is: data.source.{max(needed)}_column=<column>",
                )
        return columns

    def _clip(self, row: Mapping[str, str], number: int, columns: Mapping[str, str]) -> Clip:
        value = {role: row[column].strip() for role, column in columns.items()}
        needed = ("video", "audio", "label") if self.separator is None else ("video", "audio")
        if missing := [columns[role] for role in needed if value.get(role) == ""]:
            raise DataError(
                f"Row {number} of {self.path} has no {' and no '.join(missing)}",
                "Every row names the clip's file or files and its label",
                "Complete or remove the row; where clips have any number of labels, set data.source.label_separator",
            )
        for role in value.keys() & {"label", "group", "fold"}:
            if visible(value[role]) != value[role]:
                found = f"row {number} has the {role} '{visible(value[role])}', which is no line of text"
                raise _malformed(self.path, found)
        files = {role: self._file(row[columns[role]]) for role in ("video", "audio") if value.get(role)}
        video = files.get("video") or files["audio"]
        audio, group = files.get("audio") or video, value.get("group") or video
        fold = value.get("fold", UNDIVIDED)
        scene, labels = value["label"], None
        if self.separator is not None:
            parts = (part.strip() for part in scene.split(self.separator))
            scene, labels = UNLABELLED, tuple(sorted({part for part in parts if part}))
        return Clip(video, self.root / audio, self.root / video, scene, "", group, fold, labels)

    def _file(self, listed: str) -> str:
        """A path in a row, with blanks around it where they belong to its name."""
        name = listed if listed != listed.strip() and (self.root / listed).is_file() else listed.strip()
        if visible(name) != name and not (self.root / name).exists():  # rather a text of another encoding than a name
            raise _malformed(self.path, f"no file has the listed name '{visible(name)}', byte for byte")
        return name


def _warn_of_separators(labels: set[str], path: Path) -> None:
    """Say of labels that are made of others, `tram; crowd` beside `tram` and `crowd`, how they are read as several."""
    for separator in SEPARATORS:
        for label in sorted(label for label in labels if separator in label):
            if {part.strip() for part in label.split(separator)} <= labels:
                log.warning(
                    "%s: the label '%s' is read as one scene, and its parts are scenes too. If clips have several "
                    "labels, set data.source.label_separator='%s'.",
                    *(path, visible(label), separator),
                )
                return


def _read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The header and the rows of a table, every value as text."""
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".parquet": _read_parquet}
    if not path.is_file() or path.suffix.lower() not in readers:
        raise DataError(
            f"The manifest {path} " + ("is of an unknown kind" if path.is_file() else "does not exist"),
            f"It ends in {', '.join(readers)}, and lies in data.root unless it is given as an absolute path",
            "Set data.source.manifest=<file>",
        )
    table = list(readers[path.suffix.lower()](path))
    if len(table) < 2:
        raise _malformed(path, "it has no rows")
    header, *rows = [value.strip() for value in table[0]], *table[1:]
    if len(set(header)) < len(header):
        raise _malformed(path, f"it has two columns of one name ({', '.join(header)})")
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def _read_csv(path: Path) -> Iterator[list[str]]:
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape").lstrip("\r\n")
        delimiter = max(",;\t", key=text.splitlines()[0].count) if text else ","  # what the header holds most of
        lines = StringIO(text, newline="")  # names of files may hold any line end, in quotes
        table = [row for row in csv.reader(lines, delimiter=delimiter, strict=True) if row]
    except csv.Error as error:
        raise _malformed(path, str(error)) from error
    for number, row in enumerate(table, start=1):
        if len(row) != len(table[0]):
            raise _malformed(path, f"row {number} has {len(row)} values, the header {len(table[0])}")
        yield row


def _read_parquet(path: Path) -> Iterator[list[str]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{path} is a Parquet file, for which pyarrow is missing",
            "It is an optional part of sedcrnn; csv and tsv need nothing more",
            f"Install it: {sys.executable} -m pip install 'sedcrnn[parquet]', or write the manifest as csv",
        ) from error
    try:
        table: Any = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise _malformed(path, str(error)) from error
    yield [str(name) for name in table.column_names]
    for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
        yield ["" if value is None else str(value) for value in row]


def _malformed(path: Path, what: str) -> DataError:
    return DataError(
        f"The manifest {path} cannot be read: {what}",
        "It has a header of different names and a row of as many values for every clip, in UTF-8 where it is text",
        "Correct the file, or write it again",
    )

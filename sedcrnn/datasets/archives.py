"""A data set's list of published archives -> those that were asked for."""

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from sedcrnn.errors import ConfigError, nearest

SETS = ("development", "evaluation", "both")


@dataclass(frozen=True)
class Archive:
    """One published zip file.

    Attributes:
        set: `development` or `evaluation`.
        record: number of the repository's record that holds it.
        name: file name: `<set's name>.<part>[.<number>].zip`.
        bytes: its size.
        md5: its MD5, in hexadecimal digits.
    """

    set: str
    record: str
    name: str
    bytes: int
    md5: str

    @property
    def part(self) -> str:
        """What it holds: `doc`, `meta`, `examples`, `audio` or `video`."""
        return self.name.split(".")[1]

    @property
    def folder(self) -> str:
        """Where it is unpacked, relative to the root. The sets have files of the same names, so each has its own."""
        return "" if self.set == "development" else self.set


def read_archives(path: Path) -> tuple[Archive, ...]:
    """Read a list of archives: CSV with the columns split, zenodo_record, archive, bytes, md5."""
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(
            Archive(row["split"], row["zenodo_record"], row["archive"], int(row["bytes"]), row["md5"])
            for row in csv.DictReader(file)
        )


def select(archives: Sequence[Archive], wanted: str, only: Collection[str] | None) -> tuple[Archive, ...]:
    """The archives of a set, or of both, and of some parts of it.

    Args:
        archives: all of them.
        wanted: `development`, `evaluation` or `both`.
        only: parts; None or none: all.

    Raises:
        ConfigError: a set or part that does not exist.
    """
    if wanted not in SETS:
        raise ConfigError(f"set={wanted}", f"The nearest is {nearest(wanted, SETS)}", f"Use one of {', '.join(SETS)}")
    of_set = [archive for archive in archives if wanted in (archive.set, "both")]
    parts = list(dict.fromkeys(archive.part for archive in of_set))
    for part in only or ():
        if part not in parts:
            raise ConfigError(
                f"only={part}",
                f"The nearest is {nearest(part, parts)}; set={wanted} has the parts {', '.join(parts)}",
                f"Use some of them, as in only={','.join(parts[-2:])}",
            )
    return tuple(archive for archive in of_set if not only or archive.part in only)

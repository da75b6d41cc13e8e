"""Places where a command is going to write, tried before its work: a folder, permission, room, and a name that fits."""

import os
import tempfile
from pathlib import Path

from sedcrnn.errors import ConfigError

ROOM = 64 * 1024  # bytes that are written for trial
LONGEST_NAME = 255  # bytes that file systems give the name of a file


def check_place(key: str, value: str | Path | None, is_folder: bool = False, remedy: str = "") -> None:
    """Make sure that a file, or a folder of files, can be written where an option says; None: there is none to write.
    `remedy` is what to do otherwise.

    Raises:
        ConfigError: naming the option and what stands against it.
    """
    if value is None:
        return
    path = Path(value)
    try:
        problem = _problem(path, is_folder)
    except OSError as error:
        problem = f"cannot be written: {error.strerror}"
    if problem:
        raise ConfigError(
            f"{key}={value} {problem}",
            "Where results go is tried before the work begins",
            remedy or f"Choose another place: {key}=<{'folder' if is_folder else 'file'}>",
        )


def name_after(file: Path, ending: str) -> str:
    """The name of a file that is made from another: that one's without suffix, as much as there is room for."""
    whole = os.fsencode(file.stem)
    kept = whole[: LONGEST_NAME - len(ending)]
    return f"{file.stem if kept == whole else kept.decode(errors='ignore')}{ending}"


def _problem(path: Path, is_folder: bool) -> str:
    """What stands against a place; empty: nothing."""
    if path.is_dir() and not is_folder:
        return "is a folder, and not a file"
    if path.exists() and is_folder and not path.is_dir():
        return "is a file, and not a folder"
    above = path if is_folder else path.parent
    while not os.path.lexists(above):
        above = above.parent
    if not above.is_dir():
        return f"cannot be written: {above} is no folder"
    # What lies between is made when it is needed. A file without a name leaves nothing behind.
    with tempfile.TemporaryFile(dir=above, buffering=0) as file:
        file.write(bytes(ROOM))
    return ""

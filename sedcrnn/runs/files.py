"""Files that are whole or not there: written under another name beside their own, then renamed."""

import fcntl
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

_PARTIAL = ".partial"  # in the name of what is being written, after the place and the number of the process that writes
_ABANDONED = 24 * 3600.0  # seconds after which what another computer was writing is taken for left behind


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix, moved to `path` when the block ends well and removed when not.

    Its name is random, so that two processes may make the same file, and short, whatever that of `path`. What killed
    processes have left in the folder is removed when a process first writes there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path.parent)
    temporary = path.with_name(f".{_place()}-{os.getpid()}-{uuid.uuid4().hex[:12]}{_PARTIAL}{path.suffix[-16:]}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _keep_name(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write plain data as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


@contextmanager
def locked(path: Path, in_use: Exception | None) -> Iterator[None]:
    """Hold a lock file, at most as long as this process lives; raise `in_use` if another process holds it, or, without
    such an error, wait for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if in_use else 0))
        except BlockingIOError:
            assert in_use is not None
            raise in_use from None
        yield


def _keep_name(folder: Path) -> None:
    """Make a new name in a folder survive a power cut, where its file system can."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@cache
def _remove_abandoned(folder: Path) -> None:
    """Remove what processes that are gone were writing in a folder."""
    for file in folder.glob(f".*{_PARTIAL}*"):
        place, process, *_ = [*file.name[1:].split("-"), "", ""]
        with suppress(OSError):  # another process may be quicker, or the folder another's
            is_gone = not _lives(int(process)) if place == _place() and process.isdecimal() else False
            if is_gone or time.time() - file.stat().st_mtime > _ABANDONED:
                file.unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@cache
def _place() -> str:
    """Where numbers of processes mean this computer's, since it was started, in this container."""
    parts = [os.uname().nodename]
    with suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text(), str(Path("/proc/self/ns/pid").readlink())]
    return hashlib.blake2b("".join(parts).encode(), digest_size=4).hexdigest()

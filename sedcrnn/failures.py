"""What a command says when it fails: one paragraph where its user can do something about it, else a traceback.

An error of this package says by itself what to do. Those of the system, of SQLite, YAML and others that Python raises
for files, disks and memory are put into words here, with the file concerned.
"""

import errno
import io
import json
import os
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

import sedcrnn
from sedcrnn.config.mistakes import in_words_of_config
from sedcrnn.errors import ConfigError, SedcrnnError
from sedcrnn.signals import asked_to_end, end_without_reader

GO_ON = "give the same command again: what is finished is kept"
BUG = (
    f"This is a fault of sedcrnn {sedcrnn.__version__}, and not of yours. Please report it among the issues of the "
    "repository that it came from, with the command and the lines above."
)


@contextmanager
def told(config_name: str, composing: bool = False) -> Iterator[None]:
    """Around the work of a command: what fails ends it with exit code 1, in words or, where it is a bug, with its
    traceback and where to report it.

    Args:
        config_name: of the config that the command composes.
        composing: the config is made in the block; what libraries refuse there is a mistake in it.
    """
    try:
        yield
    except Exception as error:
        if asked_to_end():
            raise
        if isinstance(error, BrokenPipeError):
            end_without_reader()
        if (paragraph := in_words(error, config_name, composing)) is None:
            traceback.print_exception(error)
            paragraph = BUG
        print(f"\nError: {paragraph}".encode(errors="replace").decode(), file=sys.stderr)
        sys.exit(1)


def in_words(error: Exception, config_name: str, composing: bool = False) -> str | None:
    """What was found, what is allowed and what to do; None for a bug. Arguments as those of `told`."""
    if isinstance(error, SedcrnnError):
        return str(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return in_words_of_config(error, config_name)
    for kind, words in _WORDS.items():
        if isinstance(error, kind):
            return str(SedcrnnError(*words(error)))
    text, name = _text(error), type(error).__name__
    if " in DataLoader worker process " in str(error):  # torch has made text of what was raised there
        kind_of_error, _, told_there = str(error).strip().splitlines()[-1].partition(": ")
        return told_there if kind_of_error.startswith("sedcrnn.errors.") else None
    if name == "OutOfMemoryError":
        return str(SedcrnnError(f"The GPU has no memory left: {text}", "A batch has to fit", "Lower the batch size"))
    if name == "MisconfigurationException":
        return str(SedcrnnError(f"Lightning refuses this: {text}", "Its Trainer says so", "Correct the config"))
    if "can't allocate memory" in text:  # torch, on a CPU
        return str(SedcrnnError(*_memory(error)))
    if text.startswith("DataLoader worker") and ("killed" in text or "exited" in text):
        return str(SedcrnnError(*_killed(error)))
    if composing and not _innermost(error).f_globals.get("__name__", "").startswith("sedcrnn"):
        return str(ConfigError(f"The config cannot be composed: {name}: {text}", *_CONFIG))
    return None


_CONFIG = ("It is YAML as conf/ has it, and values are given as key=value", "Correct the file or the value")


def _of_the_system(error: Exception) -> tuple[str, str, str]:
    assert isinstance(error, OSError)
    file = _named(error)
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"There is no room left on the disk for {file}", "It needs room", f"Make some, and {GO_ON}"
        case errno.EROFS:
            return f"{file} lies on a read-only file system", "It is to be written", "Choose another place"
        case errno.EACCES | errno.EPERM:
            return f"This user may not use {file}", "It takes the permission", "Change it, or choose another place"
        case errno.ENAMETOOLONG:
            return f"The name of {file} is too long", "Names have 255 bytes at most", "Choose a shorter one"
        case errno.EMFILE | errno.ENFILE:
            return "Too many files are open at a time", "The system allows so many", "Allow more: ulimit -n 65536"
        case errno.ENOENT:
            return f"{file} does not exist", "It is there as long as the command runs", f"Restore it, and {GO_ON}"
        case errno.ENOMEM:
            return _memory(error)
    return f"{file} cannot be used: {_text(error)}", "The system has to allow it", f"Mend that, and {GO_ON}"


def _of_yaml(error: Exception) -> tuple[str, str, str]:
    mark = getattr(error, "problem_mark", None)
    file = f"'{mark.name}'" if mark is not None and mark.name != "<unicode string>" else _named(error)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or _text(error)
    where = f", line {mark.line + 1}" if mark is not None else ""
    return f"{file} is no YAML{where}: {problem}", "It holds keys and values as conf/ has them", "Correct the file"


def _of_text(error: Exception) -> tuple[str, str, str]:
    return f"{_named(error)} is no UTF-8 text: {_text(error)}", "Texts are in UTF-8", "Write the file again in UTF-8"


def _of_json(error: Exception) -> tuple[str, str, str]:
    return (
        f"{_named(error)} is no whole JSON: {_text(error)}",
        "It was written by a command",
        "Remove it, and make it anew",
    )


def _of_sqlite(error: Exception) -> tuple[str, str, str]:
    return f"SQLite cannot use {_named(error)}: {_text(error)}", "Its files can be made again", "Remove it"


def _memory(error: Exception) -> tuple[str, str, str]:
    detail = f" ({_text(error)})" if _text(error) else ""
    return (
        f"There is not enough memory for {_named(error)}{detail}",
        "A batch, and a file as it is read, have to fit",
        "Lower the batch size, use fewer workers, or leave the file out",
    )


def _killed(_: Exception) -> tuple[str, str, str]:
    return (
        "A process that this command had started was killed",
        "As a rule the system does so when memory runs out",
        f"Use fewer workers or a smaller batch, and {GO_ON}",
    )


_WORDS: dict[type[Exception], Callable[[Exception], tuple[str, str, str]]] = {
    OSError: _of_the_system,
    sqlite3.Error: _of_sqlite,
    YAMLError: _of_yaml,
    UnicodeError: _of_text,
    json.JSONDecodeError: _of_json,
    MemoryError: _memory,
    BrokenProcessPool: _killed,
}


def _text(error: Exception) -> str:
    """The error's own words in a line."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return " ".join(text.split())[:300]


def _named(error: Exception) -> str:
    """The file that an error is about: that which it names, or the one that was open where it was raised."""
    name = getattr(error, "filename", None)
    if isinstance(name, bytes | str) and name:
        return f"'{os.fsdecode(name)}'"
    for frame in _frames(error):
        values = list(frame.f_locals.values())
        files = [str(name) for one in values if isinstance(one, io.IOBase) and (name := getattr(one, "name", None))]
        if found := [*files, *(str(one) for one in values if isinstance(one, Path))]:
            return f"'{found[0]}'"
    return "a file"


def _frames(error: Exception) -> list[FrameType]:
    """Where it was raised, the innermost first."""
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)][::-1]


def _innermost(error: Exception) -> FrameType:
    return _frames(error)[0]

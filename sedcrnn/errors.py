"""Errors that a user can mend: each says what was found, what is allowed and what to do next."""

import difflib
import importlib
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class SedcrnnError(Exception):
    """A user's mistake or bad input, told in one paragraph. Commands print it without a traceback and exit with 1.

    Args:
        found: what was found, with the file, key or value concerned.
        allowed: what would have been right.
        remedy: what to do next.
    """

    def __init__(self, found: str, allowed: str, remedy: str) -> None:
        self.found, self.allowed, self.remedy = found, allowed, remedy
        super().__init__(found, allowed, remedy)  # all three, so that the error survives a trip between processes

    def __str__(self) -> str:
        sentences = (self.found, self.allowed, self.remedy)
        return visible(" ".join(one if one.endswith((".", "?")) else f"{one}." for one in sentences))


class ConfigError(SedcrnnError):
    """A config value, key or choice that does not exist or does not fit."""


class DataError(SedcrnnError):
    """A data set, list or fold that cannot be used as it is."""


class ClipError(DataError):
    """One clip's media that cannot be read, or are not what the data set declares. The only error that the policy
    for unreadable clips (`data.unreadable`) may turn into a skipped and listed clip."""


class MissingTrackError(ClipError):
    """A file that can be opened and has no sound track, or no picture, at all: nothing is damaged."""


class CheckpointError(SedcrnnError):
    """A run folder or checkpoint that is missing, unfinished or of the wrong stage."""


class TrustError(SedcrnnError):
    """A file that names a class of a package that its user has not said to trust."""


class JobsFailedError(SedcrnnError):
    """A sweep that went through all its jobs, some of which failed."""


class HopelessRunError(SedcrnnError):
    """A training was ended because its sweep has better ones; its run folder is `run`."""

    def __init__(self, found: str, allowed: str, remedy: str, run: Path) -> None:
        super().__init__(found, allowed, remedy)
        self.run = run
        self.args = (found, allowed, remedy, run)


class MissingExtraError(SedcrnnError):
    """A package that only some commands need, and that is not installed."""


class SubmissionError(SedcrnnError):
    """A challenge submission that breaks the challenge's rules."""


class WeightsError(SedcrnnError):
    """A file of pretrained weights that is missing, broken, or of another network or training."""


def visible(text: str) -> str:
    """Text, perhaps with names of files, on one line that any terminal, figure and UTF-8 file can show.

    Line ends, other control characters, and bytes of a name that are no text, which Python holds as lone surrogates,
    are written as escapes: `\\n`, `\\xfc`.
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    match unicodedata.category(character):
        case "Cs":
            return f"\\x{ord(character) & 0xFF:02x}"
        case "Cc" | "Zl" | "Zp":
            return character.encode("unicode_escape").decode()
    return character


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names closest to a misspelt one, quoted."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5) or known[:8]
    return " or ".join(f"'{match}'" for match in close)


def check_choice(what: str, value: str, allowed: Iterable[str]) -> None:
    """Refuse a config value that is none of those allowed.

    Raises:
        ConfigError: naming the nearest.
    """
    allowed = tuple(allowed)
    if value not in allowed:
        raise ConfigError(
            f"The {what} is '{value}'",
            f"It is one of {', '.join(allowed)}; the nearest is {nearest(value, allowed)}",
            "Correct the spelling",
        )


def import_extra(module: str, extra: str, needing: str) -> Any:
    """The module of a package that is not among the dependencies: `extra` installs it, `needing` begins the message.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"The package '{module.partition('.')[0].replace('_', '-')}' is not installed",
            f"{needing} the extra '{extra}' of sedcrnn",
            f"Install it: pip install 'sedcrnn[{extra}]', or in a checkout: uv pip install --editable '.[{extra}]'",
        ) from error

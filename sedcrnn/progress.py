"""How far something is: a bar on a terminal; in a log, a plain line now and then of what takes long."""

import io
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tqdm import tqdm

from sedcrnn.sweeps.ranks import is_first_process

BETWEEN_LINES = 30.0  # seconds between two lines of a log, and before the first

_IN_A_LOG = {
    "mininterval": BETWEEN_LINES,
    "maxinterval": BETWEEN_LINES,
    "delay": BETWEEN_LINES,
    "leave": False,
    "position": 0,
    "bar_format": "{desc}: {n_fmt} of {total_fmt} {unit}, about {remaining} left",
}


class _Lines(io.StringIO):
    """Takes what a bar writes, and passes on its text as lines, without what moves a terminal's cursor."""

    def write(self, text: str) -> int:
        if line := text.strip():
            print(line, file=sys.stderr, flush=True)
        return len(text)


def in_a_log() -> bool:
    """Whether nobody looks at a terminal: standard error, where bars are drawn, goes to a file or a pipe."""
    return not sys.stderr.isatty()


def progress(over: Iterable[Any] | None = None, about: str | None = None, **options: Any) -> "tqdm[Any]":
    """A tqdm bar, which may be gone through or updated, of the first of several processes; `options` are tqdm's."""
    options["disable"] = bool(options.get("disable")) or not is_first_process()
    if in_a_log():
        options |= {**_IN_A_LOG, "file": _Lines()}
    return tqdm(over, about, **options)


def is_before(written: str, moment: float) -> bool:
    """Whether a time as records have it, in whole seconds, lies before a moment of `time.time()`."""
    return datetime.fromisoformat(written).timestamp() < int(moment)


def time_in_words(seconds: float) -> str:
    """A duration as people say it: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

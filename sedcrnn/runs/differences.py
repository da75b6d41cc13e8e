"""Two nested configs -> the values in which they differ, by dotted key: what a user is told of an earlier run."""

from collections.abc import Mapping
from typing import Any

SHOWN = 6
"""The most differences that are told one by one."""

SHORT = 60
"""Characters of a value, at most."""


class _Absent:
    """Stands for a value where the key does not exist."""

    def __repr__(self) -> str:
        return "(absent)"


ABSENT = _Absent()

Differences = dict[str, tuple[Any, Any]]


def differences(old: Any, new: Any, prefix: str = "") -> Differences:
    """Dotted key -> (old value, new value) wherever they differ; `ABSENT` where one has no such key.

    Lists and tuples are values, and the same if their items are.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: Differences = {}
        for key in [*old, *(key for key in new if key not in old)]:
            name = f"{prefix}.{key}" if prefix else str(key)
            found |= differences(old.get(key, ABSENT), new.get(key, ABSENT), name)
        return found
    same = list(old) == list(new) if isinstance(old, list | tuple) and isinstance(new, list | tuple) else old == new
    return {} if same else {prefix: (old, new)}


def told(found: Differences) -> str:
    """Differences in one line: `recipe.mixup_alpha: 0.4 -> 0.3; seed: 1 -> 2`."""
    shown = [f"{key}: {_short(old)} -> {_short(new)}" for key, (old, new) in list(found.items())[:SHOWN]]
    return "; ".join(shown) + (f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= SHORT else f"{text[: SHORT - 3]}..."

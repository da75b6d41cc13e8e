"""What a file says of itself -> a check that it is plain data of a size that can be worked with.

A few bytes can describe a list of a billion entries, or one that contains itself: whatever walks through it does not
come to an end. This walk does.
"""

from collections.abc import Mapping
from typing import Any

MOST_VALUES = 5_000
DEEPEST = 20


def check_plain(value: Any) -> None:
    """Refuse what is not made of texts, numbers, truth values and None, in lists and in mappings with texts as keys.

    Raises:
        ValueError: another type, more than 5,000 values (those of lists of texts alone do not count), or more than 20
            levels.
    """
    left = MOST_VALUES
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > DEEPEST:
            raise ValueError(f"it says more of itself than {MOST_VALUES:,} values on {DEEPEST} levels")
        if isinstance(one, Mapping):
            waiting += [(key, depth + 1) for key in one] + [(inner, depth + 1) for inner in one.values()]
            if not all(isinstance(key, str) for key in one):
                raise ValueError("it has keys that are no texts")
        elif isinstance(one, list | tuple):
            if not all(isinstance(inner, str) for inner in one):  # scenes and locations may be many
                waiting += [(inner, depth + 1) for inner in one[: left + 1]]
        elif isinstance(one, int | float):
            if isinstance(one, int) and one.bit_length() > 64:
                raise ValueError("it has a number of more than 64 bits")
        elif not isinstance(one, str | None):
            raise ValueError(f"it has a value of the type {type(one).__name__}")

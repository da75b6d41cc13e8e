"""The words of a command line -> Hydra's overrides: words get their keys, and paths are taken to the letter."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from sedcrnn.config.checking import described, is_verbatim
from sedcrnn.config.composition import quoted
from sedcrnn.config.values import known_keys
from sedcrnn.errors import ConfigError

# Hydra's options, and those that are followed by a value.
_OPTIONS = {"--hydra-help", "--resolve", "--run", "--multirun", "--shell-completion", "-sc"}
_WITH_VALUE = {"--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd",
               "--info", "-i", "--experimental-rerun"}  # fmt: skip

# Values that are Hydra's, also of keys that name paths: no path, a quoted text, a resolver; in a sweep, a function.
_HYDRAS = re.compile(r"""null|\?\?\?|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\$\{[\w.]+:.*""", re.DOTALL)
_SWEEPS = re.compile(r"(choice|range|interval|glob|sort|shuffle|tag|int|float|str)\(.*\)", re.DOTALL)


def overrides(arguments: Sequence[str], words: Sequence[str], options: type) -> list[str]:
    """Command-line arguments -> Hydra's, with words as overrides, and with paths and lists as they were written. Hydra
    takes overrides as one group, so that its options come after them, wherever they were written.

    What names a file or folder that is there is a word, whatever it looks like; so is all that follows `--`.

    Raises:
        ConfigError: a word that no key takes, or an option that Hydra does not have.
    """
    known, is_sweep = described(options), bool({"-m", "--multirun"} & set(arguments))
    plain: list[str] = []
    result: list[str] = []
    hydras: list[str] = []
    options_end = arguments.index("--") if words and "--" in arguments else len(arguments)
    for before, argument in zip(["", *arguments], arguments[:options_end], strict=False):
        key, equals, value = argument.partition("=")
        kind = _kind(key.lstrip("+"), known)
        is_option = key in _OPTIONS | _WITH_VALUE or before in _WITH_VALUE
        # os.path, for Path raises for long values; a folder may not take the place of a key's value
        if words and not is_option and os.path.lexists(argument) and (os.path.isfile(argument) or kind is None):  # noqa: PTH113
            plain.append(argument)
        elif equals and kind is not None:
            result.append(f"{key}={_swept(value, kind) if is_sweep else _written(value, kind)}")
        elif argument.startswith("--") and not is_option:
            name, text = argument[2:], "key=value" if equals else f"{argument[2:]}=<value>"
            raise ConfigError(f"There is no option '--{name}'", "Values are given without dashes", f"Give {text}")
        elif is_option or argument.startswith("-"):  # what follows an option belongs to it: --cfg job
            hydras.append(argument)
        elif equals or argument.startswith("~"):
            result.append(argument)
        else:
            plain.append(argument)
    plain += arguments[options_end + 1 :]
    for key in words:
        if key.endswith("*") and plain:
            result.append(f"{key[:-1]}=[{','.join(map(quoted, plain))}]")
            plain = []
        elif plain:
            result.append(f"{key}={quoted(plain.pop(0))}")
    if plain:
        taken = f"; without a key may be given: {', '.join(key.rstrip('*') for key in words)}" if words else ""
        raise ConfigError(
            f"The command line holds '{plain[0]}'", f"Values are given as key=value{taken}", "--help lists all keys"
        )
    return [*result, *hydras]


def _kind(key: str, known: Mapping[str, tuple[str, Any]]) -> Any:
    """The type of a key; of those inside a node, of which the config decides what it builds, that of a path."""
    if key in known:
        return known[key][1]
    node, _, name = key.rpartition(".")
    if node not in known:
        return None
    kinds = (get_type_hints(keys, include_extras=True).get(name) for keys in known_keys())
    return next((kind for kind in kinds if is_verbatim(kind)), None)


def _written(value: str, kind: Any) -> str:
    """A value of a key in Hydra's grammar: paths to the letter, and lists also as `a,b`."""
    is_list = "list[" in str(kind)
    if _HYDRAS.fullmatch(value) or (is_list and value.startswith("[") and value.endswith("]")):
        return value
    if is_list:
        return f"[{','.join(map(quoted, value.split(','))) if is_verbatim(kind) else value}]"
    return quoted(value) if is_verbatim(kind) else value


def _swept(value: str, kind: Any) -> str:
    """A value in a sweep, which is Hydra's to take apart; of paths, each between commas to the letter."""
    if not is_verbatim(kind) or "list[" in str(kind) or _HYDRAS.fullmatch(value) or _SWEEPS.fullmatch(value):
        return value
    parts = [value] if os.path.lexists(value) else value.split(",")
    return ",".join(_written(part, kind) for part in parts)

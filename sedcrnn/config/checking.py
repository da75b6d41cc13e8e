"""A composed config -> the checked config of a command, or an error in words: what was found, what is allowed.

Every key has its type, its range and its sentence in one place: the config's class (`stage_config` for training, the
options of a command on its own page). Checks, errors and help are made of these.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.config.values import Verbatim, keys_of
from sedcrnn.errors import ConfigError, nearest

OWN_DATA = "Own recordings are a data set of their own: data=folder data.root=<folder>, or data=manifest"


def checked(config: DictConfig | Mapping[str, Any], shape: Any = TrainConfig) -> Any:
    """A composed config as an instance of its class.

    Raises:
        ConfigError: an unknown key (with the nearest valid one), a value of the wrong type or range, a mandatory value
            that is missing, or a node that may not stand where it does.
    """
    plain: Any = config
    if isinstance(config, DictConfig):
        given: Any = OmegaConf.to_container(config, resolve=False)
        if absent := [key for key, value in _leaves(given) if value == "???"]:
            # What is wrong with the other values is said first.
            _validated(
                _without(given, lambda value: isinstance(value, str) and ("${" in value or value == "???")), shape
            )
            raise missing(absent[-1])
        try:
            plain = OmegaConf.to_container(config, resolve=True)
        except OmegaConfBaseException as error:
            raise ConfigError(
                f"The config value '{error.full_key}' cannot be resolved: {str(error).splitlines()[0]}",
                "What it refers to exists",
                "Correct the value",
            ) from error
    return _validated(plain, shape, is_whole=True)


def _validated(plain: Any, shape: Any, is_whole: bool = False) -> Any:
    try:
        return _adapter(shape).validate_python(plain)
    except ValidationError as error:
        details = [one for one in error.errors(include_url=False) if is_whole or not one["type"].startswith("missing")]
        if details:
            raise _in_words(details, plain, list(described(shape, plain))) from error
    return None


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a plain config by its dotted key."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + str(key), value


def _without(node: Any, left_out: Callable[[Any], bool]) -> Any:
    if not isinstance(node, Mapping):
        return node
    return {key: _without(value, left_out) for key, value in node.items() if not left_out(value)}


def missing(key: str) -> ConfigError:
    """The error for a value that has no default and was not given."""
    if key == "data.root":
        return ConfigError(
            "The folder of the data set is not given", "This data set lies in a folder", "Give data.root=<folder>"
        )
    return ConfigError(f"The config value '{key}' is not set", "It is mandatory", f"Give it: {key}=<value>")


def unknown_key(key: str, known: Iterable[str]) -> ConfigError:
    """The error for a key that does not exist, with the nearest ones that do."""
    known = set(known)
    leaf = key.rpartition(".")[2]
    same = sorted(name for name in known if name.rpartition(".")[2] == leaf)[:2]
    return ConfigError(
        f"There is no config key '{key}'",
        f"The nearest valid key is {' or '.join(map(repr, same)) or nearest(key, known)}",
        "Correct the spelling; --help lists every key with what it may be",
    )


def dotted_keys(node: Any, prefix: str = "") -> Iterator[str]:
    """Every key of a config as `a.b.c`, groups included."""
    if isinstance(node, DictConfig | dict):
        for key in node:
            name = prefix + str(key)
            yield name
            yield from dotted_keys(node._get_node(key) if isinstance(node, DictConfig) else node[key], f"{name}.")


def described(shape: Any, config: Any = None, prefix: str = "") -> dict[str, tuple[str, Any]]:
    """Dotted key -> its sentence and its type, of a config's class and, by what `config` names, of its nodes."""
    found: dict[str, tuple[str, Any]] = {}
    for name, kind in get_type_hints(shape, include_extras=True).items():
        value = config.get(name) if isinstance(config, Mapping) else None
        found[prefix + name] = sentence(kind), kind
        inner = next((one for one in _alternatives(kind) if dataclasses.is_dataclass(one)), None)
        if isinstance(value, Mapping) and "_target_" in value:
            inner = keys_of(str(value["_target_"]))
        if inner is not None:
            found |= described(inner, value, f"{prefix}{name}.")
    return found


def sentence(kind: Any) -> str:
    """What a key's type says about it in words."""
    metadata = getattr(kind, "__metadata__", ())
    return next((one for one in metadata if isinstance(one, str)), "")


def is_verbatim(kind: Any) -> bool:
    """Whether a key is `Verbatim`, or a list of such."""
    return any(isinstance(one, Verbatim) for one in getattr(kind, "__metadata__", ())) or any(
        map(is_verbatim, get_args(kind))
    )


def digest(value: Any, size: int = 8) -> str:
    """A stable hash of plain data, of so many bytes, in hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _alternatives(kind: Any) -> Iterator[Any]:
    """The types that a union or an annotated type is made of."""
    if get_origin(kind) is Annotated:
        yield from _alternatives(get_args(kind)[0])
    elif get_args(kind) and get_origin(kind) not in (list, dict):
        for one in get_args(kind):
            yield from _alternatives(one)
    else:
        yield kind


def _in_words(details: list[ErrorDetails], config: Any, known: list[str]) -> ConfigError:
    """The first of the errors, and which keys are wrong beside it."""
    # Of a union, every alternative complains; the one that got furthest into the value knows best.
    # A misspelt key also leaves the right one missing; it is the misspelling that has to be corrected.
    first = max(
        details,
        key=lambda one: (len(_path(one, config)), not one["type"].startswith("missing"), -details.index(one)),
    )
    key = ".".join(_path(first, config))
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return unknown_key(key, known)
    if first["type"] in ("missing", "missing_keyword_only_argument"):
        return missing(key)
    of_key = [one for one in details if ".".join(_path(one, config)) == key]
    messages = dict.fromkeys(one["msg"].removeprefix("Input should be ") for one in of_key)
    allowed = ", or ".join(messages)
    allowed = allowed if allowed.startswith("Its ") else f"It should be {allowed}"
    choices = [choice for one in of_key for choice in re.findall(r"'([^']*)'", one.get("ctx", {}).get("expected", ""))]
    if choices and isinstance(first["input"], str):
        allowed += f"; the nearest is {nearest(first['input'], choices)}"
    others = sorted({".".join(_path(one, config)) for one in details} - {key})
    also = f" (wrong as well: {', '.join(others[:3])})" if others else ""
    return ConfigError(
        f"The config value {key} is {_short(first['input'])}{also}", allowed, f"Correct it: {key}=<value>"
    )


def _path(detail: ErrorDetails, config: Any) -> tuple[str, ...]:
    """Where an error is, without the names of types that pydantic puts into it."""
    path: list[str] = []
    value = config
    for step in detail["loc"]:
        inside = isinstance(value, Mapping) and step in value
        if inside or (isinstance(value, list) and isinstance(step, int)):
            value = value[step]
            path.append(str(step))
        elif step == detail["loc"][-1] and detail["type"].startswith(("missing", "unexpected", "extra")):
            path.append(str(step))
    return tuple(path)


def _short(value: Any) -> str:
    text = str(value["_target_"]) if isinstance(value, dict) and "_target_" in value else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

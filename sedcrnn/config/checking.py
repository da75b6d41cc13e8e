"""A composed config -> the checked config of a command, or an error in words: what was found, what is allowed.

Every key has its type, its range and its sentence in one place: the config's class (`stage_config` for training, the
options of a command on its own page). Checks, errors and help are made of these.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.config.values import IsPath, keys_of
from sedcrnn.errors import ConfigError, nearest

OWN_DATA = "Own recordings are a data set of their own: data=folder data.root=<folder>, or data=manifest"


def checked(config: DictConfig | Mapping[str, Any], shape: Any = TrainConfig) -> Any:
    """A composed config as an instance of its class.

    Raises:
        ConfigError: an unknown key (with the nearest valid one), a value of the wrong type or range, a mandatory value
            that is missing, or a node that may not stand where it does.
    """
    try:
        plain: Any = config
        if isinstance(config, DictConfig):
            plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        return _adapter(shape).validate_python(plain)
    except MissingMandatoryValue as error:
        raise missing(str(error.full_key)) from error
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"The config value '{error.full_key}' cannot be resolved: {str(error).splitlines()[0]}",
            "What it refers to exists",
            "Correct the value",
        ) from error
    except ValidationError as error:
        raise _in_words(error, plain, list(dotted_keys(plain)) + list(described(shape))) from error


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
    """Dotted key -> its sentence and its type, of a config's class and the classes in it.

    Args:
        shape: dataclass or TypedDict of the keys.
        config: composed, which says what its nodes build; None: nodes are not entered.
        prefix: of the keys.
    """
    found: dict[str, tuple[str, Any]] = {}
    for name, kind in get_type_hints(shape, include_extras=True).items():
        value = config.get(name) if isinstance(config, Mapping) else None
        found[prefix + name] = sentence(kind), kind
        inner = next((one for one in _alternatives(kind) if dataclasses.is_dataclass(one)), None)
        if isinstance(value, Mapping) and "_target_" in value:
            inner = keys_of(value["_target_"])
        if inner is not None:
            found |= described(inner, value, f"{prefix}{name}.")
    return found


def sentence(kind: Any) -> str:
    """What a key's type says about it in words."""
    metadata = getattr(kind, "__metadata__", ())
    return next((one for one in metadata if isinstance(one, str)), "")


def is_path(kind: Any) -> bool:
    """Whether a key names a file or folder, or a list of them."""
    return any(isinstance(one, IsPath) for one in getattr(kind, "__metadata__", ())) or any(
        map(is_path, get_args(kind))
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


def _in_words(error: ValidationError, config: Any, known: list[str]) -> ConfigError:
    """The first of the errors, and how many there are beside it."""
    details = error.errors(include_url=False)
    # Of a union, every alternative complains; the one that got furthest into the value knows best.
    first = max(details, key=lambda one: (len(_path(one, config)), -details.index(one)))
    place = ".".join(_path(first, config))
    more = {".".join(_path(one, config)) for one in details} - {place}
    again = f" (and {', '.join(sorted(more)[:3])} {'are' if len(more) > 1 else 'is'} wrong as well)" if more else ""
    if first["type"] == "extra_forbidden" or first["type"] == "unexpected_keyword_argument":
        return unknown_key(place, known)
    if first["type"] in ("missing", "missing_keyword_only_argument", "missing_argument"):
        return missing(place)
    own = [one for one in details if ".".join(_path(one, config)) == place]
    allowed = ", or ".join(dict.fromkeys(_allowed(one) for one in own))
    close = [
        str(choice) for one in own if one["type"] == "literal_error" for choice in one["ctx"]["expected"].split(" or ")
    ]
    value = first["input"]
    hint = (
        f"; the nearest is {nearest(value, [name.strip(chr(39)) for part in close for name in part.split(', ')])}"
        if close and isinstance(value, str)
        else ""
    )
    return ConfigError(
        f"The config value {place} is {_short(value)}{again}", allowed + hint, f"Correct it: {place}=<value>"
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


def _allowed(detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"It is {message}" if message != detail["msg"] else message


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

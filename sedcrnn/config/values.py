"""Kinds of config values: their types, the ranges that they lie in, and how a key is described in one sentence.

`Annotated[Share, "Probability that ..."]` is a key's type, range and sentence; help, errors and checks are made of it.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict, TypeAdapter
from pydantic_core import PydanticCustomError

MOST = 10**9  # more is a slip of the finger, which libraries answer with overflows


def _bounded(value: Any) -> Any:
    """Not part of the range that help shows, for nobody comes near it."""
    if value > MOST:
        raise PydanticCustomError("too_large", "at most 1,000,000,000")
    return value


def _as_project(value: str) -> str:
    if not 1 <= len(value) <= 128 or set(value) & set("/\\#?%:"):
        raise PydanticCustomError("project", "the name of a W&B project: 1 to 128 characters, and none of / \\ # ? % :")
    return value


# Strict: no text is taken for a number, and no truth value for one.
Flag = Annotated[bool, Strict()]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]
Fraction = Annotated[float, Strict(), Field(gt=0, lt=1)]
Positive = Annotated[float, Strict(), Field(gt=0), AfterValidator(_bounded)]
NotNegative = Annotated[float, Strict(), Field(ge=0), AfterValidator(_bounded)]
Count = Annotated[int, Strict(), Field(ge=1), AfterValidator(_bounded)]
CountOrNone = Annotated[int, Strict(), Field(ge=0), AfterValidator(_bounded)]
Folds = Annotated[int, Strict(), Field(ge=2, le=1000)]
Workers = Annotated[int, Strict(), Field(ge=0, le=1024)]
Seed = Annotated[int, Strict(), Field(ge=0, le=1_000_000_000)]
# Files of others hold such values, too: none may ask for more memory or room than there is.
Thousand = Annotated[int, Strict(), Field(ge=1, le=1000)]
Side = Annotated[int, Strict(), Field(ge=1, le=4096)]  # of an image in pixels
Second = Annotated[float, Strict(), Field(ge=1e-4, le=1)]  # a part of one
Name = Annotated[str, Field(min_length=1)]
Project = Annotated[str, AfterValidator(_as_project)]
OnDamage = Annotated[
    Literal["stop", "skip", "end"],
    "What becomes of files with damaged pieces: stop refuses them, skip puts silence and the last picture in their "
    "place, end ends them there.",
]


class Verbatim:
    """Marks keys whose value is taken to the letter where it follows their `=` on a command line: files, folders."""


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float | PurePath) and not isinstance(value, bool) else value


# A folder may have a number as its name.
PathName = Annotated[str, BeforeValidator(_as_text), Field(min_length=1), Verbatim()]
Separator = Annotated[str, Field(min_length=1), Verbatim()]

CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)

Keys = TypeVar("Keys")
_KEYS: dict[str, type] = {}  # of known classes
_ROLES: defaultdict[str, dict[str, TypeAdapter[Any]]] = defaultdict(dict)


def takes(role: str, *targets: str) -> Callable[[type[Keys]], type[Keys]]:
    """Decorator of a TypedDict: the keys that classes of this package, or of a library, take as a config node.

    Args:
        role: what such a node is for: `network`, `feature`, `optimizer` ...
        targets: dotted names of these classes.
    """

    def remember(keys: type[Keys]) -> type[Keys]:
        keys.__pydantic_config__ = CHECKED  # type: ignore[attr-defined]
        _ROLES[role].update(dict.fromkeys(targets, TypeAdapter(keys)))
        _KEYS.update(dict.fromkeys(targets, keys))
        return keys

    return remember


def keys_of(target: str) -> type | None:
    """The TypedDict of the keys that a class takes; None: it is not one that this package knows."""
    return _KEYS.get(target)


def known_keys() -> set[type]:
    """The TypedDicts of all classes that this package knows."""
    return set(_KEYS.values())


def _check_node(value: dict[str, Any], role: str) -> dict[str, Any]:
    """A config node that builds something for a role: a mapping with `_target_`.

    A class that this package knows has its arguments checked, without importing it. Any other is the user's own, and is
    checked when it is built (`targets.build`).
    """
    target = value.get("_target_")
    if not isinstance(target, str) or "." not in target or not all(map(str.isidentifier, target.split("."))):
        raise PydanticCustomError("target", "Its _target_ should be the full dotted name of a class")
    if (known := _ROLES[role].get(target)) is not None:
        arguments = {key: one for key, one in value.items() if key not in BUILD_KEYS}
        return {**value, **known.validate_python(arguments)}
    if target.startswith("sedcrnn.") or any(target in targets for targets in _ROLES.values()):
        what = {"role": role.replace("_", " "), "allowed": ", ".join(sorted(_ROLES[role]))}
        raise PydanticCustomError("target", "Its _target_ should be a {role}: {allowed}, or a class of your own", what)
    return value


BUILD_KEYS = ("_target_", "_partial_")

NetworkNode = Annotated[dict[str, Any], AfterValidator(partial(_check_node, role="network"))]
EarlyFusionNode = Annotated[dict[str, Any], AfterValidator(partial(_check_node, role="early_fusion"))]
ModuleNode = Annotated[dict[str, Any], AfterValidator(partial(_check_node, role="module"))]
FeatureNode = Annotated[dict[str, Any], AfterValidator(partial(_check_node, role="feature"))]
FilterBankNode = Annotated[dict[str, Any], AfterValidator(partial(_check_node, role="filter_bank"))]
DataSourceNode = Annotated[dict[str, Any], AfterValidator(partial(_check_node, role="data_source"))]
AugmentationNode = Annotated[dict[str, Any], AfterValidator(partial(_check_node, role="augmentation"))]
OptimizerNode = Annotated[dict[str, Any], AfterValidator(partial(_check_node, role="optimizer"))]
SchedulerNode = Annotated[dict[str, Any], AfterValidator(partial(_check_node, role="scheduler"))]
TrainerNode = Annotated[dict[str, Any], AfterValidator(partial(_check_node, role="trainer"))]
LoggerNode = Annotated[dict[str, Any], AfterValidator(partial(_check_node, role="logger"))]
CallbackNode = Annotated[dict[str, Any], AfterValidator(partial(_check_node, role="callback"))]

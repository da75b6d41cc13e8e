"""A config node -> the object that it names, if that may be built for the role that it has.

What may be built is decided by the role: the name has to lead to a class, defined where the name says, that is of the
kind that the place needs. A config that a user gives may name classes of any package. A checkpoint or another file that
came from somewhere names classes of this package and of those that the user trusts: installed with an entry point in
the group `sedcrnn.trusted`, or named in SEDCRNN_TRUST (packages, separated by commas). Anything else is refused before
it is imported.
"""

import importlib
import inspect
import os
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from sedcrnn.config.values import BUILD_KEYS
from sedcrnn.errors import ConfigError, TrustError, nearest

TRUST = "SEDCRNN_TRUST"

ROLES = {
    "network": "sedcrnn.networks.SceneNetwork",
    "early_fusion": "torch.nn.Module",
    "module": "sedcrnn.training.modules.SceneModule",
    "feature": "sedcrnn.features.feature.Feature",
    "filter_bank": "sedcrnn.features.filterbanks.FilterBank",
    "data_source": "sedcrnn.datasets.clips.DataSource",
    "augmentation": "sedcrnn.augmentation.Augmentation",
    "optimizer": "torch.optim.Optimizer",
    "scheduler": "torch.optim.lr_scheduler.LRScheduler",
    "trainer": "pytorch_lightning.Trainer",
    "callback": "pytorch_lightning.Callback",
    "logger": "pytorch_lightning.loggers.Logger",
}
"""Role of a node -> class that what it builds is an instance of."""

# Roles of the nodes inside others: key -> role.
_INSIDE = {
    "bank": "filter_bank",
    "audio": "network",
    "visual": "network",
    "early": "early_fusion",
    "network": "network",
}


def build(node: Mapping[str, Any], role: str, trusted: bool = True, **arguments: Any) -> Any:
    """Build what a node names, and what the nodes inside it name.

    Args:
        node: `_target_` and arguments; with `_partial_: true`, a function of the missing ones.
        role: what it is for, one of `ROLES`.
        trusted: the node is the user's own; False: it came with a file, which may name what the user trusts alone.
        arguments: more arguments, passed as they are.

    Raises:
        ConfigError: no such class, one of another role, or arguments that it does not take.
        TrustError: a class that a file may not name.
    """
    found = resolve(str(node["_target_"]), role, trusted)
    given = {
        key: build(value, _INSIDE.get(key, role), trusted)
        if isinstance(value, Mapping) and "_target_" in value
        else value
        for key, value in node.items()
        if key not in BUILD_KEYS
    }
    takes = inspect.signature(found).parameters
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in takes.values()):
        for key in given:
            if key not in takes:
                raise ConfigError(
                    f"{node['_target_']} has no argument '{key}'",
                    f"The nearest is {nearest(key, takes)}",
                    "Correct the spelling",
                )
    return found(**given, **arguments)


def resolve(target: str, role: str, trusted: bool = True) -> type[Any]:
    """The class that a dotted name leads to; arguments and errors as `build`."""
    if not trusted:
        check_trusted(target)
    module_name, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"There is no class '{target}': {error}",
            "A _target_ is the full dotted name of a class that can be imported here",
            "Correct the name, or install its package",
        ) from error
    base = _base(role)
    # A function, or a class that a module merely imports, could be anything.
    of_role = isinstance(found, type) and issubclass(found, base) and found.__name__ == name
    if not of_role or (not trusted and found.__module__ != module_name and not _exported(found, module_name)):
        raise ConfigError(
            f"'{target}' is no {role.replace('_', ' ')}",
            f"It is a class with {ROLES[role]} as its base",
            "Name another class",
        )
    return found


def check_trusted(target: str) -> None:
    """Refuse a name that a file may not name, before anything is imported.

    Raises:
        TrustError: naming the package and how to trust it.
    """
    package = target.partition(".")[0]
    if package not in trusted_packages():
        raise TrustError(
            f"The file names the class '{target}', of a package that you have not said to trust",
            f"What comes with a file is built of {', '.join(trusted_packages())} alone",
            f"If you know who wrote '{package}' and have read it: {TRUST}={package} sedcrnn ..., or install it with an "
            "entry point in the group sedcrnn.trusted",
        )


def trusted_packages() -> tuple[str, ...]:
    """Packages whose classes a file may name."""
    named = (name.strip() for name in os.environ.get(TRUST, "").split(","))
    return ("sedcrnn", *_installed(), *filter(None, named))


@cache
def _installed() -> tuple[str, ...]:
    return tuple(
        sorted({point.value.partition(".")[0].partition(":")[0] for point in entry_points(group="sedcrnn.trusted")})
    )


def _base(role: str) -> type[Any]:
    module, _, name = ROLES[role].rpartition(".")
    base: type[Any] = getattr(importlib.import_module(module), name)
    return base


def _exported(found: type[Any], module: str) -> bool:
    """Whether a package shows the class under its own name, as `pytorch_lightning.Trainer`."""
    return found.__module__.startswith(f"{module}.")

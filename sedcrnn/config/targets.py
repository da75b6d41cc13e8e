"""A config node -> the object that it names, if that may be built for the role that it has.

A name has to lead to a class, defined where the name says, of the kind that its place in the config needs: its role. A
config that a user gives may name classes of any package. A checkpoint, or another file that came from somewhere, names
classes of this package, and of packages that the user trusts: those installed with an entry point in the group
`sedcrnn.trusted`, those in SEDCRNN_TRUST (separated by commas), and those that the user's own config has named to this
process. Anything else is refused before it is imported (docs/trust.md).
"""

import importlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from importlib.metadata import entry_points
from typing import Any, NamedTuple

from sedcrnn.config.values import BUILD_KEYS
from sedcrnn.errors import ConfigError, SedcrnnError, TrustError, nearest

TRUST = "SEDCRNN_TRUST"


class Role(NamedTuple):
    """What a node is for.

    Attributes:
        base: class that the named class is, or is a subclass of.
        home: package of this project's own such classes; empty: a file never has such a node.
        waits: the place of the node gives the other arguments later.
    """

    base: str
    home: str = ""
    waits: bool = False


ROLES = {
    "network": Role("sedcrnn.networks.SceneNetwork", "sedcrnn.networks"),
    "early_fusion": Role("torch.nn.Module", "sedcrnn.networks.early_fusion", waits=True),
    "module": Role("sedcrnn.training.modules.SceneModule"),
    "feature": Role("sedcrnn.features.feature.Feature", "sedcrnn.features"),
    "filter_bank": Role("sedcrnn.features.filterbanks.FilterBank", "sedcrnn.features.filterbanks"),
    "data_source": Role("sedcrnn.datasets.clips.DataSource", "sedcrnn.datasets"),
    "augmentation": Role("sedcrnn.augmentation.Augmentation"),
    "optimizer": Role("torch.optim.Optimizer"),
    "scheduler": Role("torch.optim.lr_scheduler.LRScheduler"),
    "trainer": Role("pytorch_lightning.Trainer"),
    "callback": Role("pytorch_lightning.Callback"),
    "logger": Role("pytorch_lightning.loggers.Logger"),
}

# Roles of the nodes inside others: role of the outer one, and key -> role.
_INSIDE = {
    ("network", "audio"): "network",
    ("network", "visual"): "network",
    ("network", "early"): "early_fusion",
    ("feature", "bank"): "filter_bank",
}

_ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

# Packages that the user's own config has named to this process.
_named: set[str] = set()


def build(node: Mapping[str, Any], role: str, trusted: bool = True, **arguments: Any) -> Any:
    """Build what a node names, and what the nodes inside it name.

    Args:
        trusted: the node is the user's own; False: it came with a file, which may name what the user trusts alone.
        arguments: more arguments, passed as they are.

    Raises:
        ConfigError: no such class, one of another role, or arguments that it does not take.
        TrustError: a class that a file may not name.
    """
    try:
        check_names(node, role, trusted)
        return _built(node, role, arguments)
    except SedcrnnError:
        raise
    except Exception as error:
        if trusted:
            raise
        # Whatever arguments of a stranger lead to: text for a number, a network in place of another kind, no memory.
        raise ConfigError(
            f"What the file says of its {role.replace('_', ' ')} cannot be built: {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}",
            "Its arguments are those that the class takes",
            "Use a file that you know",
        ) from error


def check_names(node: Mapping[str, Any], role: str, trusted: bool = True) -> None:
    """Refuse a node that `build` would refuse for a name in it, without building anything; errors as `build`."""
    for target, of_role in _targets(node, role):  # all of them, before any is imported
        if not trusted:
            check_trusted(target, of_role)
    for target, of_role in _targets(node, role):
        resolve(target, of_role, trusted)


def is_ours(node: Mapping[str, Any]) -> bool:
    """Whether a node of a network or a feature, and all nodes inside it, name classes of this package."""
    return all(target.startswith("sedcrnn.") for target, _ in _targets(node, "network"))


def resolve(target: str, role: str, trusted: bool = True) -> type[Any]:
    """The class that a dotted name leads to; arguments and errors as `build`."""
    if not trusted:
        check_trusted(target, role)
    found = _found(target, role)
    # What a module merely imports could come from anywhere. Packages do show classes of their own modules.
    if not trusted and not f"{found.__module__}.".startswith(f"{target.rpartition('.')[0]}."):
        raise _no_class_of(role, target)
    if trusted and ROLES[role].home:
        _named.add(target.partition(".")[0])
    return found


def _found(target: str, role: str) -> type[Any]:
    module_name, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"There is no class '{target}': {error}",
            "A _target_ is the full dotted name of a class that can be imported here",
            "Correct the name, or install its package",
        ) from error
    base_module, _, base_name = ROLES[role].base.rpartition(".")
    base = getattr(importlib.import_module(base_module), base_name)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise _no_class_of(role, target)
    return found


def _no_class_of(role: str, target: str) -> ConfigError:
    return ConfigError(
        f"'{target}' is no {role.replace('_', ' ')}",
        f"It is a class with {ROLES[role].base} as its base, by the name of the module that defines it",
        "Name another class",
    )


def check_trusted(target: str, role: str) -> None:
    """Refuse a name that a file may not give to a role, before anything is imported.

    Raises:
        TrustError: naming the package and how to trust it.
    """
    package, home = target.partition(".")[0], ROLES[role].home
    if package == "sedcrnn" and not (home and target.startswith(f"{home}.")):
        raise TrustError(
            f"The file names '{target}' as its {role.replace('_', ' ')}",
            f"Such classes of sedcrnn lie in {home}" if home else "No file decides that",
            "Use a file that you know",
        )
    if package not in trusted_packages():
        raise TrustError(
            f"The file names the class '{target}', of a package that you have not said to trust",
            f"What comes with a file is built of {', '.join(trusted_packages())} alone",
            f"If you know who wrote '{package}' and have read it: {TRUST}={package} sedcrnn ..., or install it with an "
            "entry point in the group sedcrnn.trusted",
        )


def trusted_packages() -> tuple[str, ...]:
    """Packages whose classes a file may name."""
    given = filter(None, (name.strip() for name in os.environ.get(TRUST, "").split(",")))
    return tuple(dict.fromkeys(("sedcrnn", *_installed(), *given, *sorted(_named))))


def _targets(node: Mapping[str, Any], role: str) -> Iterator[tuple[str, str]]:
    """The name in a node and those in the nodes inside it, with their roles."""
    yield str(node["_target_"]), role
    for key, value in node.items():
        if _is_node(value):
            yield from _targets(value, _INSIDE.get((role, key), role))


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _built(node: Mapping[str, Any], role: str, arguments: Mapping[str, Any]) -> Any:
    found = _found(str(node["_target_"]), role)
    given = {
        key: _built(value, _INSIDE.get((role, key), role), {}) if _is_node(value) else value
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
    needed = [one.name for one in takes.values() if one.default is one.empty and one.kind not in _ANY]
    if absent := [name for name in needed if name not in given and name not in arguments and not ROLES[role].waits]:
        raise ConfigError(
            f"The argument '{absent[0]}' of {node['_target_']} is not given",
            "It has no default",
            "Give it in the config",
        )
    make: Callable[..., Any] = found
    return partial(make, **given) if ROLES[role].waits else make(**given, **arguments)


@cache
def _installed() -> tuple[str, ...]:
    points = entry_points(group="sedcrnn.trusted")
    return tuple(sorted({point.value.partition(":")[0].partition(".")[0] for point in points}))

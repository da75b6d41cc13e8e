"""Network and dotted names -> the submodules that a recipe keeps as they are."""

from collections.abc import Sequence

from torch import nn

from sedcrnn.errors import ConfigError, nearest


def frozen_modules(network: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    """The submodules with these dotted names (`encoder`, `audio.blocks`), in the order given.

    Raises:
        ConfigError: a name that the network does not have, with the nearest ones that it has.
    """
    modules = {name: module for name, module in network.named_modules() if name}
    for name in names:
        if name not in modules:
            raise ConfigError(
                f"The {type(network).__name__} has no part '{name}'",
                f"The nearest is {nearest(name, modules)}",
                "Correct the name in the recipe (frozen, l2)",
            )
    return [modules[name] for name in names]


def freeze(module: nn.Module) -> None:
    """Take a module out of training: no gradients, no dropout, no new BN statistics.

    A parent's train() would undo the second half, so whoever trains the parent calls eval() on its frozen parts
    again after each train().
    """
    module.requires_grad_(False).eval()

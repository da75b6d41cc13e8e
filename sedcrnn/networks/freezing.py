"""Network and dotted names -> the submodules that a recipe keeps as they are, or trains at a rate of their own."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from sedcrnn.errors import ConfigError, nearest


def frozen_modules(network: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    """The submodules with these dotted names (`encoder`, `audio.blocks`), in the order given."""
    modules = {name: module for name, module in network.named_modules() if name}
    for name in names:
        if name not in modules:
            raise ConfigError(
                f"The {type(network).__name__} has no part '{name}'",
                f"The nearest is {nearest(name, modules)}",
                "Correct the name in the recipe (frozen, l2, learning_rates)",
            )
    return [modules[name] for name in names]


def lies_in(part: str, other: str) -> bool:
    """Whether a dotted name is that of another part or of something inside it."""
    return f"{part}.".startswith(f"{other}.")


def freeze(module: nn.Module) -> None:
    """Take a module out of training: no gradients, no dropout, no new BN statistics.

    A parent's train() undoes the last two; call eval() on the frozen parts after it.
    """
    module.requires_grad_(False).eval()


def parameter_groups(network: nn.Module, learning_rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """What an optimiser takes of a network with its frozen parts: first all that is trained at the optimiser's own
    rate, then the parts that have learning rates of their own, by their dotted names."""
    groups: list[dict[str, Any]] = []
    owners: dict[nn.Parameter, str] = {}
    for name, part in zip(learning_rates, frozen_modules(network, list(learning_rates)), strict=True):
        trained = [parameter for parameter in part.parameters() if parameter.requires_grad]
        if not trained:
            raise ConfigError(
                f"recipe.learning_rates names '{name}', of which nothing is trained",
                "A part has parameters, and none of recipe.frozen holds all of them",
                "Take it out of recipe.learning_rates, or out of recipe.frozen",
            )
        if shared := [owners[parameter] for parameter in trained if parameter in owners]:
            raise ConfigError(
                f"recipe.learning_rates names '{name}' and '{shared[0]}'",
                "One is inside the other; every parameter has one learning rate",
                "Leave one of them out, or name parts that do not overlap",
            )
        owners |= dict.fromkeys(trained, name)
        groups.append({"params": trained, "lr": learning_rates[name]})
    rest = [parameter for parameter in network.parameters() if parameter.requires_grad and parameter not in owners]
    return [{"params": rest}, *groups]

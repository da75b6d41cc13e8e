"""A recipe beside the network that it trains: what does not fit is refused before anything is trained."""

from collections.abc import Mapping
from typing import Any

from sedcrnn.errors import ConfigError, nearest
from sedcrnn.networks import SceneNetwork


def chosen_head_weights(given: Mapping[str, float | None], network: SceneNetwork) -> dict[str, float]:
    """The heads that the loss weighs, with their weights: those that `recipe.head_weights` sets, or else the network's
    answer alone.

    Raises:
        ConfigError: a head that the network does not have.
    """
    names = network.head_names
    weights = {name: weight for name, weight in given.items() if weight is not None}
    for name in weights:
        if name not in names:
            raise ConfigError(
                f"recipe.head_weights names the head '{name}'",
                f"A {type(network).__name__} has {', '.join(names)}; the nearest is {nearest(name, names)}",
                f"Correct the name, or set recipe.head_weights.{name}=null",
            )
    return weights or {names[-1]: 1.0}


def check_recipe(recipe: Mapping[str, Any], network: SceneNetwork) -> None:
    """Refuse values that the network, or each other, cannot go with.

    Args:
        recipe: the values of `config.RecipeConfig`.
        network: that it is to train.

    Raises:
        ConfigError: what does not fit.
    """
    dropout = recipe["modality_dropout"]
    if dropout and (len(network.inputs) < 2 or not 0 <= dropout <= 1):
        raise ConfigError(
            f"recipe.modality_dropout={dropout} for a {type(network).__name__}",
            "It is a probability, from 0 to 1, and other than 0 only where a network takes sound and picture",
            "Set recipe.modality_dropout=0",
        )
    if recipe["compile"] and recipe["gradient_checkpointing"]:
        raise ConfigError(
            "recipe.compile and recipe.gradient_checkpointing are both true",
            "torch.compile does not run what checkpointing does to batch normalisation",
            "Choose one of them",
        )

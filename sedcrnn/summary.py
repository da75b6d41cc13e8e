"""The layers of a network: shapes, parameters, multiply-accumulates.

sedcrnn summary model=fusion
sedcrnn summary model=fusion network@parts.visual=visual_small
"""

from typing import Annotated, Any

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.stage_config import FeaturesConfig
from sedcrnn.config.values import CHECKED, Count, ModuleNode


@dataclass(config=CHECKED, kw_only=True)
class SummaryOptions:
    """Which network, for which inputs."""

    features: FeaturesConfig
    model: ModuleNode
    parts: Annotated[dict[str, Any], "Audio and visual network of a fusion network that names none."]
    scenes: Annotated[Count, "Number of scenes."] = 10


GROUPS = {"features": "paper", "model": "audio", "network@parts.audio": "audio", "network@parts.visual": "visual"}


@command(SummaryOptions, groups=GROUPS)
def main(options: SummaryOptions) -> None:
    """Print the layers, freshly built."""
    from sedcrnn.training.init_from import summarise

    print(summarise(options.model["network"], options.parts, vars(options.features), options.scenes))


if __name__ == "__main__":
    main()

"""Print the layers of a network: shapes, parameters, multiply-adds.

python -m sedcrnn.summary model=fusion
python -m sedcrnn.summary model=fusion network@parts.visual=visual_small
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from omegaconf import MISSING, DictConfig

from sedcrnn.commands import command
from sedcrnn.config import FeaturesConfig, Node, checked, instantiate
from sedcrnn.networks.summary import layer_table
from sedcrnn.starts import PARTS, complete_network
from sedcrnn.windows import STEPS_PER_WINDOW


@dataclass
class SummaryConfig:
    """Which network, for which inputs; see conf/summary.yaml."""

    features: FeaturesConfig = MISSING
    model: Node = MISSING
    parts: dict[str, Any] = MISSING
    scenes: int = MISSING


def summarise(config: SummaryConfig) -> str:
    """The layer table of a network for one second of a scene, freshly built."""
    node = {**config.model["network"]}
    for part in PARTS:
        if part in node and node[part] is None:  # left to checkpoints in training
            node[part] = config.parts[part]
    sound, picture = (instantiate(feature) for feature in asdict(config.features).values())
    channels = len(sound.layout.names)
    dimensions = {"scenes": config.scenes, "channels": channels, "height": picture.height, "width": picture.width}
    with torch.device("meta"):  # no values are needed
        network = instantiate(complete_network(node, {}, dimensions))
    inputs = {
        "spectrogram": torch.zeros(1, channels, sound.bank.bands, STEPS_PER_WINDOW * sound.per_step),
        "frames": torch.zeros(1, STEPS_PER_WINDOW, 3, picture.height, picture.width),
    }
    return layer_table(network.eval(), {name: inputs[name] for name in network.inputs})


@command("summary")
def main(config: DictConfig) -> None:
    """Print the table of the network that the command line describes."""
    print(summarise(checked(config, SummaryConfig)))


if __name__ == "__main__":
    main()

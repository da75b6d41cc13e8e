"""Configs of a network and its features -> the network's layer table."""

from collections.abc import Mapping
from typing import Any

import torch

from sedcrnn.config.targets import build
from sedcrnn.datasets.windows import STEPS_PER_WINDOW
from sedcrnn.networks.profile import layer_table
from sedcrnn.training.init_from import PARTS, complete_network


def summarise(node: Mapping[str, Any], parts: Mapping[str, Any], features: Mapping[str, Any], scenes: int) -> str:
    """The layer table of a network for one second of a scene, freshly built.

    Args:
        node: config of the network.
        parts: configs of the audio and the visual network, for a fusion network that names none.
        features: configs of the features.
        scenes: how many.
    """
    filled = {key: parts[key] if key in PARTS and value is None else value for key, value in node.items()}
    spectrogram, frames = (build(features[name], "feature") for name in ("spectrogram", "frames"))
    channels = len(spectrogram.layout.names)
    dimensions = {"scenes": scenes, "channels": channels, "height": frames.height, "width": frames.width}
    with torch.device("meta"):  # no values are needed
        network = build(complete_network(filled, {}, dimensions), "network")
    inputs = {
        "spectrogram": torch.zeros(1, channels, spectrogram.bank.bands, STEPS_PER_WINDOW * spectrogram.per_step),
        "frames": torch.zeros(1, STEPS_PER_WINDOW, 3, frames.height, frames.width),
    }
    return layer_table(network.eval(), {name: inputs[name] for name in network.inputs})

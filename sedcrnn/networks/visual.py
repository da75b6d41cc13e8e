"""Frames -> frame features -> bidirectional GRU -> softmax per frame -> mean over time: the visual network."""

import math

import torch
from torch import Tensor, nn

from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.backbones import FrameEncoder
from sedcrnn.networks.initialisation import glorot


class VisualNetwork(SceneNetwork):
    """The visual subnetwork (paper.md, "Visual subnetwork"; 14,820,170 parameters with VGG16).

    Args:
        scenes: number of scenes.
        backbone: timm architecture of the frame encoder.
        frame_pooling: `max` (the authors' code) or `average` (the figure), over the encoder's last map.
        normalisation: of the frames: `raw` (the authors' code), `places365` or `imagenet`.
        hidden: GRU units per direction.
        dropout: between GRU and dense layer.

    Raises:
        ConfigError: see `FrameEncoder`.
    """

    inputs = ("frames",)
    head_names = ("visual",)
    encoded = ("visual_steps",)
    encoding_parts = ("encoder",)
    head_arguments = ("scenes", "hidden", "dropout")  # those that the frame encoder does not depend on

    def __init__(
        self,
        scenes: int = 10,
        backbone: str = "vgg16",
        frame_pooling: str = "max",
        normalisation: str = "places365",
        hidden: int = 32,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.scenes = scenes
        self.encoder = FrameEncoder(backbone, frame_pooling, normalisation)
        self.gru = glorot(nn.GRU(self.encoder.embedding, hidden, batch_first=True, bidirectional=True))
        self.dropout = nn.Dropout(dropout)
        self.dense = glorot(nn.Linear(2 * hidden, scenes))

    def embed(self, frames: Tensor) -> Tensor:
        """(batch, time, channel, height, width), RGB 0-255 -> (batch, time, embedding)."""
        embedding: Tensor = self.encoder(frames)
        return embedding

    def classify(self, embedding: Tensor) -> Tensor:
        """(batch, time, embedding) -> (batch, scene) log-probabilities: those of the mean probability over time."""
        states, _ = self.gru(embedding)
        per_frame = self.dense(self.dropout(states)).float().log_softmax(-1)
        return torch.logsumexp(per_frame, dim=1) - math.log(per_frame.shape[1])

    def encode(self, frames: Tensor) -> dict[str, Tensor]:
        """(batch, time, channel, height, width), RGB 0-255 -> the features of each frame (batch, time, embedding)."""
        return {"visual_steps": self.embed(frames)}

    def decode(self, visual_steps: Tensor) -> dict[str, Tensor]:
        """(batch, time, embedding) -> {"visual": (batch, scene) log-probabilities, which are logits too}."""
        return {"visual": self.classify(visual_steps)}

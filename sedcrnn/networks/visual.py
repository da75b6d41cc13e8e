"""Frames -> frame features -> bidirectional GRU -> softmax per frame -> mean over time: the visual network."""

import math

import torch
from torch import Tensor, nn

from sedcrnn.errors import check_choice
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.attention import AttentionOverTime
from sedcrnn.networks.backbones import FrameEncoder
from sedcrnn.networks.initialisation import glorot


class VisualNetwork(SceneNetwork):
    """The visual subnetwork (paper.md, "Visual subnetwork"; 14,820,170 parameters with VGG16).

    Args:
        scenes: number of scenes.
        backbone: timm architecture of the frame encoder, with or without the tag of its weights.
        frame_pooling: `max` (the authors' code) or `average` (the figure), over the encoder's last map; or `model`, as
            its own classifier does it.
        normalisation: of the frames: `raw` (the authors' code), `places365`, `imagenet` or `timm`.
        height: of the frames, in pixels.
        width: of the frames, in pixels.
        temporal: `gru` (the authors'): states of a GRU, a softmax for each frame, and their mean over time; or what one
            softmax gets: the `mean` of the frame features over time, or their mean weighed by `attention`.
        hidden: GRU units per direction, or length of the attention's query.
        dropout: before the dense layer.

    Raises:
        ConfigError: an unknown `temporal`; see `FrameEncoder`.
    """

    inputs = ("frames",)
    head_names = ("visual",)
    encoded = ("visual_steps",)
    encoding_parts = ("encoder",)
    head_arguments = ("scenes", "temporal", "hidden", "dropout")  # those that the frame encoder does not depend on

    def __init__(
        self,
        scenes: int = 10,
        backbone: str = "vgg16",
        frame_pooling: str = "max",
        normalisation: str = "places365",
        height: int = 224,
        width: int = 224,
        temporal: str = "gru",
        hidden: int = 32,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_choice("temporal head", temporal, ("gru", "mean", "attention"))
        self.scenes, self.temporal = scenes, temporal
        self.encoder = FrameEncoder(backbone, frame_pooling, normalisation, height, width)
        features = self.encoder.embedding
        if temporal == "gru":
            self.gru = glorot(nn.GRU(features, hidden, batch_first=True, bidirectional=True))
            features = 2 * hidden
        elif temporal == "attention":
            self.attention = AttentionOverTime(features, hidden)
        self.dropout = nn.Dropout(dropout)
        self.dense = glorot(nn.Linear(features, scenes))

    def embed(self, frames: Tensor) -> Tensor:
        """(batch, time, channel, height, width), RGB 0-255 -> (batch, time, embedding)."""
        embedding: Tensor = self.encoder(frames)
        return embedding

    def classify(self, embedding: Tensor) -> Tensor:
        """(batch, time, embedding) -> (batch, scene) log-probabilities: those of the mean probability over steps."""
        per_step = self.dense(self.dropout(self._steps(embedding))).float().log_softmax(-1)
        return torch.logsumexp(per_step, dim=1) - math.log(per_step.shape[1])

    def _steps(self, embedding: Tensor) -> Tensor:
        """(batch, time, embedding) -> (batch, step, feature): as many steps as frames, or a single one."""
        if self.temporal == "gru":
            steps: Tensor = self.gru(embedding)[0]
        elif self.temporal == "attention":
            steps = self.attention(embedding)
        else:
            steps = embedding.mean(1, keepdim=True)
        return steps

    def encode(self, frames: Tensor) -> dict[str, Tensor]:
        """(batch, time, channel, height, width), RGB 0-255 -> the features of each frame (batch, time, embedding)."""
        return {"visual_steps": self.embed(frames)}

    def decode(self, visual_steps: Tensor) -> dict[str, Tensor]:
        """(batch, time, embedding) -> {"visual": (batch, scene) log-probabilities, which are logits too}."""
        return {"visual": self.classify(visual_steps)}

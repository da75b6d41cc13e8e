"""Frames -> frame features -> bidirectional GRU -> softmax per frame -> mean over time: the visual network."""

from types import MappingProxyType

import torch
from torch import Tensor, nn

from sedcrnn.errors import check_choice
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.backbones import FrameEncoder
from sedcrnn.networks.initialisation import glorot
from sedcrnn.networks.probabilities import mean_of_probabilities


class VisualNetwork(SceneNetwork):
    """The visual subnetwork (docs/paper.md, "Visual subnetwork"; 14,820,170 parameters with VGG16).

    `config.nodes` describes the arguments; the defaults are the authors'.
    """

    kind = "visual"
    inputs = ("frames",)
    head_names = ("visual",)
    encoded = ("visual_steps",)
    encoding_parts = ("encoder",)
    head_arguments = ("scenes", "temporal", "hidden", "dropout")  # those that the frame encoder does not depend on
    classifiers = MappingProxyType({"visual": "dense"})
    last_maps = MappingProxyType({"frames": "encoder"})

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
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        check_choice("temporal head", temporal, ("gru", "mean", "attention"))
        self.scenes, self.multi_label = scenes, multi_label
        self.encoder = FrameEncoder(backbone, frame_pooling, normalisation, height, width)
        features = self.encoder.embedding
        self.temporal = temporal
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
        """(batch, time, embedding) -> (batch, scene) logits of the mean probability over steps: its logarithm, but in
        multi-label data."""
        if self.temporal == "gru":
            steps = self.gru(embedding)[0]
        elif self.temporal == "attention":
            steps = self.attention(embedding)
        else:
            steps = embedding.mean(1, keepdim=True)
        per_step = self.dense(self.dropout(steps)).float()
        return mean_of_probabilities(per_step, 1, self.multi_label)

    def encode(self, frames: Tensor) -> dict[str, Tensor]:
        """(batch, time, channel, height, width), RGB 0-255 -> the features of each frame (batch, time, embedding)."""
        return {"visual_steps": self.embed(frames)}

    def decode(self, visual_steps: Tensor) -> dict[str, Tensor]:
        """(batch, time, embedding) -> {"visual": (batch, scene) logits}."""
        return {"visual": self.classify(visual_steps)}


class AttentionOverTime(nn.Module):
    """Attention pooling (Ilse et al. 2018, 1802.04712): the mean of the steps, weighed by the softmax over time of
    w . tanh(V step), with the learned query w of length `hidden`; no biases, as published."""

    def __init__(self, embedding: int, hidden: int) -> None:
        super().__init__()
        self.key = glorot(nn.Linear(embedding, hidden, bias=False))
        self.query = glorot(nn.Linear(hidden, 1, bias=False))

    def forward(self, steps: Tensor) -> Tensor:
        """(batch, time, embedding) -> (batch, 1, embedding)."""
        weights: Tensor = self.query(torch.tanh(self.key(steps))).softmax(1)
        return (weights * steps).sum(1, keepdim=True)

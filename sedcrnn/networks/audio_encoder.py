"""Spectrogram -> image -> timm network -> mean over bands -> mean over time -> dense: any timm network for audio."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sedcrnn.errors import ConfigError, WeightsError
from sedcrnn.networks import AudioSubnetwork
from sedcrnn.networks.backbones import TIMM, Normalisation, TimmEncoder, find_normalisation, last_map
from sedcrnn.networks.initialisation import glorot

AS_IT_IS = Normalisation((127.5,) * 3, (127.5,) * 3)  # that of weights which take images in [-1, 1]


class AudioEncoderNetwork(AudioSubnetwork):
    """A timm network on spectrograms, new or with the weights that its tag names: of ImageNet, say.

    `config.nodes` describes the arguments. Its embedding is its steps, which are small enough to be kept.
    """

    encoded = ("audio_steps",)
    encoding_parts = ("encoder",)
    head_arguments = ("scenes", "dropout")
    classifiers = MappingProxyType({"audio": "dense"})
    last_maps = MappingProxyType({"spectrogram": "encoder"})

    def __init__(
        self,
        scenes: int = 10,
        channels: int = 3,
        bands: int = 64,
        columns: int = 50,
        backbone: str = "resnet10t",
        image_height: int | None = 128,
        image_width: int | None = 160,
        dropout: float = 0.2,
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        self.scenes, self.multi_label = scenes, multi_label
        self.encoder = SpectrogramEncoder(backbone, channels, image_height or bands, image_width or columns)
        self.embedding = self.encoder.embedding
        self.dropout = nn.Dropout(dropout)
        self.dense = glorot(nn.Linear(self.embedding, scenes))

    def embed(self, spectrogram: Tensor) -> Tensor:
        """(batch, channel, band, column) in [-1, 1] -> (batch, time, filter)."""
        steps: Tensor = self.encoder(spectrogram)
        return steps

    def steps(self, embedding: Tensor) -> Tensor:
        """(batch, time, filter), as it is."""
        return embedding

    def classify(self, embedding: Tensor) -> Tensor:
        """(batch, time, filter) -> (batch, scene) logits, those of the mean over time."""
        logits: Tensor = self.dense(self.dropout(embedding.mean(1)))
        return logits

    def encode(self, spectrogram: Tensor) -> dict[str, Tensor]:
        """(batch, channel, band, column) in [-1, 1] -> the steps (batch, time, filter)."""
        return {"audio_steps": self.embed(spectrogram)}

    def decode(self, audio_steps: Tensor) -> dict[str, Tensor]:
        """(batch, time, filter) -> {"audio": (batch, scene) logits}."""
        return {"audio": self.classify(audio_steps)}


class SpectrogramEncoder(TimmEncoder):
    """A timm network on spectrograms as images of `height` x `width` pixels, without pretrained weights.

    With a tag in its name, [-1, 1] takes the place of the pixels 0-255 and is normalised as the weights need it. The
    three colours' mean and deviation go to left, right and difference; other channels get the average of the three.
    Without a tag the values stay in [-1, 1].
    """

    images = "spectrograms"
    scale: Tensor
    shift: Tensor

    def __init__(self, name: str, channels: int = 3, height: int = 128, width: int = 160) -> None:
        super().__init__(name, "average", (height, width), channels)
        self.name, self.size = name, (height, width)
        weights = find_normalisation(TIMM, name) if "." in name else AS_IT_IS
        mean, std = torch.tensor([weights.mean, weights.std])
        if channels != 3:
            mean, std = mean.mean()[None], std.mean()[None]
        # Known from the config, so not part of a checkpoint.
        self.register_buffer("scale", (127.5 / std)[:, None, None], persistent=False)
        self.register_buffer("shift", ((127.5 - mean) / std)[:, None, None], persistent=False)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(batch, channel, band, column) in [-1, 1] -> (batch, time, filter): the last map's columns, averaged over its
        rows."""
        if spectrogram.ndim != 4 or spectrogram.shape[1] != self.channels:
            raise ConfigError(
                f"The spectrograms have the shape {tuple(spectrogram.shape)}",
                f"The shape is (batch, channel, band, column), with {self.channels} channels",
                "Check what the feature returns, or set the audio network's channels",
            )
        images = spectrogram
        if spectrogram.shape[-2:] != self.size:
            images = F.interpolate(spectrogram, self.size, mode="bilinear", align_corners=False)
        # The memory layout in which convolutions are fastest.
        images = (images * self.scale + self.shift).contiguous(memory_format=torch.channels_last)
        return last_map(self.backbone, self.last(self.backbone.forward_features(images))).mean(-2).transpose(1, 2)

    def load_published(self, weights: Mapping[str, Tensor]) -> None:
        """As that of `TimmEncoder`; without a tag, spectrograms would not be normalised as the weights need it.

        Raises:
            WeightsError: a name without a tag, or as there.
        """
        if "." not in self.name:
            raise WeightsError(
                f"The audio network's backbone '{self.name}' does not say whose weights it gets",
                "Spectrograms are normalised as the weights need it, which the tag behind the architecture tells",
                "Set backbone=<architecture>.<tag>; see `sedcrnn weights list`",
            )
        super().load_published(weights)

"""Spectrogram -> three scSE blocks -> mean over band and frame -> dense: the audio network (323,274 parameters)."""

from collections import OrderedDict
from collections.abc import Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

from sedcrnn.errors import ConfigError, check_choice
from sedcrnn.networks import AudioSubnetwork
from sedcrnn.networks.early_fusion import unaligned
from sedcrnn.networks.initialisation import glorot
from sedcrnn.networks.squeeze_excitation import ConvStandardPOST, PreActivationPOST, keras_batch_norm, map_mean

# Average pool over the last map's frames: 12 frames become 5 steps, one for each video frame of a second.
POOL_SIZE, POOL_STRIDE = 3, 2


class AudioNetwork(AudioSubnetwork):
    """The audio subnetwork (docs/paper.md, "Audio subnetwork").

    `config.nodes` describes the arguments; the defaults are the authors', whose code pools the columns by (2, 2, 1),
    while the figure in the paper has (2, 2, 2) and prints the shape that follows from (2, 2, 1).
    """

    encoded = ("audio_embedding",)
    encoding_parts = ("blocks",)
    head_arguments = ("scenes",)
    classifiers = MappingProxyType({"audio": "dense"})
    last_maps = MappingProxyType({"spectrogram": "blocks"})

    def __init__(
        self,
        scenes: int = 10,
        channels: int = 3,
        filters: Sequence[int] = (32, 64, 128),
        frame_pooling: Sequence[int] = (2, 2, 1),
        ratio: int = 2,
        dropout: float = 0.0,
        momentum: float = 0.01,
        recalibration: str = "scse",
        activation_order: str = "post",
        pooling: str = "average",
        spatial_start: str = "glorot",
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        check_choice("activation order", activation_order, ("post", "pre"))
        check_choice("start of the spatial squeeze-excitation", spatial_start, ("glorot", "he_normal"))
        check_choice("pooling of the audio network", pooling, ("average", "max"))
        if len(filters) != len(frame_pooling):
            raise ConfigError(
                f"The audio network has {len(filters)} filters {tuple(filters)} and {len(frame_pooling)} frame_pooling "
                f"{tuple(frame_pooling)}",
                "Every block has one of each",
                "Give both lists the same length; a pool of 1 leaves the frames as they are",
            )
        if not 1 <= ratio <= min(filters):
            raise ConfigError(
                f"The audio network's ratio is {ratio}",
                f"A block of {min(filters)} filters is squeezed to {min(filters)} // ratio channels, 1 or more",
                f"Choose a whole number from 1 to {min(filters)}",
            )
        self.scenes, self.multi_label, self.pooling = scenes, multi_label, pooling
        block = ConvStandardPOST if activation_order == "post" else PreActivationPOST
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (width, pool) in enumerate(zip(filters, frame_pooling, strict=True), start=1):
            layers[f"block{number}"] = block(channels, width, ratio, momentum, recalibration, spatial_start)
            if pool > 1:
                layers[f"pool{number}"] = nn.MaxPool2d((1, pool))
            if dropout > 0:
                layers[f"dropout{number}"] = nn.Dropout(dropout)
            channels = width
        if activation_order == "pre":
            layers["norm"], layers["activation"] = keras_batch_norm(channels, momentum), nn.ELU()
        self.blocks = nn.Sequential(layers)
        self.embedding = channels
        self.pool = nn.AvgPool1d(POOL_SIZE, POOL_STRIDE)
        self.dense = glorot(nn.Linear(channels, scenes))

    def embed(self, spectrogram: Tensor) -> Tensor:
        """(batch, channel, band, frame) -> the last block's map (batch, filter, band, pooled frame)."""
        # The memory layout in which convolutions are fastest.
        maps: Tensor = self.blocks(spectrogram.contiguous(memory_format=torch.channels_last))
        return maps

    def steps(self, embedding: Tensor) -> Tensor:
        """(batch, filter, band, pooled frame) -> (batch, time, filter), the mean over bands and three frames."""
        by_frame = embedding.mean(-2)
        if by_frame.shape[-1] < POOL_SIZE:
            raise unaligned(f"has {by_frame.shape[-1]} pooled frames, and {POOL_SIZE} make a time step")
        steps: Tensor = self.pool(by_frame)
        return steps.transpose(1, 2)

    def classify(self, embedding: Tensor) -> Tensor:
        """(batch, filter, band, pooled frame) -> (batch, scene) logits."""
        return self.decode(self._pooled(embedding))["audio"]

    def encode(self, spectrogram: Tensor) -> dict[str, Tensor]:
        """(batch, channel, band, frame) -> the last block's map, pooled (batch, filter)."""
        return {"audio_embedding": self._pooled(self.embed(spectrogram))}

    def decode(self, audio_embedding: Tensor) -> dict[str, Tensor]:
        """The pooled map -> {"audio": (batch, scene) logits}."""
        return {"audio": self.dense(audio_embedding)}

    def _pooled(self, maps: Tensor) -> Tensor:
        return map_mean(maps) if self.pooling == "average" else maps.amax((-2, -1))

"""Map -> recalibrated map: spatial and channel squeeze-excitation, and the residual blocks around it.

Sources: Roy et al. 2018 (1803.02579) for scSE; Naranjo-Alcazar et al. 2021 (2107.13180) for the block; He et al. 2016
(1603.05027) for the order of the pre-activation block.
"""

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sedcrnn.errors import check_choice
from sedcrnn.networks.initialisation import glorot, he


class ScSE(nn.Module):
    """Weighs a map by channel (`cse`), by position (`sse`), by both and adds the two (`scse`), or not at all (`none`).

    The channel branch squeezes to channels // ratio; `spatial_start` is `glorot` (uniform) or `he_normal`.
    """

    def __init__(self, channels: int, ratio: int = 2, kind: str = "scse", spatial_start: str = "glorot") -> None:
        super().__init__()
        check_choice("recalibration", kind, ("scse", "cse", "sse", "none"))
        self.kind = kind
        if kind in ("scse", "cse"):
            self.squeeze = he(nn.Linear(channels, channels // ratio, bias=False))
            self.excite = he(nn.Linear(channels // ratio, channels, bias=False))
        if kind in ("scse", "sse"):
            spatial = nn.Conv2d(channels, 1, kernel_size=1, bias=False)
            self.spatial = he(spatial) if spatial_start == "he_normal" else glorot(spatial)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channel, band, frame) -> the same shape."""
        if self.kind == "none":
            return maps
        positions = maps.permute(0, 2, 3, 1)  # (batch, band, frame, channel), as maps lie in memory
        weights = []
        if self.kind in ("scse", "cse"):
            by_channel = torch.sigmoid(self.excite(F.relu(self.squeeze(map_mean(maps)))))
            weights.append(by_channel[:, None, None])
        if self.kind in ("scse", "sse"):
            # The convolution as a dense layer, which a CPU runs faster.
            weights.append(torch.sigmoid(F.linear(positions, self.spatial.weight.flatten(1))))
        return (positions * reduce(torch.add, weights)).permute(0, 3, 1, 2)


class ConvStandardPOST(nn.Module):
    """Residual block with scSE after the sum and the shortcut once more after scSE ("Standard-POST").

    `momentum` is torch's, of the running statistics; Keras' 0.99 is 0.01.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ratio: int = 2,
        momentum: float = 0.01,
        recalibration: str = "scse",
        spatial_start: str = "glorot",
    ) -> None:
        super().__init__()
        self.conv1 = glorot(nn.Conv2d(in_channels, out_channels, kernel_size=3, padding="same"))
        self.norm1 = keras_batch_norm(out_channels, momentum)
        self.conv2 = glorot(nn.Conv2d(out_channels, out_channels, kernel_size=3, padding="same"))
        self.norm2 = keras_batch_norm(out_channels, momentum)
        self.conv_shortcut = glorot(nn.Conv2d(in_channels, out_channels, kernel_size=1))
        self.norm_shortcut = keras_batch_norm(out_channels, momentum)
        self.scse = ScSE(out_channels, ratio, recalibration, spatial_start)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, in channel, band, frame) -> (batch, out channel, band, frame)."""
        shortcut = self.norm_shortcut(self.conv_shortcut(maps))
        # In place, where nothing that the backward pass needs is overwritten.
        residual = self.norm2(self.conv2(F.elu_(self.norm1(self.conv1(maps)))))
        output: Tensor = self.scse(F.elu_(residual + shortcut)) + shortcut
        return output


class PreActivationPOST(nn.Module):
    """The same block with normalisation and ELU before the convolutions instead of after them.

    Neither the sum nor the shortcut is normalised; that is left to the next block, and after the last to the network.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ratio: int = 2,
        momentum: float = 0.01,
        recalibration: str = "scse",
        spatial_start: str = "glorot",
    ) -> None:
        super().__init__()
        self.norm1 = keras_batch_norm(in_channels, momentum)
        self.conv1 = glorot(nn.Conv2d(in_channels, out_channels, kernel_size=3, padding="same"))
        self.norm2 = keras_batch_norm(out_channels, momentum)
        self.conv2 = glorot(nn.Conv2d(out_channels, out_channels, kernel_size=3, padding="same"))
        self.conv_shortcut = glorot(nn.Conv2d(in_channels, out_channels, kernel_size=1))
        self.scse = ScSE(out_channels, ratio, recalibration, spatial_start)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, in channel, band, frame) -> (batch, out channel, band, frame)."""
        activated = F.elu_(self.norm1(maps))  # in place, where nothing that the backward pass needs is overwritten
        shortcut = self.conv_shortcut(activated)
        residual = self.conv2(F.elu_(self.norm2(self.conv1(activated))))
        output: Tensor = self.scse(residual + shortcut) + shortcut
        return output


def map_mean(maps: Tensor) -> Tensor:
    """(batch, channel, band, frame) -> (batch, channel), the mean over band and frame.

    The sum over positions that lie one after another has a gradient that needs no memory and keeps channels last; that
    of `mean` is a map laid out the other way.
    """
    positions = maps.permute(0, 2, 3, 1).flatten(1, 2)
    return positions.sum(1) / positions.shape[1]


def keras_batch_norm(channels: int, momentum: float) -> nn.BatchNorm2d:
    """Batch normalisation with Keras' epsilon; momentum in torch's sense."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=momentum)

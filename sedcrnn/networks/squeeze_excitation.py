"""Map -> recalibrated map: spatial and channel squeeze-excitation, and the residual blocks around it.

Sources: Roy et al. 2018 (1803.02579) for scSE; Naranjo-Alcazar et al. 2021 (2107.13180) for the block; He et al. 2016
(1603.05027) for the order of the pre-activation block.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sedcrnn.errors import check_choice
from sedcrnn.networks.initialisation import glorot, he

RECALIBRATIONS = ("scse", "cse", "sse", "none")


class ScSE(nn.Module):
    """Weighs a map by channel (cSE), by position (sSE), or by both and adds the two (scSE).

    Args:
        channels: channels of the map.
        ratio: the channel branch squeezes to channels // ratio.
        kind: `scse`, `cse`, `sse`, or `none`, which leaves the map as it is.

    Raises:
        ConfigError: another kind.
    """

    def __init__(self, channels: int, ratio: int = 2, kind: str = "scse") -> None:
        super().__init__()
        check_choice("recalibration", kind, RECALIBRATIONS)
        self.kind = kind
        if kind in ("scse", "cse"):
            self.squeeze = he(nn.Linear(channels, channels // ratio, bias=False))
            self.excite = he(nn.Linear(channels // ratio, channels, bias=False))
        if kind in ("scse", "sse"):
            self.spatial = glorot(nn.Conv2d(channels, 1, kernel_size=1, bias=False))

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channel, band, frame) -> the same shape."""
        if self.kind == "none":
            return maps
        if self.kind == "cse":
            return maps * self.by_channel(maps)
        if self.kind == "sse":
            return maps * self.by_position(maps)
        return maps * self.by_channel(maps) + maps * self.by_position(maps)

    def by_channel(self, maps: Tensor) -> Tensor:
        """(batch, channel, band, frame) -> (batch, channel, 1, 1) weights in 0-1."""
        weights = torch.sigmoid(self.excite(F.relu(self.squeeze(maps.mean((-2, -1))))))
        return weights[:, :, None, None]

    def by_position(self, maps: Tensor) -> Tensor:
        """(batch, channel, band, frame) -> (batch, 1, band, frame) weights in 0-1."""
        return torch.sigmoid(self.spatial(maps))


class ConvStandardPOST(nn.Module):
    """Residual block with scSE after the sum and the shortcut once more after scSE ("Standard-POST").

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        ratio: of the squeeze-excitation.
        momentum: of the running statistics, in torch's sense; Keras' 0.99 is 0.01.
        recalibration: see `ScSE`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ratio: int = 2,
        momentum: float = 0.01,
        recalibration: str = "scse",
    ) -> None:
        super().__init__()
        self.conv1 = glorot(nn.Conv2d(in_channels, out_channels, kernel_size=3, padding="same"))
        self.norm1 = keras_batch_norm(out_channels, momentum)
        self.conv2 = glorot(nn.Conv2d(out_channels, out_channels, kernel_size=3, padding="same"))
        self.norm2 = keras_batch_norm(out_channels, momentum)
        self.conv_shortcut = glorot(nn.Conv2d(in_channels, out_channels, kernel_size=1))
        self.norm_shortcut = keras_batch_norm(out_channels, momentum)
        self.scse = ScSE(out_channels, ratio, recalibration)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, in channel, band, frame) -> (batch, out channel, band, frame)."""
        shortcut = self.norm_shortcut(self.conv_shortcut(maps))
        residual = self.norm2(self.conv2(F.elu(self.norm1(self.conv1(maps)))))
        output: Tensor = self.scse(F.elu(residual + shortcut)) + shortcut
        return output


class PreActivationPOST(nn.Module):
    """The same block with normalisation and ELU before the convolutions instead of after them.

    With a(x) = ELU(BN(x)) of the input, which both branches get: shortcut = conv 1x1 (a(x)), residual =
    conv 3x3 (ELU(BN(conv 3x3 (a(x))))), output = scSE(residual + shortcut) + shortcut. Neither the sum nor the shortcut
    is normalised; that is left to the next block, and after the last to the network.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        ratio: of the squeeze-excitation.
        momentum: of the running statistics, in torch's sense.
        recalibration: see `ScSE`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ratio: int = 2,
        momentum: float = 0.01,
        recalibration: str = "scse",
    ) -> None:
        super().__init__()
        self.norm1 = keras_batch_norm(in_channels, momentum)
        self.conv1 = glorot(nn.Conv2d(in_channels, out_channels, kernel_size=3, padding="same"))
        self.norm2 = keras_batch_norm(out_channels, momentum)
        self.conv2 = glorot(nn.Conv2d(out_channels, out_channels, kernel_size=3, padding="same"))
        self.conv_shortcut = glorot(nn.Conv2d(in_channels, out_channels, kernel_size=1))
        self.scse = ScSE(out_channels, ratio, recalibration)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, in channel, band, frame) -> (batch, out channel, band, frame)."""
        activated = F.elu(self.norm1(maps))
        shortcut = self.conv_shortcut(activated)
        residual = self.conv2(F.elu(self.norm2(self.conv1(activated))))
        output: Tensor = self.scse(residual + shortcut) + shortcut
        return output


def keras_batch_norm(channels: int, momentum: float) -> nn.BatchNorm2d:
    """Batch normalisation with Keras' epsilon; momentum in torch's sense."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=momentum)

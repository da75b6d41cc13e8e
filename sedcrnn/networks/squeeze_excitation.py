"""Map -> recalibrated map: concurrent spatial and channel squeeze-excitation, and the residual block around it.

Sources: Roy et al. 2018 (1803.02579) for scSE; Naranjo-Alcazar et al. 2021 (2107.13180) for the block.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sedcrnn.networks.initialisation import glorot, he


class ScSE(nn.Module):
    """Weighs a map by channel and by position, and adds the two.

    Args:
        channels: channels of the map.
        ratio: the channel branch squeezes to channels // ratio.
    """

    def __init__(self, channels: int, ratio: int = 2) -> None:
        super().__init__()
        self.squeeze = he(nn.Linear(channels, channels // ratio, bias=False))
        self.excite = he(nn.Linear(channels // ratio, channels, bias=False))
        self.spatial = glorot(nn.Conv2d(channels, 1, kernel_size=1, bias=False))

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channel, band, frame) -> the same shape."""
        by_channel = torch.sigmoid(self.excite(F.relu(self.squeeze(maps.mean((-2, -1))))))
        by_position = torch.sigmoid(self.spatial(maps))
        recalibrated: Tensor = maps * by_channel[:, :, None, None] + maps * by_position
        return recalibrated


class ConvStandardPOST(nn.Module):
    """Residual block with scSE after the sum and the shortcut once more after scSE ("Standard-POST").

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        ratio: of the squeeze-excitation.
        momentum: of the running statistics, in torch's sense; Keras' 0.99 is 0.01.
    """

    def __init__(self, in_channels: int, out_channels: int, ratio: int = 2, momentum: float = 0.01) -> None:
        super().__init__()
        self.conv1 = glorot(nn.Conv2d(in_channels, out_channels, kernel_size=3, padding="same"))
        self.norm1 = keras_batch_norm(out_channels, momentum)
        self.conv2 = glorot(nn.Conv2d(out_channels, out_channels, kernel_size=3, padding="same"))
        self.norm2 = keras_batch_norm(out_channels, momentum)
        self.conv_shortcut = glorot(nn.Conv2d(in_channels, out_channels, kernel_size=1))
        self.norm_shortcut = keras_batch_norm(out_channels, momentum)
        self.scse = ScSE(out_channels, ratio)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, in channel, band, frame) -> (batch, out channel, band, frame)."""
        shortcut = self.norm_shortcut(self.conv_shortcut(maps))
        residual = self.norm2(self.conv2(F.elu(self.norm1(self.conv1(maps)))))
        output: Tensor = self.scse(F.elu(residual + shortcut)) + shortcut
        return output


def keras_batch_norm(channels: int, momentum: float) -> nn.BatchNorm2d:
    """Batch normalisation with Keras' epsilon; momentum in torch's sense."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=momentum)

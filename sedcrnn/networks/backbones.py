"""Frames 0-255 -> normalised -> timm CNN, all frames of all clips in one batch -> pooled map: frame features."""

from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import Tensor, nn

from sedcrnn.errors import ConfigError, check_choice, nearest


@dataclass(frozen=True)
class Normalisation:
    """What a backbone's weights were trained on: channel order, and what is subtracted and divided by (of 0-255)."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False


# With fresh weights choose `imagenet`: He's rule passes the scale of the input on, and with the other two 65-90 % of
# the GRU's pre-activations behind a fresh VGG16 lie beyond +-4, where its gates are saturated (`imagenet`: none).
NORMALISATIONS = {
    # The authors' notebooks feed this to the Places365 weights.
    "raw": Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": Normalisation((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)),
    # What the Caffe weights of Places365 were trained on; the mean is in BGR order too.
    "places365": Normalisation((104.0510, 112.5145, 116.6760), (1.0, 1.0, 1.0), bgr=True),
}


class FrameEncoder(nn.Module):
    """The convolutional part of a timm CNN on every frame, without pretrained weights.

    Args:
        name: timm architecture; `vgg16` has 14,714,688 parameters here, named as in torchvision.
        pooling: over height and width. The authors' code takes the maximum (in a layer named GlobAvPooling); the
            figure in the paper says average.
        normalisation: `raw`, `imagenet` or `places365`; has to fit the weights.

    Attributes:
        embedding: number of features per frame.

    Raises:
        ConfigError: an unknown architecture, pooling or normalisation, or an architecture that is not a plain CNN.
    """

    backbone: Any  # an nn.Module with timm's own methods
    mean: Tensor
    std: Tensor

    def __init__(self, name: str = "vgg16", pooling: str = "max", normalisation: str = "places365") -> None:
        super().__init__()
        check_choice("frame pooling", pooling, ("max", "average"))
        check_choice("normalisation", normalisation, tuple(NORMALISATIONS))
        chosen = NORMALISATIONS[normalisation]
        self.pooling, self.bgr = pooling, chosen.bgr
        # Known from the config, so not part of a checkpoint.
        self.register_buffer("mean", torch.tensor(chosen.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(chosen.std)[:, None, None], persistent=False)
        self.backbone = build_backbone(name)
        self.embedding: int = self.backbone.num_features

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, time, channel, height, width), RGB 0-255, uint8 or float -> (batch, time, embedding).

        Raises:
            ConfigError: frames of another shape.
        """
        if frames.ndim != 5 or frames.shape[2] != 3:
            raise ConfigError(
                f"The frames have the shape {tuple(frames.shape)}",
                "The shape is (batch, time, channel, height, width), with 3 channels in the order RGB",
                "Check what the feature extractor returns",
            )
        images = frames.flatten(0, 1).to(self.mean.dtype)
        images = ((images.flip(1) if self.bgr else images) - self.mean) / self.std
        # The layout that convolutions are fastest in: on a CPU 1.1 times in float32, 1.4 (training) to 2 in bfloat16.
        maps = self.backbone.forward_features(images.contiguous(memory_format=torch.channels_last))
        # Not nn.AdaptiveMaxPool2d, which has no deterministic gradient on GPUs.
        pooled: Tensor = maps.amax((-2, -1)) if self.pooling == "max" else maps.mean((-2, -1))
        return pooled.reshape(*frames.shape[:2], self.embedding)


def build_backbone(name: str) -> Any:
    """A timm CNN with fresh weights and without any layer behind its last map.

    timm initialises VGG (and other CNNs with ReLU) by He's rule, fan-out mode, with zero biases.
    """
    if not timm.is_model(name) or "." in name:  # a dot starts the tag of pretrained weights
        raise ConfigError(
            f"timm has no architecture '{name}'",
            f"The nearest is {nearest(name.partition('.')[0], timm.list_models())}; weights are not part of the name",
            "Correct the name; timm.list_models() lists them all",
        )
    # timm's VGG keeps its two 4096-wide layers even with num_classes=0. They are dropped below; built one unit wide,
    # they need not be drawn at random first, which takes seconds.
    slim: dict[str, Any] = {"mlp_ratio": 1 / 4096} if name.startswith("vgg") else {}
    network: Any = timm.create_model(name, pretrained=False, num_classes=0, global_pool="", **slim)
    ran: set[nn.Module] = set()
    hooks = [module.register_forward_hook(lambda module, *_: ran.add(module)) for module in network.modules()]
    try:
        with torch.no_grad():
            maps = network.eval().forward_features(torch.zeros(1, 3, 64, 64))
    except (AssertionError, RuntimeError) as error:
        raise _not_plain(name, f"refuses frames of 64 x 64 ({error})") from error
    if maps.ndim != 4 or maps.shape[1] != network.num_features:
        raise _not_plain(name, f"gives a map of the shape {tuple(maps.shape)}")
    for hook in hooks:
        hook.remove()
    for child_name, child in list(network.named_children()):
        if ran.isdisjoint(child.modules()):
            network.set_submodule(child_name, nn.Identity())
    return network.train()


def _not_plain(name: str, found: str) -> ConfigError:
    return ConfigError(
        f"The timm model '{name}' {found}",
        "A frame encoder is a plain CNN, whose last map is (batch, channel, height, width) for frames of any size",
        "Choose a CNN such as 'vgg16' or 'resnet18'",
    )

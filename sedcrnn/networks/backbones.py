"""Frames 0-255 -> normalised -> timm network, all frames of all clips in one batch -> pooled: frame features."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sedcrnn.errors import ConfigError, WeightsError, check_choice, nearest

# timm imports wandb wherever that is installed, which takes half a second, for a log that nothing here writes.
_without_wandb = "wandb" not in sys.modules
if _without_wandb:
    sys.modules["wandb"] = None  # type: ignore[assignment] # its import fails, for which timm is prepared
try:
    import timm as timm  # other modules take it from here
    from timm.layers.pos_embed import resample_abs_pos_embed
    from timm.models import adapt_input_conv
finally:
    if _without_wandb:
        del sys.modules["wandb"]

Size = tuple[int, int]  # height and width
SIZE_REMEDIES = {
    "frames": "Set features.frames.height={} features.frames.width={}",
    "spectrograms": "Set the audio network's image_height={} and image_width={}",
}
"""What is taken for images -> how to change its size."""


@dataclass(frozen=True)
class Normalisation:
    """What a backbone's weights were trained on: channel order, and what is subtracted and divided by (of 0-255)."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False


# With fresh weights choose `imagenet`: He's rule passes the scale of the input on, and the other two saturate the gates
# of the GRU behind a fresh VGG16.
NORMALISATIONS = {
    # The authors' notebooks feed this to the Places365 weights.
    "raw": Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": Normalisation((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)),
    # What the Caffe weights of Places365 were trained on; the mean is in BGR order too.
    "places365": Normalisation((104.0510, 112.5145, 116.6760), (1.0, 1.0, 1.0), bgr=True),
}
TIMM = "timm"  # what timm says of the weights that the backbone's tag names


def find_normalisation(name: str, backbone: str) -> Normalisation:
    """What a name of NORMALISATIONS, or `timm`, means for a backbone `<architecture>` or `<architecture>.<tag>`.

    `timm` needs the tag: which weights timm takes for an architecture's best changes with its version, and a trained
    network's input must not.
    """
    check_choice("normalisation", name, (*NORMALISATIONS, TIMM))
    if name != TIMM:
        return NORMALISATIONS[name]
    check_backbone(backbone)
    architecture, _, tag = backbone.partition(".")
    if not tag:
        tags = timm.list_pretrained(f"{architecture}.*")
        raise ConfigError(
            f"The normalisation is '{TIMM}', and the backbone '{backbone}' does not say whose weights are meant",
            f"timm knows the weights {', '.join(tags[:4])}" if tags else "timm knows no weights of this architecture",
            f"Set backbone={tags[0] if tags else '<architecture>.<tag>'}, or normalisation=imagenet",
        )
    known: Any = timm.get_pretrained_cfg(backbone)
    mean, std = (tuple(255 * value for value in values) for values in (known.mean, known.std))
    return Normalisation(mean, std)


def check_backbone(name: str) -> None:
    """Refuse a name that timm does not know: `<architecture>`, or `<architecture>.<tag>` of its weights."""
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise ConfigError(
            f"timm has no architecture '{architecture}'",
            f"The nearest is {nearest(architecture, timm.list_models())}",
            "Correct the name; timm.list_models() lists them all",
        )
    if tag and not timm.is_model_pretrained(name):
        tags = timm.list_pretrained(f"{architecture}.*")
        raise ConfigError(
            f"timm has no weights '{name}'",
            f"The nearest is {nearest(name, tags)}" if tags else f"It has none of '{architecture}'",
            f"Correct the tag, or leave it out: {architecture}",
        )


class TimmEncoder(nn.Module):
    """A timm network without its classifier, without pretrained weights: what encoders of frames and of spectrograms
    share.

    Attributes:
        images: what it takes for images, a key of `SIZE_REMEDIES`.
        embedding: number of features.
        on_a_grid: whether the last map has rows and columns, as heat maps need them; the tokens of LeViT have none.
    """

    images: ClassVar[str]

    def __init__(self, name: str, pooling: str, size: Size, channels: int = 3) -> None:
        super().__init__()
        self.backbone = build_backbone(name, pooling, size, self.images, channels)
        self.pooling, self.channels = pooling, channels
        self.embedding: int = _features(self.backbone, pooling)
        self.on_a_grid: bool = self.backbone.on_a_grid
        self.last = nn.Identity()  # through which the last map goes, for hooks

    def load_published(self, weights: Mapping[str, Tensor]) -> None:
        """Take over published weights; the positions of a transformer are interpolated to the size of the images, and
        its first layer is adapted to their number of channels, both as timm does it.

        Raises:
            WeightsError: arrays that this pooling needs are not among them, or are tied to another size.
        """
        own = self.backbone.state_dict()
        if missing := sorted(own.keys() - weights.keys()):
            raise WeightsError(
                f"The weights lack {', '.join(missing[:3])}, which the pooling '{self.pooling}' needs",
                "They hold the network's own head if the file that they were imported from does",
                "Import a whole file, or set model.network.frame_pooling=max or average",
            )
        chosen = {name: weights[name] for name in own}
        first = self.backbone.pretrained_cfg["first_conv"] if self.channels != 3 else None
        for name in (f"{layer}.weight" for layer in ((first,) if isinstance(first, str) else first or ())):
            if chosen[name].shape != own[name].shape:
                chosen[name] = adapt_input_conv(self.channels, chosen[name])
        if "pos_embed" in own and chosen["pos_embed"].shape != own["pos_embed"].shape:
            prefix = 0 if getattr(self.backbone, "no_embed_class", False) else self.backbone.num_prefix_tokens
            grid = list(self.backbone.patch_embed.grid_size)
            chosen["pos_embed"] = resample_abs_pos_embed(chosen["pos_embed"], grid, num_prefix_tokens=prefix)
        for name, value in chosen.items():
            if value.shape != own[name].shape:
                raise WeightsError(
                    f"The weights have {name} of the shape {tuple(value.shape)} instead of {tuple(own[name].shape)}",
                    f"This network's weights fit {self.images} of one size",
                    SIZE_REMEDIES[self.images].format(*self.backbone.pretrained_cfg["input_size"][1:]),
                )
        self.backbone.load_state_dict(chosen)


class FrameEncoder(TimmEncoder):
    """A timm network on every frame.

    Args:
        name: timm architecture, with or without the tag of its weights; `vgg16` has 14,714,688 parameters here.
        pooling: `max` or `average` over the positions of the last map, or a transformer's tokens but class tokens; or
            `model`: what the network's own classifier would get.
        normalisation: see `find_normalisation`; has to fit the weights.
    """

    images = "frames"
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str = "vgg16",
        pooling: str = "max",
        normalisation: str = "places365",
        height: int = 224,
        width: int = 224,
    ) -> None:
        super().__init__(name, pooling, (height, width))
        chosen = find_normalisation(normalisation, name)
        self.bgr = chosen.bgr
        # Known from the config, so not part of a checkpoint.
        self.register_buffer("mean", torch.tensor(chosen.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(chosen.std)[:, None, None], persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, time, channel, height, width), RGB 0-255, uint8 or float -> (batch, time, embedding)."""
        if frames.ndim != 5 or frames.shape[2] != 3:
            raise ConfigError(
                f"The frames have the shape {tuple(frames.shape)}",
                "The shape is (batch, time, channel, height, width), with 3 channels in the order RGB",
                "Check what the feature extractor returns",
            )
        images = frames.flatten(0, 1).to(self.mean.dtype)
        images = ((images.flip(1) if self.bgr else images) - self.mean) / self.std
        # The memory layout in which convolutions are fastest.
        maps = self.last(self.backbone.forward_features(images.contiguous(memory_format=torch.channels_last)))
        pooled = pooled_features(self.backbone, maps, self.pooling)
        return pooled.reshape(*frames.shape[:2], self.embedding)


def pooled_features(backbone: Any, maps: Tensor, pooling: str) -> Tensor:
    """What `forward_features` gave -> (image, embedding); see `FrameEncoder` for the poolings."""
    if pooling == "model":
        features: Tensor = backbone.forward_head(maps, pre_logits=True)
        return features
    maps, axes = _places(backbone, maps)
    # Not nn.AdaptiveMaxPool2d, which has no deterministic gradient on GPUs.
    return maps.amax(axes) if pooling == "max" else maps.mean(axes)


def last_map(backbone: Any, features: Tensor) -> Tensor:
    """What `forward_features` gave -> (image, feature, row, column); a transformer's tokens lie where its patches do.

    Raises:
        ValueError: a network whose tokens lie on no grid.
    """
    if not _on_a_grid(backbone, features):
        raise ValueError("its features lie on no grid of rows and columns")
    maps, axes = _places(backbone, features)
    if len(axes) == 1:
        maps, axes = maps.reshape(-1, *backbone.patch_embed.grid_size, maps.shape[-1]), (1, 2)
    return maps.movedim(axes, (-2, -1))


def _on_a_grid(backbone: Any, features: Tensor) -> bool:
    maps, axes = _places(backbone, features)
    grid = getattr(getattr(backbone, "patch_embed", None), "grid_size", (0,))
    return len(axes) == 2 or math.prod(grid) == maps.shape[1]


def _places(backbone: Any, maps: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """What `forward_features` gave, without class tokens, and the axes of its places."""
    if maps.ndim == 3:  # (image, token, channel), class tokens first
        return maps[:, getattr(backbone, "num_prefix_tokens", 0) :], (1,)
    return maps, (1, 2) if getattr(backbone, "output_fmt", "NCHW") == "NHWC" else (-2, -1)


def build_backbone(
    name: str, pooling: str = "max", size: Size | None = None, images: str = "frames", channels: int = 3
) -> Any:
    """A timm network with fresh weights and without any layer that the pooled features do not need.

    timm initialises VGG (and other CNNs with ReLU) by He's rule, fan-out mode, with zero biases. Name and pooling are
    those of `FrameEncoder`, images and channels of `TimmEncoder`; without a size, it is the one that the network was
    trained at.
    """
    check_backbone(name)
    check_choice("frame pooling", pooling, ("max", "average", "model"))
    if name.startswith("vgg") and pooling == "model":
        raise ConfigError(
            f"The frame pooling is 'model', and the head of '{name}' is two dense layers with 4096 units",
            "VGG's features are those of its last map",
            "Choose max or average",
        )
    known: Any = timm.get_pretrained_cfg(name)
    native: Size = known.input_size[1:]
    size = size or native
    try:
        # Without values, which shows what runs, and what fits, at no cost.
        with torch.device("meta"), torch.no_grad():
            traced = _create(name, size, channels).eval()
            ran: set[nn.Module] = set()
            for module in traced.modules():
                module.register_forward_hook(lambda module, *_: ran.add(module))
            given = traced.forward_features(torch.zeros(1, channels, *size))
            features = pooled_features(traced, given, pooling)
            if images == "spectrograms":
                last_map(traced, given)
        if features.shape != (1, _features(traced, pooling)):
            raise ValueError(f"its features have the shape {tuple(features.shape)}")
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(
            f"The backbone '{name}' cannot take {images} of {size[0]} x {size[1]} pixels: {str(error).splitlines()[0]}",
            f"Its own are {native[0]} x {native[1]}",
            f"{SIZE_REMEDIES[images].format(*native)}, or choose another backbone",
        ) from error
    network = _create(name, size, channels)
    network.on_a_grid = _on_a_grid(traced, given)
    for child_name, child in traced.named_children():
        if ran.isdisjoint(child.modules()):
            network.set_submodule(child_name, nn.Identity())
    return network


def _create(name: str, size: Size, channels: int) -> Any:
    architecture = name.partition(".")[0]  # a tag would only say which weights, and timm would take their `size`
    # timm's VGG keeps its two 4096-wide layers even with num_classes=0. They are dropped afterwards; built one unit
    # wide, they need not be drawn at random first, which takes seconds.
    options: dict[str, Any] = {"mlp_ratio": 1 / 4096} if architecture.startswith("vgg") else {}
    known: Any = timm.get_pretrained_cfg(architecture)
    if known.fixed_input_size and tuple(known.input_size[1:]) != size:
        options["img_size"] = size
    if channels != 3:
        options["in_chans"] = channels
    network: Any = timm.create_model(architecture, pretrained=False, num_classes=0, **options)
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if known.fixed_input_size and patch and any(side % step for side, step in zip(size, patch, strict=True)):
        raise ValueError(f"its patches of {patch[0]} x {patch[1]} do not fill them")
    return network


def _features(backbone: Any, pooling: str) -> int:
    number: int = backbone.head_hidden_size if pooling == "model" else backbone.num_features
    return number

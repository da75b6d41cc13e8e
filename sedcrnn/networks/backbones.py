"""Frames 0-255 -> normalised -> timm network, all frames of all clips in one batch -> pooled: frame features."""

from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

from sedcrnn.errors import ConfigError, WeightsError, check_choice
from sedcrnn.networks.normalisation import check_backbone, find_normalisation

POOLINGS = ("max", "average", "model")
Size = tuple[int, int]  # height and width


class FrameEncoder(nn.Module):
    """A timm network without its classifier on every frame, without pretrained weights.

    Args:
        name: timm architecture, with or without the tag of its weights; `vgg16` has 14,714,688 parameters here, named
            as in torchvision.
        pooling: over the places of the last map, or the tokens of a transformer without those that stand for no place:
            `max` or `average`; or `model`: what the network's own classifier would get. The authors' code takes the
            maximum (in a layer named GlobAvPooling); the figure in the paper says average.
        normalisation: `raw`, `imagenet`, `places365`, or `timm` (see `find_normalisation`); has to fit the weights.
        height: of the frames, in pixels.
        width: of the frames, in pixels.

    Attributes:
        embedding: number of features per frame.

    Raises:
        ConfigError: an unknown architecture, pooling or normalisation, or frames that the network cannot take.
    """

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
        super().__init__()
        self.backbone = build_backbone(name, pooling, (height, width))
        chosen = find_normalisation(normalisation, name)
        self.pooling, self.bgr = pooling, chosen.bgr
        # Known from the config, so not part of a checkpoint.
        self.register_buffer("mean", torch.tensor(chosen.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(chosen.std)[:, None, None], persistent=False)
        self.embedding: int = _features(self.backbone, pooling)

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
        pooled = pooled_features(self.backbone, images.contiguous(memory_format=torch.channels_last), self.pooling)
        return pooled.reshape(*frames.shape[:2], self.embedding)

    def load_published(self, weights: Mapping[str, Tensor]) -> None:
        """Take over published weights; the positions of a transformer are interpolated to the size of the frames.

        Args:
            weights: all arrays of the backbone, and perhaps more, of the size that the network was trained at.

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
        chosen = {name: self._resampled(name, weights[name], own[name]) for name in own}
        for name, value in chosen.items():
            if value.shape != own[name].shape:
                raise WeightsError(
                    f"The weights have {name} of the shape {tuple(value.shape)} instead of {tuple(own[name].shape)}",
                    "This network's weights fit frames of one size",
                    _size_remedy(self.backbone.pretrained_cfg["input_size"][1:]),
                )
        self.backbone.load_state_dict(chosen)

    def _resampled(self, name: str, value: Tensor, like: Tensor) -> Tensor:
        if name != "pos_embed" or value.shape == like.shape:
            return value
        prefix = 0 if getattr(self.backbone, "no_embed_class", False) else self.backbone.num_prefix_tokens
        grid = list(self.backbone.patch_embed.grid_size)
        resampled: Tensor = resample_abs_pos_embed(value, grid, num_prefix_tokens=prefix)
        return resampled


def pooled_features(backbone: Any, images: Tensor, pooling: str) -> Tensor:
    """(image, channel, height, width), normalised -> (image, embedding); see `FrameEncoder` for the poolings."""
    maps: Tensor = backbone.forward_features(images)
    if pooling == "model":
        features: Tensor = backbone.forward_head(maps, pre_logits=True)
        return features
    places: tuple[int, ...] = (-2, -1)
    if maps.ndim == 3:  # (image, token, channel), those that stand for no place first
        maps, places = maps[:, getattr(backbone, "num_prefix_tokens", 0) :], (1,)
    elif getattr(backbone, "output_fmt", "NCHW") == "NHWC":
        places = (1, 2)
    # Not nn.AdaptiveMaxPool2d, which has no deterministic gradient on GPUs.
    return maps.amax(places) if pooling == "max" else maps.mean(places)


def build_backbone(name: str, pooling: str = "max", size: Size | None = None) -> Any:
    """A timm network with fresh weights and without any layer that the pooled features do not need.

    timm initialises VGG (and other CNNs with ReLU) by He's rule, fan-out mode, with zero biases.

    Args:
        name: timm architecture, with or without the tag of its weights, which are not loaded.
        pooling: see `FrameEncoder`.
        size: height and width of the frames; None: those that the network was trained at.

    Raises:
        ConfigError: an unknown name or pooling, or frames that the network cannot take.
    """
    check_backbone(name)
    check_choice("frame pooling", pooling, POOLINGS)
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
            traced = _create(name, size).eval()
            ran: set[nn.Module] = set()
            for module in traced.modules():
                module.register_forward_hook(lambda module, *_: ran.add(module))
            features = pooled_features(traced, torch.zeros(1, 3, *size), pooling)
    except (AssertionError, RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise _unfit(name, size, str(error).splitlines()[0], native) from error
    if features.shape != (1, _features(traced, pooling)):
        raise _unfit(name, size, f"its features have the shape {tuple(features.shape)}", native)
    network = _create(name, size)
    for child_name, child in traced.named_children():
        if ran.isdisjoint(child.modules()):
            network.set_submodule(child_name, nn.Identity())
    return network


def _create(name: str, size: Size) -> Any:
    architecture = name.partition(".")[0]  # a tag would only say which weights, and timm would take their `size`
    options: dict[str, Any] = {}
    if architecture.startswith("vgg"):
        # timm's VGG keeps its two 4096-wide layers even with num_classes=0. They are dropped afterwards; built one unit
        # wide, they need not be drawn at random first, which takes seconds.
        options["mlp_ratio"] = 1 / 4096
    known: Any = timm.get_pretrained_cfg(architecture)
    if known.fixed_input_size and tuple(known.input_size[1:]) != size:
        options["img_size"] = size
    network: Any = timm.create_model(architecture, pretrained=False, num_classes=0, **options)
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if known.fixed_input_size and patch and any(side % step for side, step in zip(size, patch, strict=True)):
        raise ValueError(f"its patches of {patch[0]} x {patch[1]} do not fill them")
    return network


def _features(backbone: Any, pooling: str) -> int:
    number: int = backbone.head_hidden_size if pooling == "model" else backbone.num_features
    return number


def _unfit(name: str, size: Size, found: str, native: Size) -> ConfigError:
    return ConfigError(
        f"The backbone '{name}' cannot take frames of {size[0]} x {size[1]} pixels: {found}",
        f"Its own are {native[0]} x {native[1]}",
        f"{_size_remedy(native)}, or choose another backbone",
    )


def _size_remedy(native: Size) -> str:
    return f"Set features.frames.height={native[0]} features.frames.width={native[1]}"

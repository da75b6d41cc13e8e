"""Name of a normalisation, and of a backbone -> channel order, mean and deviation of the frames that it takes."""

from dataclasses import dataclass
from typing import Any

import timm

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
TIMM = "timm"  # what timm says of the weights that the backbone's tag names


def find_normalisation(name: str, backbone: str) -> Normalisation:
    """What a name means for a backbone.

    Mean and deviation belong to weights, not to an architecture, so `timm` needs the weights' tag: whatever timm takes
    for an architecture's best weights changes with its version, and a trained network's input must not.

    Args:
        name: of NORMALISATIONS, or `timm`.
        backbone: `<architecture>` or `<architecture>.<tag>`.

    Raises:
        ConfigError: an unknown name, or `timm` and a backbone without a tag.
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
    """Refuse a name that timm does not know: `<architecture>`, or `<architecture>.<tag>` of its weights.

    Raises:
        ConfigError: naming the nearest.
    """
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

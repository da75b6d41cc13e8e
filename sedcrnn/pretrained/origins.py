"""What is known of published weights: who trained them on what, where people get them, under which licence."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sedcrnn.errors import WeightsError, nearest
from sedcrnn.networks.normalisation import find_normalisation


@dataclass(frozen=True)
class Origin:
    """Weights of one training, in whatever files they are passed on.

    Attributes:
        what: network, framework and data, in words.
        data: what they were trained on; ends the name of the converted file.
        where: web address.
        licence: of the weights.
        normalisation: the frames that they were trained on, as `networks.normalisation` names them.
        classes: number of outputs of the classifier, which tells files of another training.
        md5: published file -> its MD5, where it is known.
        name: timm's name of the weights, with their tag, where it has one.
    """

    what: str
    data: str
    where: str
    licence: str
    normalisation: str
    classes: int
    md5: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    @property
    def frames(self) -> str:
        """The frames that the weights were trained on, in words."""
        chosen = find_normalisation(self.normalisation, self.name)
        order = "BGR" if chosen.bgr else "RGB"
        scale = "" if set(chosen.std) == {1.0} else f", divided by {_rounded(chosen.std)}"
        return f"{order}, 0-255 less {_rounded(chosen.mean)}{scale}"


ORIGINS = {
    "places365_caffe": Origin(
        what="VGG16 by CSAIL: vgg16_places365.caffemodel, and copies of its numbers as they are (BGR)",
        data="places365",
        where="http://places2.csail.mit.edu/models_places365/vgg16_places365.caffemodel",
        licence="CC BY, attribution to the Places project (CSAIL, MIT)",
        normalisation="places365",
        classes=365,
    ),
    "places365_keras": Origin(
        what="the same network ported to Keras (GKalliatakis/Keras-VGG16-places365), which the paper uses (BGR)",
        data="places365",
        where="https://github.com/GKalliatakis/Keras-VGG16-places365/releases/tag/v0.1",
        licence="GPL-3.0, as the port states; the original is CC BY",
        normalisation="places365",
        classes=365,
        md5={
            "vgg16-places365_weights_tf_dim_ordering_tf_kernels.h5": "7944d606893ead4c74336c354045d248",
            "vgg16-places365_weights_tf_dim_ordering_tf_kernels_notop.h5": "d5f7340fd4cb346f59500788ee97b087",
        },
    ),
    "places365_torch": Origin(
        what="ResNet-18 and ResNet-50 by CSAIL in PyTorch (RGB, ImageNet's mean); set backbone=resnet18 or resnet50",
        data="places365",
        where="https://github.com/CSAILVision/places365 (resnet18_places365.pth.tar, resnet50_places365.pth.tar)",
        licence="CC BY, attribution to the Places project (CSAIL, MIT)",
        normalisation="imagenet",
        classes=365,
    ),
    "imagenet": Origin(
        what="torchvision's and timm's networks: `download vgg16.tv_in1k`, or a state_dict that is there already",
        data="imagenet",
        where="https://huggingface.co/timm/vgg16.tv_in1k",
        licence="BSD-3-Clause (torchvision's; others as their model cards say)",
        normalisation="imagenet",
        classes=1000,
    ),
}


def identify(md5: str, trained_on: str | None) -> str:
    """The name of a file's origin: by its MD5, or else as the user says, who must where the MD5 is not known.

    Layers have the same names whatever the data, the channel order and the mean, so the file cannot tell.

    Raises:
        WeightsError: not known and not said, said wrongly, or unknown to ORIGINS.
    """
    known = next((name for name, origin in ORIGINS.items() if md5 in origin.md5.values()), None)
    if trained_on is not None and trained_on not in ORIGINS:
        raise WeightsError(
            f"trained_on is '{trained_on}'",
            f"It is one of {', '.join(ORIGINS)}; the nearest is {nearest(trained_on, ORIGINS)}",
            "Correct the spelling; `python -m sedcrnn.weights list` says what each means",
        )
    if known is not None and trained_on not in (None, known):
        raise WeightsError(
            f"trained_on is '{trained_on}', but by its MD5 ({md5}) this is the published file of '{known}'",
            "Both agree, or trained_on is left out",
            f"Leave trained_on out, or set trained_on={known}",
        )
    if known is None and trained_on is None:
        raise WeightsError(
            f"The file's MD5, {md5}, is none of those that are known, so what it was trained on is not known either",
            f"trained_on is one of {', '.join(ORIGINS)}; channel order and mean of the frames follow from it",
            "Set trained_on=<name>; `python -m sedcrnn.weights list` says what each means",
        )
    return known or str(trained_on)


def _rounded(values: tuple[float, float, float]) -> str:
    return "(" + ", ".join(f"{value:.7g}" for value in values) + ")"

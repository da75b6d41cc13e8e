"""Arrays of a published file -> weights of one encoder, checked -> a safetensors file that says what it holds."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sedcrnn.config import digest
from sedcrnn.errors import WeightsError
from sedcrnn.networks.backbones import Normalisation, build_backbone, find_normalisation, timm
from sedcrnn.pretrained.formats import Arrays, file_format, read_arrays
from sedcrnn.pretrained.origins import ORIGINS, Origin
from sedcrnn.runs.checkpoints import weights_digest
from sedcrnn.runs.files import atomic

_CLASSES = (205, 365, 1000, 1365)  # outputs of Places205, Places365, ImageNet and the hybrid of both


@dataclass(frozen=True)
class EncoderWeights:
    """Weights of an encoder's backbone, and where they come from.

    They are its state at the size that it was trained at; with its own head, which the pooling `model` needs, where the
    source has that.
    """

    backbone: str  # timm architecture
    trained_on: str  # a name in `origins.ORIGINS`, or the tag of timm's weights
    normalisation: str  # of the frames that they were trained on, as `find_normalisation` names it
    licence: str
    source: str  # name of the file that they were converted from
    md5: str  # of that file
    weights: dict[str, Tensor]

    @property
    def digest(self) -> str:
        """Hash of the weights by name, the same for every file that holds them."""
        return weights_digest(self.weights)

    @property
    def frames(self) -> Normalisation:
        """The frames that they were trained on."""
        return find_normalisation(self.normalisation, f"{self.backbone}.{self.trained_on}")

    @property
    def settings(self) -> str:
        """What a visual network has to be set to for these weights, as on the command line."""
        tag = "" if self.trained_on in ORIGINS else f".{self.trained_on}"
        return f"model.network.backbone={self.backbone}{tag} model.network.normalisation={self.normalisation}"

    def are_of(self, backbone: str) -> bool:
        """Whether they are of this architecture, and of this training if a tag names one."""
        architecture, _, tag = backbone.partition(".")
        return self.backbone == architecture and tag in ("", self.trained_on)

    @property
    def description(self) -> dict[str, str]:
        """What they are, without the numbers: for the record of a run that starts from them."""
        return {name: getattr(self, name) for name in (*_DESCRIBED, "digest")}

    def save(self, path: Path) -> None:
        """Write a safetensors file, atomically, with all of this in its metadata."""
        chosen = self.frames
        metadata = self.description | {"mean": " ".join(map(str, chosen.mean)), "std": " ".join(map(str, chosen.std))}
        metadata["channel_order"] = "BGR" if chosen.bgr else "RGB"
        metadata[_SEAL] = _seal(metadata)
        with atomic(path) as temporary:
            save_file(self.weights, temporary, metadata)


_SEAL = "seal"  # key of a digest of all other metadata, the digest of the numbers among them
_DESCRIBED = ("backbone", "trained_on", "normalisation", "licence", "source", "md5")


def convert(path: Path, backbone: str, trained_on: str, origin: Origin, named_by_order: bool = False) -> EncoderWeights:
    """The weights of a timm architecture from a published file, as float32.

    With `named_by_order` the file holds the whole network under names of its own, in timm's order.

    Raises:
        ConfigError: an architecture that is no frame encoder.
        WeightsError: unreadable, of another network or another training, or with numbers that are not finite.
    """
    expected = _meta_state(backbone)
    names = file_format(path).names
    if names and names.keys() != expected.keys():
        raise WeightsError(
            f"backbone is '{backbone}', and {path} is {file_format(path).title}",
            "Caffe and Keras files are read for VGG16 alone",
            "Set backbone=vgg16, or give a torch state_dict",
        )
    arrays = read_arrays(path)
    if named_by_order:
        arrays = _timm_names(path, arrays, backbone)
    _check_classes(path, arrays, trained_on, origin.classes)
    _check_arrays(path, {name: array.shape for name, array in arrays.items()}, backbone, names)
    if (head := _head_state(backbone)).keys() <= arrays.keys():
        expected |= head
    weights = {}
    for name, like in expected.items():
        array = arrays.get(names.get(name, name), np.zeros(like.shape))  # files from before 2018 have no counters
        # copied into an array of our own: some are views of the file, or transposed
        weights[name] = torch.from_numpy(np.array(array, order="C")).to(like.dtype)
    _check_finite(path, weights)
    return EncoderWeights(backbone, trained_on, origin.normalisation, origin.licence, path.name, md5_of(path), weights)


def load_encoder_weights(path: Path) -> EncoderWeights:
    """What `EncoderWeights.save` wrote.

    Raises:
        WeightsError: missing, not written by it, or not what it says it is.
    """
    if not path.is_file():
        raise WeightsError(
            f"There is no file of weights at {path}",
            "`sedcrnn weights import <file>` writes one from a published file, which `list` names",
            "Import the weights, correct the path, or say init_from.encoder=published or random",
        )
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            described = {name: metadata[name] for name in _DESCRIBED}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a mapping
    except (SafetensorError, KeyError, OSError) as error:
        raise WeightsError(
            f"{path} does not say what it holds: {type(error).__name__}: {error}",
            "Training starts from files that `sedcrnn weights import <file>` wrote",
            "Import the file first, and name what that writes",
        ) from error
    _check_arrays(path, {name: value.shape for name, value in weights.items()}, described["backbone"], {})
    _check_finite(path, weights)
    found = EncoderWeights(**described, weights=weights)
    if (metadata.get("digest"), metadata.get(_SEAL)) != (found.digest, _seal(metadata)):
        raise WeightsError(
            f"{path} has changed since it was written, or was written by an earlier version: the digest of its numbers "
            f"is {found.digest} instead of {metadata.get('digest')}",
            "Its numbers are those of the published file that it was made from, and it says what they are",
            f"Import {found.source} again",
        )
    return found


def _seal(metadata: Mapping[str, str]) -> str:
    return digest({name: value for name, value in metadata.items() if name != _SEAL}, size=16)


def md5_of(path: Path) -> str:
    """MD5 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _meta_state(backbone: str, pooling: str = "max") -> dict[str, Tensor]:
    with torch.device("meta"):
        state: dict[str, Tensor] = build_backbone(backbone, pooling).state_dict()
    return state


def _head_state(backbone: str) -> dict[str, Tensor]:
    """The layers between the last map and the classifier, as far as a pooling uses them."""
    if backbone.startswith("vgg"):
        return {}
    state, maps = _meta_state(backbone, "model"), _meta_state(backbone)
    return {name: like for name, like in state.items() if name not in maps}


def _check_arrays(path: Path, shapes: Mapping[str, tuple[int, ...]], backbone: str, names: Mapping[str, str]) -> None:
    """Refuse a file that lacks an array of the backbone, has one more, or one of another shape."""
    expected = {names.get(name, name): tuple(like.shape) for name, like in _meta_state(backbone).items()}
    head = {name: tuple(like.shape) for name, like in _head_state(backbone).items()}
    missing = [name for name in expected if name not in shapes and not name.endswith("num_batches_tracked")]
    # What belongs to the classifier may be there; what belongs among the convolutions may not.
    parts = {name.split(".")[0] for name in expected}
    extra = [
        name
        for name in shapes
        if name not in expected and (name.split(".")[0] in parts or re.match(r"(conv|block)\d+_", name))
    ]
    wrong = [
        f"{name} is {tuple(shapes[name])} instead of {shape}"
        for name, shape in (expected | head).items()
        if name in shapes and tuple(shapes[name]) != shape
    ]
    faults = [
        f"{words} {_some(listed)}"
        for words, listed in (("lacks", missing), ("has, beside them,", extra), ("has other shapes:", wrong))
        if listed
    ]
    if faults:
        raise WeightsError(
            f"{path} is not of the network '{backbone}': it {'; it '.join(faults)}",
            f"The {len(expected)} arrays of its convolutional part are all there, and no others of that part",
            "Name the file of this network, or set backbone=<the network of the file>",
        )


def _timm_names(path: Path, arrays: Arrays, backbone: str) -> Arrays:
    """The same arrays under timm's names, which differ from the file's in all but their order and last word."""
    with torch.device("meta"):
        whole: dict[str, Tensor] = timm.create_model(backbone).state_dict()
    expected = [(name.rpartition(".")[2], tuple(like.shape)) for name, like in whole.items()]
    found = [(name.rpartition(".")[2], array.shape) for name, array in arrays.items()]
    if found != expected:
        raise WeightsError(
            f"{path} has {len(found)} arrays, whose order or shapes are not those of '{backbone}' in timm "
            f"{timm.__version__}",
            f"It has {len(expected)}, in this order and of these shapes",
            "Name the file of this network, or use the version of timm in requirements.lock",
        )
    return dict(zip(whole, arrays.values(), strict=True))


def _check_classes(path: Path, arrays: Arrays, trained_on: str, classes: int) -> None:
    """Refuse a file whose classifier has as many outputs as another training's."""
    outputs = {len(array) for name, array in arrays.items() if name.endswith("bias") and array.ndim == 1}
    found = outputs.intersection(_CLASSES)
    if found and classes in _CLASSES and classes not in found:
        raise WeightsError(
            f"{path} has a classifier of {' and '.join(map(str, sorted(found)))} outputs",
            f"Weights of '{trained_on}' have {classes}",
            "Correct trained_on, or name another file; `sedcrnn weights list` shows what is known",
        )


def _check_finite(path: Path, weights: Mapping[str, Tensor]) -> None:
    broken = [name for name, value in weights.items() if not value.isfinite().all()]
    if broken:
        raise WeightsError(
            f"{path} has NaN or infinite numbers in {_some(broken)}",
            "All weights are finite",
            "Get the file again from where it is published",
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

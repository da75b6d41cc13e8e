"""A file of weights -> arrays by name: Caffe .caffemodel, Keras .h5, torch state_dict, safetensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from safetensors.torch import load_file

from sedcrnn.errors import WeightsError
from sedcrnn.pretrained.protobuf import fields, varints

Arrays = dict[str, np.ndarray]

# Numbers of fields in BVLC's caffe.proto: of NetParameter, LayerParameter, BlobProto and BlobShape.
_OLD_LAYER, _LAYER = 2, 100
_NAME, _BLOB = 1, 7
_DATA, _SHAPE = 5, 7
_DIM = 1
_MOST_COMPRESSED = 100  # times its size in a file; weights hardly get smaller
_OLD = "it is in the form of before 2015; load it with a newer Caffe and save it"


@dataclass(frozen=True)
class Format:
    """How a kind of file is read."""

    title: str
    read: Callable[[Path], Arrays]  # kernels are (out, in, height, width)
    names: Mapping[str, str] = field(default_factory=dict)  # timm's of VGG16 -> the file's; empty: any network, timm's


def _read_caffe(path: Path) -> Arrays:
    """`<layer>.weight` and `<layer>.bias` of every layer, as views of the file."""
    arrays: Arrays = {}
    for number, layer in fields(np.memmap(path, mode="r").data):
        if number == _OLD_LAYER:
            raise ValueError(_OLD)
        if number == _LAYER:
            parts = list(fields(layer))
            name = next((bytes(value).decode() for key, value in parts if key == _NAME), "")
            blobs = [dict(fields(value)) for key, value in parts if key == _BLOB]
            for kind, blob in zip(("weight", "bias"), blobs, strict=False):
                if _SHAPE not in blob:
                    raise ValueError(_OLD)
                shape = [size for key, sizes in fields(blob[_SHAPE]) if key == _DIM for size in varints(sizes)]
                arrays[f"{name}.{kind}"] = np.frombuffer(blob[_DATA], "<f4").reshape(shape)
    return arrays


def _read_keras(path: Path) -> Arrays:
    """`<layer>.weight` and `<layer>.bias` of the convolutions, and the biases of dense layers, from a Keras HDF5 file
    of weights or of a whole model: datasets `/<layer>/<layer>/kernel:0` and `bias:0`."""
    arrays: Arrays = {}

    size = path.stat().st_size

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        *_, layer, leaf = f"/{name}".split("/")
        if leaf in ("kernel:0", "bias:0") and isinstance(item, h5py.Dataset):
            _check_stored(item, size)
        if leaf == "kernel:0" and item.ndim == 4:
            arrays[f"{layer}.weight"] = np.asarray(item).transpose(3, 2, 0, 1)  # from height, width, in, out
        elif leaf == "bias:0":
            arrays[f"{layer}.bias"] = np.asarray(item)

    with h5py.File(path, "r") as file:
        whole = isinstance(file.get("model_weights", getlink=True), h5py.HardLink)
        # A whole model has an optimiser's state beside them. Links, which may lead to other files, are not visited.
        (file["model_weights"] if whole else file).visititems(visit)
    return arrays


def _check_stored(item: h5py.Dataset, size: int) -> None:
    """Refuse arrays that lie in other files, and those that a file of so many bytes cannot hold."""
    if item.external or item.is_virtual or item.dtype.kind != "f":
        raise ValueError(f"{item.name} is no array of numbers in this file")
    if item.nbytes > _MOST_COMPRESSED * size:
        raise ValueError(f"{item.name} claims {item.nbytes:.3g} bytes in a file of {size:.3g}")


def _read_torch(path: Path) -> Arrays:
    """A state_dict, or a checkpoint that holds one as `state_dict`; nothing stored in the file is executed."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    return _arrays(content.get("state_dict", content.get(b"state_dict", content)))


def _arrays(state: Mapping[Any, object]) -> Arrays:
    # Python 2, which wrote CSAIL's files, leaves names that are bytes.
    texts = {name.decode() if isinstance(name, bytes) else name: value for name, value in state.items()}
    tensors = {name: value for name, value in texts.items() if isinstance(value, torch.Tensor)}
    for name, value in tensors.items():
        if value.untyped_storage().nbytes() < value.nbytes:
            raise ValueError(
                f"{name} claims {value.nbytes:.3g} bytes, of which {value.untyped_storage().nbytes()} are there"
            )
    return {
        name.removeprefix("module."): (value.float() if value.is_floating_point() else value).numpy()
        for name, value in tensors.items()
    }


def _vgg16_names(pattern: str) -> dict[str, str]:
    """timm's (and torchvision's) names -> those by block, and number within it."""
    layers = [(block, number) for block, count in enumerate((2, 2, 3, 3, 3), 1) for number in range(1, count + 1)]
    indices = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    return {
        f"features.{index}.{kind}": f"{pattern.format(*layer)}.{kind}"
        for index, layer in zip(indices, layers, strict=True)
        for kind in ("weight", "bias")
    }


_TORCH = Format("a torch state_dict", _read_torch)
_KERAS = Format("Keras weights in HDF5", _read_keras, _vgg16_names("block{}_conv{}"))
FORMATS = {
    ".caffemodel": Format("a Caffe .caffemodel", _read_caffe, _vgg16_names("conv{}_{}")),
    ".h5": _KERAS,
    ".hdf5": _KERAS,
    ".pth": _TORCH,
    ".pt": _TORCH,
    ".tar": _TORCH,  # .pth.tar, which is no archive
    ".safetensors": Format("a safetensors file", lambda path: _arrays(load_file(path))),
}


def file_format(path: Path) -> Format:
    """The format of a file, by its ending.

    Raises:
        WeightsError: no such file, or another ending.
    """
    if not path.is_file():
        raise WeightsError(
            f"There is no file {path}",
            "Weights are imported from a file on this machine",
            "Check the path; `sedcrnn weights list` says where to get one",
        )
    if path.suffix.lower() not in FORMATS:
        raise WeightsError(
            f"{path} ends in '{path.suffix}'",
            f"Files of weights end in {', '.join(FORMATS)}",
            "Name another file, or rename this one by what it is",
        )
    return FORMATS[path.suffix.lower()]


def read_arrays(path: Path) -> Arrays:
    """All arrays of a file that weights may lie in.

    Raises:
        WeightsError: not of the format that its ending says, or cut off.
    """
    kind = file_format(path)
    try:
        return kind.read(path)
    except Exception as error:  # five libraries have each their own, and a file that claims too much leads to any
        raise WeightsError(
            f"{path} cannot be read as {kind.title}: {(str(error).splitlines() or [type(error).__name__])[0]}",
            "The file is whole and holds what its ending says (a state_dict, not a pickled model)",
            "Get it again; `sedcrnn weights list` says where",
        ) from error

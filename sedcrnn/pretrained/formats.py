"""A file of weights -> arrays by name: Caffe .caffemodel, Keras .h5, torch state_dict, safetensors."""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from sedcrnn.errors import WeightsError
from sedcrnn.pretrained.caffe import read_caffe

Arrays = dict[str, np.ndarray]

# VGG16's convolutions, as (block, place within it), and what torchvision and timm call them.
_VGG16 = dict(
    zip(
        [(block, place) for block, places in enumerate((2, 2, 3, 3, 3), start=1) for place in range(1, places + 1)],
        [f"features.{index}" for index in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)],
        strict=True,
    )
)


def _vgg16_names(pattern: str) -> dict[str, str]:
    return {
        f"{timm_name}.{kind}": f"{pattern.format(*place)}.{kind}"
        for place, timm_name in _VGG16.items()
        for kind in ("weight", "bias")
    }


@dataclass(frozen=True)
class Format:
    """How a kind of file is read.

    Attributes:
        title: for messages.
        read: path -> arrays by name, kernels as (out, in, height, width).
        names: timm's name of each of VGG16's arrays -> its name in such a file; empty: all networks, timm's names.
    """

    title: str
    read: Callable[[Path], Arrays]
    names: Mapping[str, str] = field(default_factory=dict)


def read_keras(path: Path) -> Arrays:
    """`<layer>.weight` and `<layer>.bias` of the convolutions, and the biases of dense layers, from a Keras HDF5 file
    of weights or of a whole model: datasets `/<layer>/<layer>/kernel:0` and `bias:0`."""
    arrays: Arrays = {}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        layer, _, leaf = name.rpartition("/")
        layer = layer.rpartition("/")[2]
        if leaf == "kernel:0" and item.ndim == 4:
            arrays[f"{layer}.weight"] = np.asarray(item).transpose(3, 2, 0, 1)  # from height, width, in, out
        elif leaf == "bias:0":
            arrays[f"{layer}.bias"] = np.asarray(item)

    with h5py.File(path, "r") as file:
        file.get("model_weights", file).visititems(visit)  # a whole model has an optimiser's state beside them
    return arrays


def read_torch(path: Path) -> Arrays:
    """A state_dict, or a checkpoint that holds one as `state_dict`; nothing stored in the file is executed."""
    content = _with_text_names(torch.load(path, map_location="cpu", weights_only=True))
    return _arrays(_with_text_names(content.get("state_dict", content)))


def read_safetensors(path: Path) -> Arrays:
    """Every tensor of a safetensors file."""
    return _arrays(load_file(path))


def _with_text_names(state: Mapping[str | bytes, Any]) -> dict[str, Any]:
    """Python 2, which wrote CSAIL's files, leaves names that are bytes."""
    return {name.decode() if isinstance(name, bytes) else name: value for name, value in state.items()}


def _arrays(state: Mapping[str, object]) -> Arrays:
    return {
        name.removeprefix("module."): (value.float() if value.is_floating_point() else value).numpy()
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }


_TORCH = Format("a torch state_dict", read_torch)
_KERAS = Format("Keras weights in HDF5", read_keras, _vgg16_names("block{}_conv{}"))
FORMATS = {
    ".caffemodel": Format("a Caffe .caffemodel", read_caffe, _vgg16_names("conv{}_{}")),
    ".h5": _KERAS,
    ".hdf5": _KERAS,
    ".pth": _TORCH,
    ".pt": _TORCH,
    ".tar": _TORCH,  # .pth.tar, which is no archive
    ".safetensors": Format("a safetensors file", read_safetensors),
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
            "Check the path; `python -m sedcrnn.weights list` says where to get one",
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
    unreadable = (ValueError, OSError, RuntimeError, EOFError, AttributeError, KeyError)
    try:
        return kind.read(path)
    except (*unreadable, pickle.UnpicklingError, SafetensorError) as error:
        raise WeightsError(
            f"{path} cannot be read as {kind.title}: {(str(error).splitlines() or [type(error).__name__])[0]}",
            "The file is whole and holds what its ending says (a state_dict, not a pickled model)",
            "Get it again; `python -m sedcrnn.weights list` says where",
        ) from error

"""VGG16 with known numbers, as files of every kind that people have."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions of each
PLACES = [(block, place) for block, (_, count) in enumerate(BLOCKS, 1) for place in range(1, count + 1)]
TIMM = dict(zip(PLACES, (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), strict=True))


@pytest.fixture(scope="session")
def vgg16():
    """(block, place) -> kernel (out, in, height, width) and bias; the maps keep the scale of the picture."""
    rng = np.random.default_rng(5)
    layers, channels = {}, 3
    for block, place in PLACES:
        out = BLOCKS[block - 1][0]
        kernel = rng.standard_normal((out, channels, 3, 3), dtype=np.float32) * np.float32((2 / (9 * channels)) ** 0.5)
        layers[block, place] = kernel, rng.standard_normal(out, dtype=np.float32)
        channels = out
    return layers


@pytest.fixture(scope="session")
def timm_state(vgg16):
    """What every conversion of it has to give, to the bit."""
    state = {}
    for place, (kernel, bias) in vgg16.items():
        state[f"features.{TIMM[place]}.weight"] = torch.from_numpy(kernel)
        state[f"features.{TIMM[place]}.bias"] = torch.from_numpy(bias)
    return state


def varint(number):
    data = b""
    while number > 0x7F:
        data += bytes([number & 0x7F | 0x80])
        number >>= 7
    return data + bytes([number])


def field(number, value):
    """One field of a protobuf message: a whole number or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def blob(array):
    shape = b"".join(map(varint, array.shape))
    return field(7, field(1, shape)) + field(5, array.astype("<f4").tobytes())


def _write_caffe(path: Path, layers):
    """`layers`: name -> arrays. Between the fields that matter stand others, of every wire type."""
    data = field(1, b"VGG16") + field(5, 1) + varint(9 << 3 | 5) + b"\0" * 4 + varint(10 << 3 | 1) + b"\0" * 8
    for name, arrays in layers.items():
        blobs = b"".join(field(7, blob(array)) for array in arrays)
        data += field(100, field(1, name.encode()) + field(2, b"Convolution") + blobs)
        data += field(100, field(1, b"relu") + field(2, b"ReLU"))
    path.write_bytes(data)
    return path


def _write_keras(path: Path, layers, below=""):
    """`layers`: name -> (kernel in Keras' order, bias)."""
    with h5py.File(path, "w") as file:
        for name, (kernel, bias) in layers.items():
            file[f"{below}{name}/{name}/kernel:0"] = kernel
            file[f"{below}{name}/{name}/bias:0"] = bias
        if below:
            file["optimizer_weights/block1_conv1/kernel:0"] = np.zeros((3, 3, 3, 64), np.float32)
    return path


def _caffe_layers(vgg16, classes=None):
    layers = {f"conv{block}_{place}": arrays for (block, place), arrays in vgg16.items()}
    return layers | ({"fc8a": (np.ones((classes, 4)), np.ones(classes))} if classes else {})


def _keras_layers(vgg16, classes=None):
    layers = {f"block{b}_conv{p}": (kernel.transpose(2, 3, 1, 0), bias) for (b, p), (kernel, bias) in vgg16.items()}
    return layers | ({"predictions": (np.ones((4, classes)), np.ones(classes))} if classes else {})


@pytest.fixture
def write_caffe():
    return _write_caffe


@pytest.fixture
def write_keras():
    return _write_keras


@pytest.fixture
def caffe_layers():
    return _caffe_layers


@pytest.fixture
def keras_layers():
    return _keras_layers


@pytest.fixture(scope="session")
def files(vgg16, timm_state, tmp_path_factory):
    """The same network in every kind of file."""
    folder = tmp_path_factory.mktemp("published")
    head = {"classifier.6.weight": torch.ones(365, 4), "classifier.6.bias": torch.ones(365)}
    paths = {
        "caffe": _write_caffe(folder / "vgg16.caffemodel", _caffe_layers(vgg16, 365)),
        "keras": _write_keras(folder / "vgg16.h5", _keras_layers(vgg16, 365)),
        "keras notop": _write_keras(folder / "vgg16_notop.h5", _keras_layers(vgg16)),
        "keras model": _write_keras(folder / "model.hdf5", _keras_layers(vgg16), below="model_weights/"),
        "torch": folder / "vgg16.pth",
        "torch checkpoint": folder / "vgg16.pth.tar",
        "safetensors": folder / "vgg16.safetensors",
        "imagenet": folder / "model.safetensors",
    }
    torch.save(timm_state | head, paths["torch"])
    wrapped = {"epoch": 7, "state_dict": {f"module.{name}": value for name, value in timm_state.items()}}
    torch.save(wrapped, paths["torch checkpoint"], _use_new_zipfile_serialization=False)
    save_file(timm_state | head, paths["safetensors"])
    # timm's own file of VGG16 has the classifier under other names
    save_file(timm_state | {"head.fc.weight": torch.ones(1000, 4), "head.fc.bias": torch.ones(1000)}, paths["imagenet"])
    return paths

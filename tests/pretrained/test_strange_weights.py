"""Files of weights that claim more than they hold, that point to other files, or that were damaged after the import."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from sedcrnn.errors import SedcrnnError, WeightsError
from sedcrnn.networks.backbones import build_backbone
from sedcrnn.pretrained.encoder_weights import EncoderWeights, load_encoder_weights
from sedcrnn.pretrained.formats import read_arrays

TERABYTES = (10**5, 10**5, 10**3, 4)


def test_keras_files_that_claim_terabytes_are_refused(tmp_path: Path) -> None:
    for name, options in {"bare": {}, "chunked": {"chunks": (1, 1, 100, 4), "compression": "gzip"}}.items():
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("block1_conv1/block1_conv1/kernel:0", TERABYTES, "f4", **options)
        with pytest.raises(WeightsError, match=rf"{name}\.h5 cannot be read as Keras weights.*claims 1.6e\+14 bytes"):
            read_arrays(path)


def test_keras_files_are_read_without_those_that_they_point_to(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(36, dtype="<f4").tobytes())
    name = "block1_conv1/block1_conv1/kernel:0"
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file.create_dataset(name, (1, 1, 6, 6), "<f4", external=[(str(secret), 0, 144)])
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        file.create_dataset(name, data=np.ones((1, 1, 6, 6), "f4"))
        file.create_dataset("block1_conv1/block1_conv1/bias:0", data=np.ones(6, "f4"))
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((1, 1, 6, 6), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "whole.h5"), name, (1, 1, 6, 6))
        file.create_virtual_dataset(name, layout)
    with h5py.File(tmp_path / "texts.h5", "w") as file:
        file.create_dataset(name, data=np.full((1, 1, 2, 2), b"x"))
    for kind in ("outside", "virtual", "texts"):
        with pytest.raises(WeightsError, match="no array of numbers in this file"):
            read_arrays(tmp_path / f"{kind}.h5")
    with h5py.File(tmp_path / "linked.h5", "w") as file:
        file["model_weights"] = h5py.ExternalLink(str(tmp_path / "whole.h5"), "/")
        file["block1_conv1"] = h5py.ExternalLink(str(tmp_path / "whole.h5"), "/block1_conv1")
    assert read_arrays(tmp_path / "linked.h5") == {}
    assert set(read_arrays(tmp_path / "whole.h5")) == {"block1_conv1.weight", "block1_conv1.bias"}


def test_torch_files_hold_every_number_that_they_claim(tmp_path: Path) -> None:
    strange = {
        "expanded": {"a": torch.zeros(1, dtype=torch.float16).expand(10**13)},
        "sparse": {"a": torch.zeros(3, 3).to_sparse()},
        "meta": {"a": torch.zeros(3, device="meta")},
        "list": [1, 2],
    }
    for name, content in strange.items():
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(WeightsError, match=rf"{name}\.pth cannot be read as a torch state_dict"):
            read_arrays(tmp_path / f"{name}.pth")


def test_safetensors_and_caffe_files_that_claim_terabytes_are_refused(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4000000000000]}}'
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    (tmp_path / "b.safetensors").write_bytes((1 << 60).to_bytes(8, "little") + header)
    (tmp_path / "a.caffemodel").write_bytes(bytes([100 << 3 & 0x7F | 0x80 | 2, 6]) + b"\xff" * 9 + b"\x01")
    for name in ("a.safetensors", "b.safetensors", "a.caffemodel"):
        with pytest.raises(WeightsError, match=f"{name} cannot be read"):
            read_arrays(tmp_path / name)


def test_every_flipped_bit_of_imported_weights_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    state = build_backbone("test_resnet").state_dict()
    about = ("test_resnet", "r160_in1k", "imagenet", "apache-2.0", "a.pth", "0" * 32)
    EncoderWeights(*about, weights=state).save(path)
    assert load_encoder_weights(path).licence == "apache-2.0"
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [*rng.integers(header, size=60), *rng.integers(header, len(whole), size=20)]
    for place in [*places, whole.index(b"apache"), whole.index(b'"seal"') + 2, whole.index(b'"digest"') + 2]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(SedcrnnError):
            load_encoder_weights(path)
    path.write_bytes(whole[:header] + bytes(4096) + whole[header + 4096 :])
    with pytest.raises(WeightsError, match="has changed since it was written"):
        load_encoder_weights(path)

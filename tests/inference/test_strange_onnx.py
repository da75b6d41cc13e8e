"""ONNX files of strangers: no other file is read, and what they say and answer is checked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import sedcrnn
from sedcrnn.errors import CheckpointError, SedcrnnError
from sedcrnn.inference.onnx_files import seal_onnx

SCENES = ["bus", "park"]
BANK = {"_target_": "sedcrnn.features.filterbanks.gammatone_recursive.RecursiveGammatone", "bands": 4}
METADATA: dict[str, Any] = {
    "scenes": SCENES,
    "heads": {"audio": ["spectrogram"]},
    "inputs": {"spectrogram": {"shape": ["batch", 3, 4, 50], "type": "float32", "unit": "dB"}},
    "features": {"spectrogram": {"_target_": "sedcrnn.features.spectrogram.Spectrogram", "bank": BANK}},
    "temperatures": {"audio": 1.5},
    "no_temperatures": "",
}


def network(weights: TensorProto | None = None, domain: str = "") -> onnx.ModelProto:
    """Softmax of a matrix times the spectrogram."""
    weights = weights or numpy_helper.from_array(np.full((600, 2), 0.01, np.float32), "w")
    nodes = [
        helper.make_node("Flatten", ["spectrogram"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"], domain=domain),
        helper.make_node("Softmax", ["logits"], ["audio"]),
    ]
    given = helper.make_tensor_value_info("spectrogram", TensorProto.FLOAT, ["batch", 3, 4, 50])
    made = helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["batch", 2])
    graph = helper.make_graph(nodes, "network", [given], [made], [weights])
    opsets = [helper.make_opsetid("", 18)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def save(path: Path, model: onnx.ModelProto, metadata: dict[str, Any]) -> Path:
    helper.set_model_props(model, {name: json.dumps(value) for name, value in metadata.items()})
    path.write_bytes(model.SerializeToString())
    seal_onnx(path)
    return path


def elsewhere(location: str) -> TensorProto:
    """Weights that lie in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[600, 2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def test_a_whole_file_answers(write_media: Callable[..., Path], tmp_path: Path) -> None:
    predictor = sedcrnn.load(save(tmp_path / "a.onnx", network(), METADATA))
    found = predictor.predict(write_media(tmp_path / "a.mp4", video=0, audio=2))
    np.testing.assert_allclose(found.probabilities["audio"], 0.5)
    assert (found.scenes, found.temperatures) == (("bus", "park"), {"audio": 1.5})


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/hostname", "/dev/zero"])
def test_numbers_in_other_files_are_not_read(location: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for folder in (tmp_path, tmp_path / "in"):
        (folder / "weights.bin").write_bytes(np.zeros((600, 2), np.float32).tobytes())
    model = network(elsewhere(location))
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=elsewhere(location))], "g", [], [])
    hidden = network()
    hidden.graph.node.append(helper.make_node("If", ["spectrogram"], ["x"], then_branch=inner, else_branch=inner))
    function = network()
    function.functions.append(
        helper.make_function("own", "F", [], ["c"], list(inner.node), [helper.make_opsetid("", 18)])
    )
    for one in (model, hidden, function):
        with pytest.raises(CheckpointError, match="numbers that lie in other files"):
            sedcrnn.load(save(tmp_path / "in" / "a.onnx", one, METADATA))


def test_operators_of_others_are_not_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a\.onnx cannot be read"):
        sedcrnn.load(save(tmp_path / "a.onnx", network(domain="stranger"), METADATA))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scenes", None),
        ("scenes", [1, 2]),
        ("scenes", []),
        ("heads", ["audio"]),
        ("heads", {}),
        ("heads", {"audio": ["frames"]}),
        ("inputs", {"spectrogram": {"shape": ["batch", 10**6, 10**6], "type": "float32", "unit": ""}}),
        ("inputs", {"spectrogram": {"shape": ["batch", "x"], "type": "float32", "unit": ""}}),
        ("inputs", {"spectrogram": {"shape": ["batch", 3], "type": "object", "unit": ""}}),
        ("features", {"spectrogram": {"_target_": "os.system", "command": "touch pwned"}}),
        ("features", {"spectrogram": {"_target_": "sedcrnn.runs.files.write_text", "path": "pwned", "text": ""}}),
        ("features", {"spectrogram": {**METADATA["features"]["spectrogram"], "sample_rate": 10**12}}),
        ("features", {"spectrogram": {**METADATA["features"]["spectrogram"], "bank": {"_target_": "stranger.Bank"}}}),
        ("features", {}),
        ("temperatures", {"audio": 0}),
        ("temperatures", {"audio": float("nan")}),
        ("temperatures", [1]),
        ("no_temperatures", {"a": 1}),
        ("multi_label", 1),
        ("thresholds", {"audio": [0.5, 1.5]}),
    ],
)
def test_what_it_says_of_itself_is_checked(
    key: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.onnx", network(), {**METADATA, key: value})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SedcrnnError, match=r"a\.onnx|^The file names the class"):
        sedcrnn.load(path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.onnx"]


def test_metadata_without_an_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    for text in ("[" * 100_000, "{", "1" * 5000):
        model = network()
        helper.set_model_props(model, {name: json.dumps(one) for name, one in METADATA.items()} | {"scenes": text})
        path.write_bytes(model.SerializeToString())
        seal_onnx(path)
        with pytest.raises(CheckpointError, match=r"a\.onnx cannot be read"):
            sedcrnn.load(path)


def test_answers_for_other_numbers_of_scenes_are_none(write_media: Callable[..., Path], tmp_path: Path) -> None:
    path = save(tmp_path / "a.onnx", network(), {**METADATA, "scenes": ["bus", "park", "tram"]})
    with pytest.raises(CheckpointError, match=r"its answers have the shape \(2, 2\) for 3 scenes"):
        sedcrnn.load(path).predict(write_media(tmp_path / "a.mp4", video=0, audio=2))


def test_inputs_that_do_not_fit_are_an_error_in_words(write_media: Callable[..., Path], tmp_path: Path) -> None:
    other = {**METADATA["features"]["spectrogram"], "bank": {**BANK, "bands": 5}}
    path = save(tmp_path / "a.onnx", network(), {**METADATA, "features": {"spectrogram": other}})
    with pytest.raises(CheckpointError, match=r"The network of .*a\.onnx cannot be run"):
        sedcrnn.load(path).predict(write_media(tmp_path / "a.mp4", video=0, audio=2))


def test_every_flipped_bit_and_block_of_zeros_is_noticed(tmp_path: Path) -> None:
    path = save(tmp_path / "a.onnx", network(), METADATA)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for place in rng.integers(len(whole), size=100):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged"):
            sedcrnn.load(path)
    path.write_bytes(whole[:100] + bytes(1000) + whole[1100:])
    with pytest.raises(CheckpointError, match="damaged"):
        sedcrnn.load(path)
    for cut in (b"", whole[:30], whole[:-1]):
        path.write_bytes(cut)
        with pytest.raises(CheckpointError, match=r"a\.onnx cannot be read"):
            sedcrnn.load(path)

"""ONNX files answer as torch does, alone, and say what they are."""

import importlib
import json
import re
import shutil
import sys

import numpy as np
import onnx
import pytest
import torch

import sedcrnn
from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.errors import CheckpointError, ConfigError, MissingExtraError, SedcrnnError
from sedcrnn.export import main
from sedcrnn.inference.onnx_export import export, write_onnx
from sedcrnn.inference.onnx_files import seal_onnx
from sedcrnn.inference.scene_models import OnnxModel
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.visual import VisualNetwork

HEADS = ["audio", "visual", "early", "late"]


@pytest.mark.slow
def test_files_are_predicted_as_with_torch_from_the_onnx_file_alone(exported, make_checkpoint, write_media, tmp_path):
    alone = shutil.copy(exported, tmp_path / "alone.onnx")
    written, original = sedcrnn.load(alone), sedcrnn.load(make_checkpoint("fusion"))
    assert (written.scenes, written.heads) == (original.scenes, original.heads)
    for name, tracks, heads in (("both", (3, 3), HEADS), ("audio", (0, 2), ["audio"]), ("video", (2, 0), ["visual"])):
        path = write_media(tmp_path / f"{name}.mp4", *tracks)
        found, expected = written.predict(path, batch_size=2), original.predict(path)
        assert list(found.probabilities) == list(expected.probabilities) == heads
        assert (found.head, found.tracks) == (expected.head, expected.tracks)
        for head in heads:
            np.testing.assert_allclose(found.probabilities[head], expected.probabilities[head], rtol=0, atol=1e-4)
    assert np.ptp(found.probabilities["visual"], axis=1).max() > 0.1


@pytest.mark.slow
def test_the_file_says_what_it_is(exported, make_checkpoint):
    model = onnx.load(exported)
    onnx.checker.check_model(model)
    described = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert str(described["seal"]) == exported.read_bytes()[-64:].decode()
    assert described["sedcrnn"] == sedcrnn.__version__
    assert described["kind"] == "fusion"
    assert described["opset"] == model.opset_import[0].version
    assert tuple(described["scenes"]) == TAU_SCENES
    assert described["inputs"]["spectrogram"]["shape"] == ["batch", 3, 64, 50]
    assert described["inputs"]["frames"]["shape"] == ["batch", 5, 3, 64, 64]
    assert described["inputs"]["frames"]["type"] == "uint8"
    assert "0-255" in described["inputs"]["frames"]["unit"]
    assert described["heads"] == {
        "audio": ["spectrogram"],
        "visual": ["frames"],
        "early": ["spectrogram", "frames"],
        "late": ["spectrogram", "frames"],
    }
    assert described["features"]["frames"]["height"] == 64
    for values, names in ((model.graph.input, ["spectrogram", "frames"]), (model.graph.output, HEADS)):
        assert [value.name for value in values] == names
        assert {value.type.tensor_type.shape.dim[0].dim_param for value in values} == {"batch"}


def test_the_command_exports_a_part_alone(make_checkpoint, write_media, tmp_path, monkeypatch, capsys):
    output = tmp_path / "audio.onnx"
    words = ["sedcrnn.export", f"run={make_checkpoint('fusion')}", f"output={output}", "part=audio"]
    monkeypatch.setattr(sys, "argv", words)
    main()
    out = capsys.readouterr().out
    assert re.fullmatch(rf"Largest difference to torch in a probability: audio \d\.\de-\d\d\n{output}\nNext: .*\n", out)
    path = write_media(tmp_path / "a.mp4", 2, 2)
    found = sedcrnn.load(tmp_path / "audio.onnx").predict(path)
    expected = sedcrnn.load(make_checkpoint("fusion")).predict(path, head="audio")
    assert (found.head, found.tracks) == ("audio", {"audio": 2})
    np.testing.assert_allclose(found.probabilities["audio"], expected.probabilities["audio"], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_an_audio_encoder_predicts_from_its_checkpoint_and_from_onnx_alike(make_checkpoint, write_media, tmp_path):
    run, output = make_checkpoint("audio_encoder"), tmp_path / "encoder.onnx"
    assert max(export(str(run), str(output)).values()) < 1e-5
    path = write_media(tmp_path / "a.mp4", 0, 3)
    found, expected = sedcrnn.load(output).predict(path), sedcrnn.load(run).predict(path)
    assert (found.head, found.tracks) == (expected.head, expected.tracks) == ("audio", {"audio": 3})
    np.testing.assert_allclose(found.probabilities["audio"], expected.probabilities["audio"], rtol=0, atol=1e-4)
    assert np.ptp(found.probabilities["audio"], axis=1).max() > 0.01


def test_a_file_that_answers_otherwise_is_not_written(make_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("sedcrnn.inference.onnx_export.write_onnx", lambda *_, **__: None)
    monkeypatch.setattr("sedcrnn.inference.onnx_export.OnnxModel", Wrong)
    with pytest.raises(SedcrnnError, match=r"ONNX Runtime and torch differ by .* in a probability"):
        export(str(make_checkpoint("audio")), str(tmp_path / "a.onnx"))
    assert list(tmp_path.iterdir()) == []


class Wrong:
    def __init__(self, path):
        path.touch()

    def probabilities(self, inputs):
        return {"audio": np.full((len(inputs["spectrogram"]), len(TAU_SCENES)), 0.1)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "fusion",
    [
        {"early": "gated", "late": "none"},
        {"early": "cross_attention", "late": "average"},
        {"early": "gru", "late": "learned", "late_inputs": "log_probabilities", "late_start": "average"},
    ],
)
def test_every_kind_of_fusion_answers_as_torch_does(fusion, tmp_path):
    torch.manual_seed(0)
    audio = AudioNetwork(scenes=4, filters=(4, 6), frame_pooling=(2, 2))
    network = FusionNetwork(audio, VisualNetwork(scenes=4, backbone="test_resnet", hidden=3), 6, **fusion).eval()
    for batch in (2, 3):
        inputs = {"spectrogram": torch.randn(batch, 3, 8, 50), "frames": torch.randint(256, (batch, 5, 3, 32, 32))}
        inputs["frames"] = inputs["frames"].to(torch.uint8)
        if batch == 2:
            features = {name: {"_target_": "own.Feature"} for name in inputs}
            write_onnx(network, inputs, tmp_path / "a.onnx", ("a", "b", "c", "d"), features)
        found = OnnxModel(tmp_path / "a.onnx").probabilities({name: value.numpy() for name, value in inputs.items()})
        with torch.no_grad():
            heads = network.heads(**inputs)
        assert tuple(found) == network.head_names
        for head, logits in heads.items():
            np.testing.assert_allclose(found[head], logits.softmax(-1).numpy(), rtol=0, atol=1e-5)


def test_misuse_is_refused(make_checkpoint, tmp_path):
    audio = str(make_checkpoint("audio"))
    with pytest.raises(ConfigError, match=r"output=a\.pt"):
        export(audio, "a.pt")
    with pytest.raises(ConfigError, match=r"part=visual\. The network is of the kind 'audio' and has no parts"):
        export(audio, "a.onnx", part="visual")
    with pytest.raises(CheckpointError, match=r"There is no file .*gone\.onnx"):
        sedcrnn.load(tmp_path / "gone.onnx")
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(CheckpointError, match=r"text\.onnx cannot be read as an ONNX file"):
        sedcrnn.load(tmp_path / "text.onnx")


def test_the_onnx_files_of_others_are_refused(tmp_path):
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "other", [value], [other])
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "other.onnx")
    with pytest.raises(CheckpointError, match=r"other\.onnx cannot be read as an ONNX file of this package: it is dam"):
        sedcrnn.load(tmp_path / "other.onnx")
    seal_onnx(tmp_path / "other.onnx")
    with pytest.raises(CheckpointError, match=r"other\.onnx cannot be read .* lacks the metadata 'scenes'"):
        sedcrnn.load(tmp_path / "other.onnx")


def test_onnx_files_need_the_extra_and_the_cpu(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"device=cuda with .*ONNX files run on the CPU"):
        sedcrnn.load(tmp_path / "a.onnx", device="cuda")
    original = importlib.import_module

    def without(name):
        if name == "onnxruntime":
            raise ModuleNotFoundError(name)
        return original(name)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtraError, match=r"'onnxruntime' is not installed.*pip install 'sedcrnn\[onnx\]'"):
        sedcrnn.load(tmp_path / "a.onnx")

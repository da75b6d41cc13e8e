"""Calibrated probabilities are the same from every kind of file and in every output, and raw ones are a choice away."""

import csv
import json
import shutil
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import sedcrnn
from sedcrnn import predict
from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.inference.onnx_export import export
from sedcrnn.inference.predictor import Predictor
from sedcrnn.inference.scene_models import OnnxModel, TorchModel, calibrated
from sedcrnn.runs.checkpoints import load_checkpoint, write_temperatures

TEMPERATURES = {"audio": 3.0, "visual": 0.5, "early": 1.5, "late": 2.0}


@pytest.fixture(scope="module")
def run(make_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fusion network with temperatures."""
    copy = shutil.copytree(make_checkpoint("fusion"), tmp_path_factory.mktemp("calibrated") / "fusion")
    write_temperatures(copy / "checkpoints" / "best.ckpt", TEMPERATURES, "")
    return copy


def after(values: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    powers = values ** (1 / temperature)
    return powers / powers.sum(1, keepdims=True)


def test_temperatures_change_neither_weights_nor_digest(run: Path, make_checkpoint: Callable[[str], Path]) -> None:
    plain, with_them = load_checkpoint(str(make_checkpoint("fusion"))), load_checkpoint(str(run))
    assert (plain.temperatures, with_them.temperatures) == ({}, TEMPERATURES)
    assert plain.digest == with_them.digest


def test_raw_ones_are_those_of_a_checkpoint_without_temperatures(
    run: Path,
    make_checkpoint: Callable[[str], Path],
    write_media: Callable[..., Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = write_media(tmp_path / "a.mp4", 2, 2)
    earlier = sedcrnn.load(make_checkpoint("fusion"), "cpu").predict(path)
    (told,) = caplog.messages
    assert told.endswith("are not calibrated: its training is not finished.")
    raw = sedcrnn.load(run, "cpu", calibrated=False).predict(path)
    assert (earlier.temperatures, raw.temperatures, raw.calibrated) == ({}, {}, False)
    found = sedcrnn.load(run, "cpu").predict(path)
    assert len(caplog.messages) == 1
    assert (found.temperatures, found.calibrated) == (TEMPERATURES, True)
    for head, temperature in TEMPERATURES.items():
        np.testing.assert_array_equal(raw.probabilities[head], earlier.probabilities[head])
        expected = after(raw.probabilities[head], temperature)
        np.testing.assert_allclose(found.probabilities[head], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("kind", "kept"), [("audio", "audio"), ("visual", "video")])
def test_with_one_track_the_head_that_answers_has_its_own_temperature(
    run: Path, write_media: Callable[..., Path], tmp_path: Path, kind: str, kept: str
) -> None:
    path = write_media(tmp_path / "a.mkv", **{"video": 0, "audio": 0, kept: 2})
    raw, found = (sedcrnn.load(run, "cpu", calibrated=wanted).predict(path) for wanted in (False, True))
    assert found.temperatures == {kind: TEMPERATURES[kind]}
    np.testing.assert_allclose(found.probabilities[kind], after(raw.probabilities[kind], TEMPERATURES[kind]), atol=1e-9)


@pytest.mark.slow
def test_torch_onnx_json_and_csv_have_the_same_numbers(
    run: Path,
    write_media: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, written = write_media(tmp_path / "a.mp4", 2, 2), tmp_path / "fusion.onnx"
    assert max(export(str(run), str(written)).values()) < 1e-4
    described = {entry.key: json.loads(entry.value) for entry in onnx.load(written).metadata_props}
    assert (described["temperatures"], described["no_temperatures"]) == (TEMPERATURES, "")
    expected = sedcrnn.load(run, "cpu").predict(path)
    from_onnx = sedcrnn.load(written, "cpu").predict(path)
    assert from_onnx.temperatures == TEMPERATURES
    assert expected.probabilities.keys() == TEMPERATURES.keys()
    for head, values in expected.probabilities.items():
        np.testing.assert_allclose(from_onnx.probabilities[head], values, rtol=0, atol=1e-4)
    outputs = [f"json={tmp_path / 'a.json'}", f"csv={tmp_path / 'a.csv'}", "precision=32-true", "device=cpu"]
    monkeypatch.setattr(sys, "argv", ["sedcrnn.predict", f"run={run}", str(path), *outputs])
    predict.main()
    out = capsys.readouterr().out
    assert "calibrated probabilities (temperature 2.00)" in out
    content = json.loads((tmp_path / "a.json").read_text())
    assert (content["calibrated"], content["temperatures"]) == (True, TEMPERATURES)
    assert content["files"][0]["calibrated"] is True
    for head, values in expected.probabilities.items():
        np.testing.assert_allclose(content["files"][0]["probabilities"][head], values, rtol=0, atol=1e-12)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["head"], row["second"]) for row in rows} == set(product(TEMPERATURES, "01"))
    for row in rows:
        assert float(row["temperature"]) == TEMPERATURES[row["head"]]
        numbers = [float(row[scene]) for scene in TAU_SCENES]
        values = expected.probabilities[row["head"]][int(row["second"])]
        np.testing.assert_allclose(numbers, values, rtol=1e-5)
    monkeypatch.setattr(sys, "argv", ["sedcrnn.predict", f"run={run}", str(path), *outputs, "calibrated=false"])
    predict.main()
    assert "raw probabilities" in capsys.readouterr().out
    content = json.loads((tmp_path / "a.json").read_text())
    assert (content["calibrated"], content["temperatures"]) == (False, {})
    raw = sedcrnn.load(run, "cpu", calibrated=False).predict(path)
    np.testing.assert_array_equal(content["files"][0]["probabilities"]["late"], raw.probabilities["late"])


def test_a_part_of_a_network_takes_its_own_temperature_along(
    run: Path, write_media: Callable[..., Path], tmp_path: Path
) -> None:
    export(str(run), str(tmp_path / "audio.onnx"), part="audio")
    model = OnnxModel(tmp_path / "audio.onnx")
    assert model.temperatures == {"audio": 3.0}
    path = write_media(tmp_path / "a.mp4", 2, 2)
    expected = Predictor(TorchModel(load_checkpoint(str(run)))).predict(path, head="audio").probabilities["audio"]
    np.testing.assert_allclose(Predictor(model).predict(path).probabilities["audio"], expected, rtol=0, atol=1e-4)


def test_probabilities_that_float32_loses_are_the_same_with_and_without_it() -> None:
    exact = np.array([[1.0, 1e-60, 1e-30]])
    rounded = exact.astype(np.float32).astype(np.float64)
    assert rounded[0, 1] == 0
    ours, theirs = (calibrated({"late": values}, {"late": 20.0})["late"] for values in (exact, rounded))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert ours[0, 1] > 0.01

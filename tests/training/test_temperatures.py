"""Every training ends with the temperatures of its heads, fitted on validation, in its best checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import sedcrnn
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.evaluation.calibration import fit_temperature
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.evaluation.predictions import read_predictions
from sedcrnn.runs.checkpoints import BEST, load_checkpoint, weights_digest
from sedcrnn.training import temperatures
from sedcrnn.training.stage import train
from tests.conftest import KilledError

Stage = Callable[..., TrainConfig]


def fitted(run: Path, store: Path) -> dict[str, float]:
    """The temperatures by the predictions of `sedcrnn evaluate`."""
    metrics = evaluate(str(run), fold="validation", extraction_workers=0, store=str(store))
    found = read_predictions(metrics.with_name("predictions.csv")).predictions
    return {head: fit_temperature(found, head) for head in found.log_probabilities}


def test_a_checkpoint_holds_the_temperature_and_predictions_are_after_it(
    stage: Stage, shared_store: Path, tau_root: Path
) -> None:
    run = train(stage("audio"))
    assert run is not None
    checkpoint = load_checkpoint(str(run))
    record = json.loads((run / "record.json").read_text())
    assert checkpoint.temperatures == record["temperatures"] == pytest.approx(fitted(run, shared_store), rel=1e-4)
    assert checkpoint.no_temperatures == record["no_temperatures"] == ""
    content = torch.load(run / BEST, weights_only=True)
    state = {name.removeprefix("network."): values for name, values in content["state_dict"].items()}
    metrics = json.loads((run / "evaluation" / "validation" / "metrics.json").read_text())
    assert weights_digest(state) == checkpoint.digest == metrics["of"]["checkpoint"]
    assert metrics["calibrated"] is False
    clip = tau_root / "audio" / "bus-lisbon-12-1012.wav"
    raw = sedcrnn.load(run, "cpu", calibrated=False).predict(clip)
    after = sedcrnn.load(run, "cpu").predict(clip)
    assert (raw.temperatures, after.temperatures) == ({}, checkpoint.temperatures)
    powers = raw.probabilities["audio"] ** (1 / checkpoint.temperatures["audio"])
    expected = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(after.probabilities["audio"], expected, rtol=0, atol=1e-9)
    assert np.abs(after.probabilities["audio"] - raw.probabilities["audio"]).max() > 1e-3


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_run_killed_at_its_end_gets_the_temperatures_of_the_uninterrupted_one(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    options = ["trainer.max_epochs=6", "recipe.early_stopping_patience=1", "recipe.optimizer.lr=0.1"]
    whole = train(stage("audio", *options, f"runs={tmp_path / 'whole'}"))
    assert whole is not None
    record = json.loads((whole / "record.json").read_text())
    assert record["epochs"] < 6  # stopped early, as the killed one has to

    def kill(*given: object) -> None:
        if at == "after":
            write(*given)  # type: ignore[arg-type]
        raise KilledError

    write = temperatures.write_temperatures
    config = stage("audio", *options, f"runs={tmp_path / 'killed'}")
    with monkeypatch.context() as patched:
        patched.setattr(temperatures, "write_temperatures", kill)
        with pytest.raises(KilledError):
            train(config)
    (killed,) = (tmp_path / "killed").iterdir()
    assert json.loads((killed / "record.json").read_text())["status"] == "running"
    assert bool(load_checkpoint(str(killed)).temperatures) == (at == "after")
    assert train(config) == killed
    ours, theirs = load_checkpoint(str(killed)), load_checkpoint(str(whole))
    assert (ours.temperatures, ours.digest) == (theirs.temperatures, theirs.digest)
    assert ours.temperatures
    assert (killed / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert json.loads((killed / "record.json").read_text())["epochs"] == record["epochs"]


def test_where_validation_is_the_test_fold_nothing_is_fitted_and_predictions_say_so(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(stage("audio", "data.selection=test_fold_as_the_authors_did", "trainer.max_epochs=1"))
    assert run is not None
    record = json.loads((run / "record.json").read_text())
    assert (record["temperatures"], record["no_temperatures"]) == ({}, "its validation fold is the test fold")
    sedcrnn.load(run, "cpu")
    told = f"The probabilities of {run / BEST} are not calibrated: its validation fold is the test fold."
    assert caplog.messages[-1] == told


@pytest.mark.parametrize("experiment", ["fusion", "fusion_late_average"])
def test_every_head_has_one_on_cached_values_and_where_there_is_nothing_to_train(
    stage: Stage, fusion_parts: dict[str, Path], shared_store: Path, experiment: str
) -> None:
    starts = [f"init_from.{part}={run}" for part, run in fusion_parts.items()]
    run = train(stage(experiment, *starts, "trainer.max_epochs=1"))
    assert run is not None
    found = load_checkpoint(str(run)).temperatures
    expected = fitted(run, shared_store)
    assert list(found) == list(expected)
    assert {"audio", "visual"} <= set(found)
    assert found == pytest.approx(expected, rel=1e-3)


def test_loggers_and_temperatures_share_one_prediction(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(temperatures, "predict_validation", None)  # what the loggers were shown is there already
    run = train(stage("audio", "logger=tensorboard", "trainer.max_epochs=1"))
    assert run is not None
    assert set(load_checkpoint(str(run)).temperatures) == {"audio"}

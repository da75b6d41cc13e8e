"""Names in tables are texts, whatever they begin with, and are read again as they were."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from sedcrnn.datasets.clips import Clip
from sedcrnn.evaluation.predictions import Predictions, read_predictions, write_predictions
from sedcrnn.inference.file_prediction import Prediction, write_predictions_csv
from sedcrnn.runs.csv_cells import from_cell, to_cell

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://a.example","b")', "=cmd|' /C calc'!A0"]
PLAIN = ["", "bus", "a=b", "1-2", "'", "'quoted'", "it's", "/=1.mp4", "ä"]


@pytest.mark.parametrize("text", [*FORMULAS, *PLAIN, "'=1", "''=1"])
def test_texts_survive_and_none_is_computed(text: str) -> None:
    cell = to_cell(text)
    assert from_cell(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert text in [*FORMULAS, "'=1", "''=1"] or cell == text


def test_predictions_of_files_hold_no_formula(tmp_path: Path) -> None:
    values = {"audio": np.array([[0.25, 0.75]])}
    found = Prediction(Path("=1+1.mp4"), ("=bus", "park"), "audio", values, {"audio": 1})
    write_predictions_csv(tmp_path / "a.csv", [found], found.scenes)
    with (tmp_path / "a.csv").open(newline="") as file:
        header, row = csv.reader(file)
    assert header == ["file", "second", "head", "temperature", "'=bus", "park"]
    assert row == ["'=1+1.mp4", "0", "audio", "1", "0.25", "0.75"]


def test_predictions_of_a_fold_are_read_as_they_were(tmp_path: Path) -> None:
    scenes = ("=bus", "-park")
    media = Path("a.wav")
    clips = [Clip(name, media, media, scenes[0], "", f"@{name}", "test") for name in ("+1", "=2")]
    log_probabilities = {"audio": torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log()}
    zeros = torch.zeros(2, dtype=torch.int64)
    predictions = Predictions(torch.tensor([0, 1]), zeros, zeros, log_probabilities)
    write_predictions(tmp_path / "predictions.csv", predictions, clips, scenes)
    text = (tmp_path / "predictions.csv").read_text()
    assert not [cell for row in csv.reader(text.splitlines()) for cell in row if cell.startswith(("=", "+", "-", "@"))]
    stored = read_predictions(tmp_path / "predictions.csv")
    assert (stored.scenes, stored.clips, stored.locations) == (scenes, ("+1", "=2"), ("@+1", "@=2"))
    assert stored.predictions.scene.tolist() == [0, 0]
    np.testing.assert_allclose(stored.predictions.log_probabilities["audio"].exp(), [[0.25, 0.75], [0.5, 0.5]])

"""Predictions on disk, whatever clips are called."""

import os
from pathlib import Path

import torch

from sedcrnn.datasets.clips import Clip
from sedcrnn.evaluation.predictions import Predictions, read_predictions, write_predictions

NAMES = [os.fsdecode(name) for name in (b"bus/\xff\xfe", b"bus/new\nline", b"park/cr\r", b'park/a,"b"', b"= 1")]


def test_clips_of_any_name_are_read_as_they_were_written(tmp_path: Path) -> None:
    clips = [Clip(name, Path(), Path(), "bus", "", f"at {name}", "test") for name in NAMES]
    numbers = torch.arange(len(clips))
    values = torch.full((len(clips), 2), 0.5, dtype=torch.float64).log()
    made = Predictions(clip=numbers, window=0 * numbers, scene=0 * numbers, log_probabilities={"audio": values})
    write_predictions(tmp_path / "predictions.csv", made, clips, ("bus", "park"))
    stored = read_predictions(tmp_path / "predictions.csv")
    assert list(stored.clips) == NAMES
    assert list(stored.locations) == [f"at {name}" for name in NAMES]
    assert stored.predictions.clip.tolist() == list(range(len(NAMES)))

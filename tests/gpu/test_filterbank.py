"""The gammatone bank on the device, beside the reference package's figures for every kind of audio."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sedcrnn.benchmarks.audio_benchmark import KINDS
from sedcrnn.features.filterbanks import LAYOUTS
from sedcrnn.features.filterbanks.gammatone_fourier import FourierGammatone

pytestmark = pytest.mark.gpu

REFERENCES = Path(__file__).parents[1] / "features" / "filterbanks"
GOLDEN = np.load(REFERENCES / "gammatone_white.npz")
REFERENCE = json.loads((REFERENCES / "gammatone_reference.json").read_text())
FLOOR = 1e-7


def in_db(rms: np.ndarray) -> np.ndarray:
    return 20 * np.log10(np.maximum(rms, FLOOR))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 0.03), pytest.param("float64", 1e-6, marks=pytest.mark.slow)]
)
def test_equals_the_reference_package(
    device: torch.device, record_property: Callable[[str, object], None], dtype: str, tolerance: float
) -> None:
    piece = 10.0 if device.type == "cuda" else 1.0  # as conf/ advises
    bank = FourierGammatone(dtype=dtype, device=device.type, piece=piece)
    largest = {}
    for kind, make in KINDS.items():
        blocks = np.array_split(make(), 7, axis=1)
        rms = np.concatenate(list(bank.columns(blocks, 44100, 0.02, LAYOUTS["left_right_difference"])), axis=-1)
        assert rms.shape == (3, 64, 499)
        *places, expected = np.array(REFERENCE[kind]).T
        errors = np.abs(in_db(rms[tuple(np.array(places, dtype=int))]) - in_db(expected))
        assert len(errors) == 40
        largest[kind] = errors.max()
        if kind == "noise":
            largest["noise, every band"] = np.abs(in_db(rms[..., GOLDEN["columns"]]) - in_db(GOLDEN["rms"])).max()
    record_property("largest error in dB", float(max(largest.values())))
    assert {kind: error for kind, error in largest.items() if not error < tolerance} == {}

"""Calibration errors and Brier scores against values worked out by hand."""

import pytest
import torch

from sedcrnn.reporting.scoring import BINS, brier_score, reliability


def test_brier_score_by_hand():
    log_probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]]).log()
    # (0.3^2 + 0.2^2 + 0.1^2 + 1 + 1) / 2
    assert brier_score(log_probabilities, torch.tensor([0, 2])) == pytest.approx((0.14 + 2) / 2)


def test_calibration_error_by_hand():
    sure, unsure = [0.91, 0.09], [0.62, 0.38]
    log_probabilities = torch.tensor([sure, sure, unsure, unsure]).log()
    curve = reliability(log_probabilities, torch.tensor([0, 1, 0, 0]))
    filled = [
        (int(n), round(c, 6), a) for n, c, a in zip(curve.number, curve.confidence, curve.accuracy, strict=True) if n
    ]
    assert filled == [(2, 0.62, 1.0), (2, 0.91, 0.5)]
    assert curve.number.argmax() == int(0.62 * BINS)
    assert curve.error == pytest.approx((2 * 0.38 + 2 * 0.41) / 4, abs=1e-6)


def test_certainty_is_in_the_last_bin():
    curve = reliability(torch.tensor([[1.0, 0.0]]).log(), torch.tensor([0]))
    assert curve.number.tolist() == [0] * (BINS - 1) + [1]
    assert curve.error == 0

"""Temperatures, calibration errors and Brier scores against values worked out by hand."""

import math

import pytest
import torch

from sedcrnn.reporting.scoring import BINS, brier_score, fit_temperature, reliability, scaled


def test_the_temperature_makes_confidence_equal_accuracy():
    # Always sure to 0.9, right in three of four: sigmoid(ln 9 / T) = 3/4 at T = ln 9 / ln 3 = 2.
    log_probabilities = torch.tensor([[0.9, 0.1]] * 4).log()
    scene = torch.tensor([0, 0, 0, 1])
    temperature = fit_temperature(log_probabilities, scene)
    assert temperature == pytest.approx(2, rel=1e-4)
    torch.testing.assert_close(
        scaled(log_probabilities, 2).exp(), torch.tensor([[0.75, 0.25]] * 4).double(), rtol=1e-6, atol=0
    )


def test_a_network_that_is_too_modest_gets_a_temperature_below_one():
    log_probabilities = torch.tensor([[0.75, 0.25]] * 10).log()
    scene = torch.tensor([0] * 9 + [1])  # ln 3 / ln 9
    assert fit_temperature(log_probabilities, scene) == pytest.approx(0.5, rel=1e-4)


def test_scaling_keeps_the_likeliest_scene_and_takes_zeros():
    log_probabilities = torch.tensor([[0.0, 0.2, 0.8], [1.0, 0.0, 0.0]]).log()
    after = scaled(log_probabilities, 3.0)
    assert after.argmax(-1).tolist() == [2, 0]
    torch.testing.assert_close(after.exp().sum(-1), torch.ones(2).double())
    assert after[0, 0] == -math.inf
    assert after[0, 2].exp().item() == pytest.approx(0.8 ** (1 / 3) / (0.8 ** (1 / 3) + 0.2 ** (1 / 3)))


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

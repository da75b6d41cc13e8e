"""Temperatures against values worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from sedcrnn.evaluation.calibration import fit_temperature
from sedcrnn.evaluation.predictions import Predictions
from sedcrnn.networks.probabilities import scaled


def answers(log_probabilities: Tensor, scene: Tensor, clips: int | None = None) -> Predictions:
    """Windows of as many clips in turn, each of its own where nothing is said."""
    number = torch.arange(len(scene)) % (clips or len(scene))
    return Predictions(number, torch.zeros_like(scene), scene, {"late": log_probabilities})


def test_the_temperature_makes_confidence_equal_accuracy():
    # Always sure to 0.9, right in three of four: sigmoid(ln 9 / T) = 3/4 at T = ln 9 / ln 3 = 2.
    log_probabilities = torch.tensor([[0.9, 0.1]] * 4).log()
    scene = torch.tensor([0, 0, 0, 1])
    assert fit_temperature(answers(log_probabilities, scene), "late") == pytest.approx(2, rel=1e-4)
    torch.testing.assert_close(
        scaled(log_probabilities, 2).exp(), torch.tensor([[0.75, 0.25]] * 4).double(), rtol=1e-6, atol=0
    )


def test_a_network_that_is_too_modest_gets_a_temperature_below_one():
    log_probabilities = torch.tensor([[0.75, 0.25]] * 10).log()
    scene = torch.tensor([0] * 9 + [1])  # ln 3 / ln 9
    assert fit_temperature(answers(log_probabilities, scene), "late") == pytest.approx(0.5, rel=1e-4)


def test_scaling_keeps_the_likeliest_scene_and_takes_zeros():
    log_probabilities = torch.tensor([[0.0, 0.2, 0.8], [1.0, 0.0, 0.0]]).log()
    after = scaled(log_probabilities, 3.0)
    assert after.argmax(-1).tolist() == [2, 0]
    torch.testing.assert_close(after.exp().sum(-1), torch.ones(2).double())
    assert after[0, 0] == -math.inf
    assert after[0, 2].exp().item() == pytest.approx(0.8 ** (1 / 3) / (0.8 ** (1 / 3) + 0.2 ** (1 / 3)))


def test_a_network_with_a_known_temperature_gets_it_back():
    generator = torch.Generator().manual_seed(0)
    calibrated = (2 * torch.randn(20000, 5, generator=generator)).log_softmax(-1)
    scene = calibrated.exp().multinomial(1, generator=generator).squeeze(1)
    too_sure = scaled(calibrated, 1 / 3)
    assert fit_temperature(answers(too_sure, scene), "late") == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize(("clips", "confidence"), [(4, 5 / 6), (40, 41 / 42)])
def test_without_a_mistake_confidence_is_bounded_by_the_number_of_clips(clips: int, confidence: float):
    log_probabilities = torch.tensor([[0.99, 0.01], [0.01, 0.99]] * 40).log()
    scene = torch.tensor([0, 1] * 40)
    temperature = fit_temperature(answers(log_probabilities, scene, clips), "late")
    assert scaled(log_probabilities, temperature).exp().amax(-1).mean().item() == pytest.approx(confidence, rel=1e-6)
    assert temperature == pytest.approx(math.log(99) / math.log(clips + 1), rel=1e-6)

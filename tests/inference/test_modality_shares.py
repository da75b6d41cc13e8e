"""The tracks' shares are Shapley values: by numbers, and by the rules that define them."""

import numpy as np
import pytest
import torch

from sedcrnn.inference.modality_shares import guessed, modality_shares
from sedcrnn.networks.probabilities import probabilities


def shares(together: float, audio: float, video: float, scenes: int = 4) -> tuple[float, float]:
    found = modality_shares(np.array([together]), {"audio": np.array([audio]), "video": np.array([video])}, 1 / scenes)
    return float(found["audio"][0]), float(found["video"][0])


def test_by_numbers():
    assert shares(0.9, 0.5, 0.3) == pytest.approx((0.425, 0.225))


@pytest.mark.parametrize(("together", "audio", "video"), [(0.9, 0.5, 0.3), (0.1, 0.8, 0.2), (0.25, 0.25, 0.25)])
def test_efficiency_they_sum_to_what_is_above_a_guess(together, audio, video):
    assert sum(shares(together, audio, video)) == pytest.approx(together - 0.25)


def test_symmetry_tracks_that_do_the_same_share_alike():
    assert shares(0.9, 0.6, 0.6)[0] == shares(0.9, 0.6, 0.6)[1] == pytest.approx(0.325)


def test_dummy_a_track_that_never_changes_anything_has_none():
    assert shares(0.8, 0.8, 0.25) == pytest.approx((0.55, 0))
    assert shares(0.8, 0.25, 0.8) == pytest.approx((0, 0.55))


def test_a_track_that_misleads_takes_something_away():
    audio, video = shares(0.6, 0.1, 0.9)
    assert (audio, video) == pytest.approx((-0.225, 0.575))


def test_one_track_has_all_of_it():
    found = modality_shares(np.array([0.7, 0.1]), {"video": np.array([0.7, 0.1])}, 0.1)
    np.testing.assert_allclose(found["video"], [0.6, 0.0], atol=1e-12)


@pytest.mark.parametrize(("multi_label", "expected"), [(False, 0.25), (True, 0.5)])
def test_a_guess_is_what_a_network_answers_to_which_nothing_speaks(multi_label, expected):
    assert guessed(4, multi_label) == expected
    np.testing.assert_allclose(probabilities(torch.zeros(4), multi_label), [expected] * 4)

"""Intervals against published ones and against what can be computed by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import binom

from sedcrnn.evaluation.intervals import bootstrap_scores, describe_intervals, published_interval
from sedcrnn.evaluation.metrics import SceneScores


def answers(probability_of_truth: list[float], scene: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities over two scenes, with the given one for the true scene."""
    truth, right = torch.tensor(scene), torch.tensor(probability_of_truth, dtype=torch.float64)
    values = torch.empty(len(scene), 2, dtype=torch.float64)
    values.scatter_(1, truth[:, None], right[:, None]).scatter_(1, 1 - truth[:, None], 1 - right[:, None])
    return values.log(), truth


# Class-wise evaluation accuracies of the paper and the intervals that DCASE published for them, on 72,000 windows.
@pytest.mark.parametrize(
    ("classes", "accuracy", "interval"),
    [
        ([78.6, 86.9, 82.6, 97.7, 99.4, 78.2, 91.8, 80.2, 95.7, 74.3], 86.5, (86.3, 86.8)),
        ([75.9, 87.5, 84.4, 95.1, 95.5, 82.5, 86.4, 77.0, 92.6, 54.6], 83.2, (82.9, 83.4)),
        ([45.8, 79.4, 67.0, 63.4, 89.3, 51.1, 63.2, 66.0, 78.8, 64.0], 66.8, (66.5, 67.1)),
    ],
)
def test_published_intervals_of_the_paper(classes: list[float], accuracy: float, interval: tuple[float, float]) -> None:
    scores = SceneScores(10)
    for scene, right in enumerate(classes):
        scores.confusion[scene, scene] = round(7.2 * 10 * right)
        scores.confusion[scene, scene - 1] = 7200 - round(7.2 * 10 * right)
    report = scores.report(tuple("abcdefghij"))
    assert report["examples"] == 72_000
    assert 100 * report["macro_accuracy"] == pytest.approx(accuracy, abs=0.051)
    bounds = published_interval(report["macro_accuracy"], report["examples"])
    assert tuple(round(100 * bound, 1) for bound in bounds) == interval


def test_published_interval_stays_within_what_accuracies_can_be() -> None:
    assert published_interval(0.5, 100) == pytest.approx((0.402, 0.598))
    assert published_interval(0.75, 3) == (pytest.approx(0.75 - 0.49), 1.0)
    assert published_interval(1.0, 10) == (1.0, 1.0)


def test_one_location_has_one_replicate_and_locations_that_are_alike_too() -> None:
    log_probabilities, scene = answers([0.9, 0.2, 0.6, 0.7], [0, 0, 1, 1])
    for location in ([0, 0, 0, 0], [0, 1, 0, 1]):
        rows = torch.tensor([0, 1, 2, 3] if location == [0, 0, 0, 0] else [0, 0, 2, 2])
        replicates = bootstrap_scores(log_probabilities[rows], scene[rows], torch.tensor(location))
        scores = SceneScores(2)
        scores.update(log_probabilities[rows], scene[rows])
        for name, values in replicates.items():
            assert values.shape == (1000,)
            torch.testing.assert_close(values, scores.compute()[name].expand(1000))


def test_two_locations_by_enumeration() -> None:
    # Location 0: scene 0 right, scene 0 wrong, scene 1 right. Location 1: scene 0 right, scene 1 wrong.
    log_probabilities, scene = answers([0.9, 0.2, 0.8, 0.7, 0.4], [0, 0, 1, 0, 1])
    loss = -np.log([0.9, 0.2, 0.8, 0.7, 0.4])
    replicates = bootstrap_scores(log_probabilities, scene, torch.tensor([0, 0, 0, 1, 1]), replicates=4000, seed=3)
    by_hand = {  # of (0, 0), both, (1, 1)
        "macro_accuracy": [(1 / 2 + 1) / 2, (2 / 3 + 1 / 2) / 2, (1 + 0) / 2],
        "macro_log_loss": [
            ((loss[0] + loss[1]) / 2 + loss[2]) / 2,
            ((loss[0] + loss[1] + loss[3]) / 3 + (loss[2] + loss[4]) / 2) / 2,
            (loss[3] + loss[4]) / 2,
        ],
    }
    for name, expected in by_hand.items():
        shares = [np.isclose(replicates[name], value).mean() for value in expected]
        assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
        assert sum(shares) == 1


def test_a_scene_that_a_replicate_lacks_takes_no_part() -> None:
    log_probabilities, scene = answers([0.9, 0.2], [0, 1])
    accuracy = bootstrap_scores(log_probabilities, scene, torch.tensor([0, 1]))["macro_accuracy"]
    assert set(accuracy.tolist()) == {0.0, 0.5, 1.0}


def test_interval_over_locations_whose_clips_agree_is_that_of_their_number() -> None:
    # 40 locations of one scene with 25 clips each, all right at 30 of them and all wrong at 10.
    right = np.repeat([True] * 30 + [False] * 10, 25)
    log_probabilities, scene = answers(np.where(right, 0.8, 0.1).tolist(), [0] * 1000)
    names = [f"lisbon-{number // 25}" for number in range(1000)]
    scores = SceneScores(2)
    scores.update(log_probabilities, scene)
    described = describe_intervals(scores.report(("bus", "park")), log_probabilities, scene, names)
    drawn, published = described["locations"], described["published"]
    assert (drawn["locations"], drawn["replicates"], drawn["seed"]) == (40, 1000, 0)
    assert drawn["macro_accuracy"] == pytest.approx(binom.ppf([0.025, 0.975], 40, 0.75) / 40, abs=0.026)
    assert published["macro_accuracy"] == published["accuracy"] == pytest.approx((0.72316, 0.77684), abs=1e-5)
    widths = [high - low for low, high in (drawn["macro_accuracy"], published["macro_accuracy"])]
    assert widths[0] / widths[1] == pytest.approx(5, abs=0.5)  # the square root of 25
    # The loss is a linear function of the share that is right, here.
    losses = [-(share * np.log(0.8) + (1 - share) * np.log(0.1)) for share in drawn["macro_accuracy"]]
    assert drawn["macro_log_loss"] == pytest.approx(tuple(reversed(losses)))


def test_the_draw_is_the_same_every_time_and_another_with_another_seed() -> None:
    log_probabilities, scene = answers([0.9, 0.2, 0.6], [0, 0, 0])
    first, again, other = (
        bootstrap_scores(log_probabilities, scene, torch.arange(3), seed=seed)["macro_log_loss"] for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)

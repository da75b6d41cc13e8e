"""Scores of multi-label data against sums over examples, by hand and by brute force."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sedcrnn.evaluation.intervals import bootstrap_scores, describe_intervals
from sedcrnn.evaluation.label_scores import LabelScores, average_precision
from sedcrnn.evaluation.scores import score
from sedcrnn.evaluation.thresholds import after_temperature, choose_thresholds

SCENES = ("crowd", "rails", "water")


def examples(number: int = 40, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of three scenes, of two digits, so that some are equal, and whether the scenes are there."""
    rng = np.random.default_rng(seed)
    labels = rng.random((number, 3)) < [0.5, 0.2, 0.7]
    probabilities = np.clip(0.3 * labels + 0.7 * rng.random((number, 3)), 0.01, 0.99).round(2)
    return torch.tensor(probabilities).log(), torch.tensor(labels)


def precision_by_hand(values: Sequence[float], labels: Sequence[bool]) -> float:
    """For each example that has the scene, the share of those with at least its value that have it; their mean."""
    found = []
    for own, there in zip(values, labels, strict=True):
        if there:
            among = [label for value, label in zip(values, labels, strict=True) if value >= own]
            found.append(sum(among) / len(among))
    return sum(found) / len(found)


def f1_by_hand(answered: NDArray[Any], labels: NDArray[Any]) -> float:
    precision, recall = (answered & labels).sum() / max(1, answered.sum()), (answered & labels).sum() / labels.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def test_average_precision_of_a_ranking_by_hand() -> None:
    # Right, wrong, right, wrong: 1/2 * (1/1 + 2/3). scikit-learn's documentation has the second: 0.83.
    assert average_precision(torch.tensor([4.0, 3, 2, 1]), torch.tensor([1, 0, 1, 0])).item() == pytest.approx(5 / 6)
    found = average_precision(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    assert found.item() == pytest.approx(0.8333, abs=1e-4)
    equal = average_precision(torch.zeros(5), torch.tensor([1, 0, 0, 1, 0]))
    assert equal.item() == pytest.approx(2 / 5)  # no order at all is the share of those that have it
    assert average_precision(torch.rand(3), torch.zeros(3)).isnan().all()


def test_all_scores_are_sums_over_examples() -> None:
    values, labels = examples()
    thresholds = torch.tensor([0.5, 0.3, 0.8])
    report = score(values, labels, thresholds).report(SCENES)
    probabilities, there = values.exp().numpy(), labels.numpy()
    precisions = [precision_by_hand(probabilities[:, k].tolist(), there[:, k].tolist()) for k in range(3)]
    losses = -np.where(there, np.log(probabilities), np.log(1 - probabilities)).mean(0)
    answered = probabilities >= thresholds.numpy()
    f1 = [f1_by_hand(answered[:, k], there[:, k]) for k in range(3)]
    for k, scene in enumerate(SCENES):
        one = report["class_wise"][scene]
        assert (one["average_precision"], one["log_loss"], one["f1"]) == pytest.approx(
            (precisions[k], losses[k], f1[k])
        )
        assert one["examples"] == there[:, k].sum()
        counts = [[int(((there[:, k] == a) & (answered[:, k] == b)).sum()) for b in (0, 1)] for a in (0, 1)]
        assert report["confusion"][k] == counts
    assert report["mean_average_precision"] == pytest.approx(np.mean(precisions))
    assert report["macro_log_loss"] == report["log_loss"] == pytest.approx(losses.mean())
    assert report["macro_f1"] == pytest.approx(np.mean(f1))
    assert report["micro_f1"] == pytest.approx(f1_by_hand(answered.ravel(), there.ravel()))
    assert report["examples"] == 40


def test_batches_make_no_difference_and_thresholds_may_be_of_each_example() -> None:
    values, labels = examples()
    scores = LabelScores(3)
    for rows in torch.arange(40).split([1, 20, 19]):
        scores.update(values[rows], labels[rows])
    assert scores.report(SCENES) == score(values, labels).report(SCENES)
    each = torch.tensor([0.5, 0.3, 0.8]).expand(40, 3)
    assert score(values, labels, each).report(SCENES) == score(values, labels, each[0]).report(SCENES)


def test_a_scene_that_is_nowhere_takes_no_part() -> None:
    values, labels = examples()
    labels[:, 1] = False
    report = score(values, labels).report(SCENES)
    assert report["class_wise"]["rails"]["average_precision"] is None
    known = [report["class_wise"][scene]["average_precision"] for scene in ("crowd", "water")]
    assert report["mean_average_precision"] == pytest.approx(np.mean(known))


def test_a_sure_mistake_costs_no_more_than_the_challenge_says() -> None:
    values = torch.tensor([[-1000.0, -1e-300]], dtype=torch.float64)
    found = score(values, torch.tensor([[True, False]])).compute()["log_loss"]
    assert found.item() == pytest.approx(-np.log(1e-15))


def test_the_threshold_has_the_highest_f1() -> None:
    values, labels = examples(seed=3)
    probabilities = values.exp().numpy()
    for k, found in enumerate(choose_thresholds(values, labels)):
        own, there = probabilities[:, k], labels[:, k].numpy()
        best = max(f1_by_hand(own >= bound, there) for bound in [0.0, *np.unique(own)])
        assert f1_by_hand(own >= found, there) == pytest.approx(best)
        assert found not in own


def test_thresholds_of_what_cannot_be_improved_are_one_half() -> None:
    values = torch.tensor([[0.9, 0.2], [0.1, 0.3], [0.8, 0.9]]).log()
    labels = torch.tensor([[True, False], [False, False], [True, False]])
    assert choose_thresholds(values, labels) == [0.5, 0.5]  # of a perfect scene, and of one that is nowhere


def test_a_threshold_goes_with_the_temperature() -> None:
    values, labels = examples(seed=4)
    own = choose_thresholds(values, labels)
    for temperature in (0.4, 1.0, 3.0):
        bounds = after_temperature(own, temperature)
        logits = torch.logit(values.exp())
        after = (logits / temperature).sigmoid()
        assert ((after >= torch.tensor(bounds)) == (values.exp() >= torch.tensor(own))).all()
    assert after_temperature(own, 1.0) == pytest.approx(own)


def test_replicates_are_data_sets_of_the_drawn_locations() -> None:
    values, labels = examples()
    location = torch.arange(40) % 7
    found = bootstrap_scores(values, labels, location, replicates=150)
    times = np.random.default_rng(0).multinomial(7, np.full(7, 1 / 7), size=150)
    for number in (0, 99, 149):
        rows = [row for row in range(40) for _ in range(times[number, row % 7])]
        expected = score(values[rows], labels[rows]).report(SCENES)
        assert found["mean_average_precision"][number] == pytest.approx(expected["mean_average_precision"])
        assert found["macro_log_loss"][number] == pytest.approx(expected["macro_log_loss"])
        by_scene = [one["average_precision"] for one in expected["class_wise"].values()]
        assert found["average_precision"][number].tolist() == pytest.approx(by_scene)


def test_intervals_of_every_scene_hold_its_score() -> None:
    values, labels = examples(200)
    report = score(values, labels).report(SCENES)
    found = describe_intervals(report, values, labels, [f"place-{row % 25}" for row in range(200)])
    assert found["published"] == {}
    for scene, one in report["class_wise"].items():
        low, high = found["locations"]["average_precision"][scene]
        assert 0 < low < one["average_precision"] < high < 1
    low, high = found["locations"]["mean_average_precision"]
    assert low < report["mean_average_precision"] < high

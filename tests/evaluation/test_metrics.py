"""Scores against values computed by hand, and against the published tables."""

import math

import pytest
import torch

from sedcrnn.evaluation.metrics import LOWEST_PROBABILITY, SceneScores

# Five examples of scenes 0, 0, 0, 1, 2 of four: scene 3 does not occur.
PROBABILITIES = torch.tensor(
    [[0.5, 0.25, 0.125, 0.125], [0.25, 0.5, 0.125, 0.125], [0.5, 0.25, 0.125, 0.125], [0.1, 0.8, 0.05, 0.05],
     [0.5, 0.25, 0.125, 0.125]],
    dtype=torch.float64,
)  # fmt: skip
SCENE = torch.tensor([0, 0, 0, 1, 2])


def test_macro_scores_by_hand_with_an_uneven_last_batch() -> None:
    scores = SceneScores(4)
    for part in (slice(0, 2), slice(2, 4), slice(4, 5)):
        scores.update(PROBABILITIES[part].log(), SCENE[part])
    result = {name: value.item() for name, value in scores.compute().items()}
    losses = [(math.log(2) + math.log(4) + math.log(2)) / 3, -math.log(0.8), math.log(8)]
    assert result["macro_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert result["accuracy"] == pytest.approx(3 / 5)
    assert result["macro_log_loss"] == pytest.approx(sum(losses) / 3)
    assert result["log_loss"] == pytest.approx((3 * losses[0] + losses[1] + losses[2]) / 5)


def test_report_has_class_wise_values_and_confusion_with_true_rows() -> None:
    scores = SceneScores(4)
    scores.update(PROBABILITIES.log(), SCENE)
    report = scores.report(("a", "b", "c", "d"))
    assert report["confusion"] == [[2, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert report["class_wise"]["a"]["accuracy"] == pytest.approx(2 / 3)
    assert report["class_wise"]["c"]["log_loss"] == pytest.approx(math.log(8))
    assert report["class_wise"]["d"] == {"accuracy": None, "log_loss": None, "examples": 0}
    assert report["examples"] == 5


def test_a_sure_mistake_costs_a_finite_loss() -> None:
    scores = SceneScores(2)
    scores.update(torch.tensor([[0.0, -torch.inf]]), torch.tensor([1]))
    assert scores.compute()["log_loss"].item() == pytest.approx(-math.log(LOWEST_PROBABILITY))


def test_overall_figures_of_the_published_baseline_are_unweighted_means_of_its_classes() -> None:
    # DCASE 2021 Task 1B baseline, audio-visual, development set: class-wise log loss and accuracy.
    log_loss = [0.963, 0.396, 0.541, 0.565, 0.710, 0.732, 0.839, 0.877, 0.296, 0.659]
    accuracy = [66.8, 85.9, 80.4, 80.8, 77.2, 71.1, 72.6, 72.7, 89.6, 73.1]
    windows = [281, 327, 360, 386, 386, 387, 387, 421, 402, 308]
    scores = SceneScores(10)
    for scene, (loss, right, count) in enumerate(zip(log_loss, accuracy, windows, strict=True)):
        scores.confusion[scene, scene] = round(right / 100 * count * 1000)
        scores.confusion[scene, scene - 1] = count * 1000 - round(right / 100 * count * 1000)
        scores.log_loss_sum[scene] = loss * count * 1000
    result = {name: value.item() for name, value in scores.compute().items()}
    assert result["macro_log_loss"] == pytest.approx(0.658, abs=5e-4)
    assert 100 * result["macro_accuracy"] == pytest.approx(77.0, abs=0.05)
    assert result["log_loss"] != pytest.approx(0.658, abs=5e-4)

"""Scores against values computed by hand, and against the published tables."""

import math

import pytest
import torch

from sedcrnn.evaluation.metrics import LOWEST_PROBABILITY, SceneScores
from sedcrnn.evaluation.scores import score

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


def test_scores_of_all_examples_at_once_ask_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    values, scene = torch.tensor([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]]).log(), torch.tensor([0, 1, 1])
    batches = SceneScores(2)
    for part in (slice(0, 2), slice(2, 3)):
        batches.update(values[part], scene[part])
    expected = batches.over_processes().compute()
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)  # asking the others would fail
    assert score(values, scene).compute() == expected
    with pytest.raises(ValueError, match="process group"):
        batches.over_processes()


def test_a_sure_mistake_costs_a_finite_loss() -> None:
    scores = SceneScores(2)
    scores.update(torch.tensor([[0.0, -torch.inf]]), torch.tensor([1]))
    assert scores.compute()["log_loss"].item() == pytest.approx(-math.log(LOWEST_PROBABILITY))


# DCASE 2021 Task 1B baseline: class-wise log loss and accuracy in label order, and the overall figures beside them.
PUBLISHED = {
    "audio-visual, development": (
        [0.963, 0.396, 0.541, 0.565, 0.710, 0.732, 0.839, 0.877, 0.296, 0.659],
        [66.8, 85.9, 80.4, 80.8, 77.2, 71.1, 72.6, 72.7, 89.6, 73.1],
        (0.658, 77.0),
    ),
    "audio, development": (
        [0.977, 0.628, 1.106, 1.316, 0.960, 1.284, 1.384, 1.285, 0.516, 1.026],
        [66.9, 78.0, 60.7, 58.0, 73.5, 54.3, 54.9, 57.4, 84.7, 62.9],
        (1.048, 65.1),
    ),
    "video, development": (
        [2.450, 0.563, 1.124, 0.495, 1.859, 1.606, 2.454, 1.921, 1.336, 2.677],
        [54.0, 85.7, 72.8, 85.2, 73.5, 61.2, 45.4, 58.1, 70.7, 42.8],
        (1.648, 64.9),
    ),
    "early fusion, development": (
        [2.117, 0.284, 0.461, 0.319, 0.705, 1.073, 1.097, 1.557, 0.324, 1.697],
        [56.5, 91.8, 87.7, 90.3, 83.2, 70.6, 77.2, 64.5, 90.8, 62.1],
        (0.963, 77.4),
    ),
    "audio-visual, evaluation": (
        [1.313, 0.496, 0.683, 0.517, 0.151, 1.002, 0.586, 0.907, 0.215, 0.751],
        [56.6, 83.4, 75.8, 83.9, 95.8, 63.6, 78.2, 70.6, 93.3, 70.4],
        (0.662, 77.1),
    ),
}
TEST_CLIPS = [281, 327, 360, 386, 386, 387, 387, 421, 402, 308]  # of the development set, so that sizes differ


@pytest.mark.parametrize("system", PUBLISHED)
def test_overall_figures_of_the_published_baseline_are_unweighted_means_of_its_classes(system: str) -> None:
    log_loss, accuracy, overall = PUBLISHED[system]
    scores = SceneScores(10)
    for scene, (loss, percent, clips) in enumerate(zip(log_loss, accuracy, TEST_CLIPS, strict=True)):
        scores.confusion[scene, scene] = round(percent / 100 * clips * 1000)
        scores.confusion[scene, scene - 1] = clips * 1000 - round(percent / 100 * clips * 1000)
        scores.log_loss_sum[scene] = loss * clips * 1000
    result = {name: value.item() for name, value in scores.compute().items()}
    # The class values are rounded, and the overall ones again: half a digit each.
    assert result["macro_log_loss"] == pytest.approx(overall[0], abs=1.0001e-3)
    assert 100 * result["macro_accuracy"] == pytest.approx(overall[1], abs=0.10001)
    assert result["log_loss"] != pytest.approx(overall[0], abs=2e-3)  # the mean over examples does not reproduce them

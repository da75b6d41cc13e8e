"""Losses against torch's own and against numpy, and the weights of scenes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import ConfigError, DataError
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.training.losses import binary_cross_entropy, cross_entropy, scene_weights
from sedcrnn.training.stage import train

Stage = Callable[..., TrainConfig]

WEIGHTS = torch.tensor([0.5, 2.0, 0.0, 1.25])


@pytest.fixture
def logits() -> Tensor:
    return 3 * torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1))  # two heads


@pytest.fixture
def mixed() -> Tensor:
    """Labels as mixup makes them."""
    first, second = torch.eye(4)[[0, 1, 2, 3, 3, 1]], torch.eye(4)[[1, 1, 0, 2, 0, 3]]
    share = torch.tensor([[1.0], [0.3], [0.8], [0.55], [0.0], [0.9]])
    return share * first + (1 - share) * second


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_weights_and_smoothing_are_torchs_for_mixed_labels(
    logits: Tensor, mixed: Tensor, weights: Tensor | None, smoothing: float
) -> None:
    expected = [F.cross_entropy(one, mixed, weight=weights, label_smoothing=smoothing) for one in logits]
    torch.testing.assert_close(cross_entropy(logits.log_softmax(-1), mixed, weights, smoothing), torch.stack(expected))


def focal_by_hand(logits: Tensor, target: Tensor, weights: list[float], smoothing: float, gamma: float) -> list[float]:
    """-sum_c w_c * y_c * (1 - p_c)^gamma * log p_c, a mean over the windows."""
    losses = []
    for head in logits.double().numpy():
        total = 0.0
        for scores, label in zip(head, target.double().numpy(), strict=True):
            p: NDArray[np.float64] = np.exp(scores) / np.exp(scores).sum()
            for c in range(4):
                y = (1 - smoothing) * label[c] + smoothing / 4
                total -= weights[c] * y * (1 - p[c]) ** gamma * np.log(p[c])
        losses.append(total / len(head))
    return losses


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_focal_loss_against_numpy(logits: Tensor, mixed: Tensor, gamma: float, smoothing: float) -> None:
    found = cross_entropy(logits.log_softmax(-1), mixed, WEIGHTS, smoothing, gamma)
    assert found.tolist() == pytest.approx(focal_by_hand(logits, mixed, WEIGHTS.tolist(), smoothing, gamma), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_has_a_gradient_where_a_prediction_is_certain(gamma: float) -> None:
    logits = torch.tensor([[[200.0, 0.0], [-200.0, 0.0]]], requires_grad=True)
    cross_entropy(logits.log_softmax(-1), torch.eye(2)[[0, 0]], gamma=gamma).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 0].tolist() == pytest.approx([0.0, 0.0], abs=1e-4)
    assert logits.grad[0, 1].tolist() == pytest.approx([-0.5, 0.5])  # that of the cross-entropy, a mean of two


def test_balanced_weights_are_windows_by_scenes_and_windows_of_the_scene() -> None:
    labels = [("bus",)] * 6 + [("park",)] * 3 + [("beach",)]
    weights = scene_weights("balanced", labels, ["beach", "bus", "park"], False)
    assert weights == pytest.approx({"beach": 10 / 3, "bus": 10 / 18, "park": 10 / 9})
    assert weights is not None
    assert sum(weights[label] for (label,) in labels) == pytest.approx(10)  # the mean weight of a window is 1


def test_scenes_that_are_not_named_have_the_weight_one() -> None:
    assert scene_weights({"bus": 3.0}, [], ["beach", "bus"], False) == {"beach": 1.0, "bus": 3.0}
    assert scene_weights(None, [], ["beach", "bus"], False) is None


def test_weights_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"class_weights names is 'buss'.*bus"):
        scene_weights({"buss": 1.0}, [], ["beach", "bus"], False)
    with pytest.raises(ConfigError, match="every scene the weight 0"):
        scene_weights({"bus": 0.0, "beach": 0.0}, [], ["beach", "bus"], False)
    with pytest.raises(DataError, match="no clips of beach to train on"):
        scene_weights("balanced", [("bus",)], ["beach", "bus"], False)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("recipe.loss.class_weights={bus: -1}", r"recipe\.loss\.class_weights"),
        ("recipe.loss.class_weights=equal", r"recipe\.loss\.class_weights"),
        ("recipe.loss.label_smoothing=1", r"recipe\.loss\.label_smoothing"),
        ("recipe.loss.focal_gamma=-1", r"recipe\.loss\.focal_gamma"),
        ("recipe.sampling=even", r"recipe\.sampling"),
        ("recipe.averaging=mean", r"recipe\.averaging"),
    ],
)
def test_values_out_of_range_are_refused(stage: Stage, override: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        stage("audio", override)


def test_the_checkpoint_keeps_the_weights_as_numbers_and_scores_stay_plain(stage: Stage) -> None:
    options: dict[str, Any] = {"plain": [], "weighted": ["recipe.loss.class_weights={bus: 0.25}"]}
    runs = {
        name: train(stage("audio", "trainer.max_epochs=1", "recipe.optimizer.lr=1e-30", *own))
        for name, own in options.items()
    }
    plain, weighted = runs["plain"], runs["weighted"]
    assert plain is not None
    assert weighted is not None
    kept = load_checkpoint(str(weighted)).recipe["loss"]["class_weights"]
    assert {scene: weight for scene, weight in kept.items() if weight != 1} == {"bus": 0.25}
    assert len(kept) == 10
    rows = [dict(zip(*(line.split(",") for line in _lines(run)), strict=True)) for run in (plain, weighted)]
    assert rows[0]["validation/macro_log_loss"] == rows[1]["validation/macro_log_loss"]
    assert float(rows[1]["train/loss"]) < 0.8 * float(rows[0]["train/loss"])


def _lines(run: Any) -> list[str]:
    lines: list[str] = (run / "metrics.csv").read_text().splitlines()
    return lines


def labelled() -> tuple[torch.Tensor, torch.Tensor]:
    """(head, batch, scene) logits and (batch, scene) labels."""
    generator = torch.Generator().manual_seed(5)
    return 3 * torch.randn(2, 6, 4, generator=generator), (torch.rand(6, 4, generator=generator) < 0.4).float()


def test_the_loss_of_multi_label_data_is_torchs() -> None:
    logits, target = labelled()
    weights = torch.tensor([0.5, 1.0, 3.0, 2.0])
    for options, given in (({}, {}), ({"pos_weight": weights}, {"weights": weights})):
        expected = [F.binary_cross_entropy_with_logits(one, target, **options) for one in logits]
        torch.testing.assert_close(binary_cross_entropy(logits, target, **given), torch.stack(expected))
    smoothed = [F.binary_cross_entropy_with_logits(one, 0.9 * target + 0.05) for one in logits]
    torch.testing.assert_close(binary_cross_entropy(logits, target, smoothing=0.1), torch.stack(smoothed))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_focal_loss_of_multi_label_data_is_torchvisions(gamma: float) -> None:
    logits, target = labelled()
    expected = [sigmoid_focal_loss(one, target, alpha=-1, gamma=gamma, reduction="mean") for one in logits]
    torch.testing.assert_close(binary_cross_entropy(logits, target, gamma=gamma), torch.stack(expected))


def test_balanced_weights_of_multi_label_data_are_clips_without_by_clips_with() -> None:
    labels: list[tuple[str, ...]] = [("bus", "park"), ("bus",), ("bus",), ()]
    assert scene_weights("balanced", labels, ["bus", "park"], True) == pytest.approx({"bus": 1 / 3, "park": 3.0})
    with pytest.raises(DataError, match="no clips of beach to train on"):
        scene_weights("balanced", labels, ["beach", "bus"], True)

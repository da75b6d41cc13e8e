"""Probabilities of one scene of all, and of each by itself, against the same in 64 bits and by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sedcrnn.errors import ConfigError
from sedcrnn.networks.absence import average
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.probabilities import log_complement, mean_of_probabilities, scaled
from sedcrnn.networks.visual import VisualNetwork


def sigmoid(values: Any) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.asarray(values, np.float64)))


@pytest.mark.parametrize("probability", [1e-12, 1e-3, 0.3, 0.5, 0.9, 1 - 1e-6])
def test_the_complement_is_exact_near_both_ends(probability: float) -> None:
    found = log_complement(torch.tensor(probability, dtype=torch.float64).log())
    assert found.item() == pytest.approx(np.log1p(-probability), rel=1e-9)


@torch.no_grad()
def test_the_mean_of_probabilities_has_the_logits_that_give_it() -> None:
    logits = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)) * 4
    found = mean_of_probabilities(logits, 1, multi_label=True)
    np.testing.assert_allclose(sigmoid(found), sigmoid(logits).mean(1), rtol=1e-6)
    one_of_all = mean_of_probabilities(logits, 1, multi_label=False)
    np.testing.assert_allclose(one_of_all.exp(), logits.softmax(-1).mean(1), rtol=1e-6)


def test_sure_logits_keep_their_digits_and_gradients() -> None:
    logits = torch.tensor([[[30.0, -30.0]], [[32.0, -28.0]]], requires_grad=True)
    found = mean_of_probabilities(logits, 0, multi_label=True)
    # 1 - p, of which 32 bits would leave nothing: the mean of exp(-30) and exp(-32).
    np.testing.assert_allclose(found.detach(), [[-np.log((np.exp(-30) + np.exp(-32)) / 2),
                                                 np.log((np.exp(-30) + np.exp(-28)) / 2)]], rtol=1e-6)  # fmt: skip
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.sum(0).tolist() == [[pytest.approx(1), pytest.approx(1)]]


def test_a_temperature_divides_the_logits() -> None:
    logits = torch.linspace(-20, 20, 21, dtype=torch.float64)[:, None]
    found = scaled(torch.nn.functional.logsigmoid(logits), 2.5, multi_label=True)
    np.testing.assert_allclose(found.exp(), sigmoid(logits / 2.5), rtol=1e-7)


@torch.no_grad()
@pytest.mark.parametrize("of_logarithms", [False, True])
def test_the_average_of_heads_is_that_of_the_heads_that_are_there(of_logarithms: bool) -> None:
    logits = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(1))
    there = torch.ones(3, 6, dtype=torch.bool)
    there[0, 2] = there[1, 4] = there[2, 4] = False
    found = sigmoid(average(logits, of_logarithms, there, multi_label=True))
    for window in range(6):
        own = sigmoid(logits[there[:, window], window])
        expected = own.mean(0)
        if of_logarithms:
            yes, no = np.exp(np.log(own).mean(0)), np.exp(np.log(1 - own).mean(0))
            expected = yes / (yes + no)
        np.testing.assert_allclose(found[window], expected, rtol=1e-5)
    whole = average(logits, of_logarithms, None, multi_label=True)
    np.testing.assert_allclose(
        whole, average(logits, of_logarithms, torch.ones_like(there), multi_label=True), rtol=1e-5, atol=1e-6
    )


def fusion(multi_label: bool = True, **options: Any) -> FusionNetwork:
    torch.manual_seed(0)
    audio = AudioNetwork(scenes=4, filters=(4, 6), frame_pooling=(2, 2), multi_label=multi_label)
    visual = VisualNetwork(scenes=4, backbone="test_resnet", hidden=3, multi_label=multi_label)
    return FusionNetwork(audio, visual, hidden=6, **options).eval()


@torch.no_grad()
def test_late_fusion_reads_the_probability_of_each_scene_by_itself() -> None:
    network = fusion()
    spectrogram, frames = torch.rand(2, 3, 64, 50), torch.randint(0, 256, (2, 5, 3, 32, 32), dtype=torch.uint8)
    heads = network.heads(spectrogram, frames)
    read = torch.cat([heads[name].sigmoid() for name in ("early", "audio", "visual")], -1)
    assert network.late is not None
    torch.testing.assert_close(heads["late"], network.late(read))
    probabilities = network.log_probabilities(heads["late"]).exp()
    torch.testing.assert_close(probabilities, heads["late"].sigmoid())
    assert (probabilities.sum(-1) - 1).abs().min() > 0.01
    visual = network.visual
    steps = visual.dense(visual.gru(visual.embed(frames))[0])
    torch.testing.assert_close(heads["visual"].sigmoid(), steps.sigmoid().mean(1))


@torch.no_grad()
def test_what_is_missing_is_as_likely_as_not() -> None:
    network = fusion(missing="zero")
    spectrogram = torch.rand(2, 3, 64, 50)
    heads = network.heads_of_one(spectrogram=spectrogram)
    assert heads["visual"].sigmoid().eq(0.5).all()
    assert network.late is not None
    read = [heads["early"].sigmoid(), heads["audio"].sigmoid(), torch.full((2, 4), 0.5)]
    torch.testing.assert_close(heads["late"], network.late(torch.cat(read, -1)))


def test_parts_of_different_data_are_refused() -> None:
    audio = AudioNetwork(scenes=4, filters=(4, 6), frame_pooling=(2, 2), multi_label=True)
    with pytest.raises(
        ConfigError, match=r"4 scenes, of which a second has any number, and the visual network 4 scenes"
    ):
        FusionNetwork(audio, VisualNetwork(scenes=4, backbone="test_resnet"))

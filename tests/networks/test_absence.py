"""Windows that lack their audio or their video: what answers, what is learnt, and what is never looked at."""

import copy
import math

import pytest
import torch

from sedcrnn.networks.absence import average
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.visual import VisualNetwork

PRESENT = torch.tensor([[True, True], [False, True], [True, False]])


def make(missing: str, early: str = "gru", late: str = "learned") -> FusionNetwork:
    torch.manual_seed(0)
    audio = AudioNetwork(scenes=4, filters=(4, 6), frame_pooling=(2, 2))
    visual = VisualNetwork(scenes=4, backbone="resnet18", hidden=3)
    network = FusionNetwork(audio, visual, hidden=6, early=early, late=late, missing=missing)
    with torch.no_grad():
        for name, values in network.named_parameters():
            if name.startswith("absent") or name.endswith("dense.weight"):
                values.normal_()
    return network


@torch.no_grad()
@pytest.mark.parametrize("early", ["gru", "gated", "cross_attention", "none"])
@pytest.mark.parametrize("late", ["learned", "average"])
@pytest.mark.parametrize("missing", ["subnetwork", "zero", "learned"])
def test_complete_windows_are_answered_as_if_nothing_could_be_missing(one_second, missing, early, late):
    network = make(missing, early, late).eval()
    plain = network.heads(**one_second)
    for present in (torch.ones(3, 2, dtype=torch.bool), PRESENT):
        for head, logits in network.heads(**one_second, present=present).items():
            complete = present.all(1)
            torch.testing.assert_close(logits[complete], plain[head][complete])


@torch.no_grad()
def test_by_default_the_other_subnetwork_answers_alone(one_second):
    network = make("subnetwork").eval()
    plain, heads = network.heads(**one_second), network.heads(**one_second, present=PRESENT)
    for head in ("early", "late"):
        torch.testing.assert_close(heads[head][1].softmax(-1), plain["visual"][1].softmax(-1))
        torch.testing.assert_close(heads[head][2].softmax(-1), plain["audio"][2].softmax(-1))
    assert heads["audio"][1].tolist() == heads["visual"][2].tolist() == [0.0] * 4  # equal probabilities


@torch.no_grad()
@pytest.mark.parametrize("missing", ["zero", "learned"])
def test_what_stands_for_a_modality_is_fused_in_its_place(one_second, missing):
    network = make(missing).eval()
    encoded = network.encode(**one_second)
    steps, logits = network.absent["audio"].steps, network.absent["audio"].logits
    assert (steps.norm() > 0) == (missing == "learned")
    encoded["audio_steps"][1], encoded["audio"][1] = steps, logits
    encoded["visual_steps"][2], encoded["visual"][2] = network.absent["visual"].steps, network.absent["visual"].logits
    expected, heads = network.decode(**encoded), network.heads(**one_second, present=PRESENT)
    for head in ("early", "late"):
        torch.testing.assert_close(heads[head], expected[head])
    assert [name for name, _ in network.named_parameters() if name.startswith("absent")] == (
        [f"absent.{part}.{of}" for part in ("audio", "visual") for of in ("steps", "logits")]
        if missing == "learned"
        else []
    )


@pytest.mark.parametrize("missing", ["subnetwork", "zero", "learned"])
def test_what_is_missing_is_never_looked_at(one_second, missing):
    network = make(missing).train()
    other = copy.deepcopy(network)
    garbage = {name: values.clone() for name, values in one_second.items()}
    garbage["spectrogram"][1], garbage["frames"][2] = math.nan, 255
    answers = []
    for each, given in ((network, one_second), (other, garbage)):
        torch.manual_seed(1)  # dropout
        answers.append(each.heads(**given, present=PRESENT))
    heads, theirs = answers
    for head, logits in heads.items():
        assert torch.equal(logits, theirs[head])
    for one, (name, two) in zip(network.buffers(), other.named_buffers(), strict=True):
        assert torch.equal(one, two), name  # statistics of batch normalisation among them
    sum(logits.sum() for logits in theirs.values()).backward()
    assert all(values.grad is None or values.grad.isfinite().all() for values in other.parameters())


@pytest.mark.parametrize("has_audio", [False, True])
def test_every_batch_gives_every_parameter_a_gradient(one_second, has_audio):
    network = make("learned").train()
    given = {} if has_audio else {"present": torch.tensor([[False, True]] * 3)}
    sum(logits.sum() for logits in network.heads(**one_second, **given).values()).backward()
    assert [name for name, values in network.named_parameters() if values.grad is None] == []
    assert (network.audio.dense.weight.grad.abs().sum() > 0) == has_audio
    assert (network.absent["audio"].steps.grad.abs().sum() > 0) == (not has_audio)


@torch.no_grad()
@pytest.mark.parametrize("missing", ["subnetwork", "zero", "learned"])
def test_one_input_alone_is_answered_like_a_batch_that_says_so(one_second, missing):
    network = make(missing).eval()
    for name, column in (("spectrogram", 0), ("frames", 1)):
        present = torch.zeros(3, 2, dtype=torch.bool)
        present[:, column] = True
        expected = network.heads(**one_second, present=present)
        for head, logits in network.heads_of_one(**{name: one_second[name]}).items():
            torch.testing.assert_close(logits, expected[head])


def test_an_average_is_of_the_predictions_that_there_are():
    one, two = torch.tensor([0.8, 0.2]), torch.tensor([0.4, 0.6])
    values = torch.stack([torch.stack([one, one]), torch.stack([two, two])]).log()
    there = torch.tensor([[True, True], [True, False]])
    torch.testing.assert_close(average(values, False, there).exp(), torch.tensor([[0.6, 0.4], [0.8, 0.2]]))
    geometric = (one * two).sqrt() / (one * two).sqrt().sum()
    torch.testing.assert_close(average(values, True, there).exp(), torch.stack([geometric, one]))

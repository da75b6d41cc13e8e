import pytest
import torch

from sedcrnn.errors import ConfigError
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.summary import count_parameters
from sedcrnn.networks.visual import VisualNetwork


def test_parameters_are_the_papers(paper_network):
    assert count_parameters(paper_network) == (15_414_804, 15_414_804, 15_416_148)
    added = [paper_network.gru, paper_network.early, paper_network.late]
    assert [count_parameters(part).total for part in added] == [271_104, 1_290, 310]
    assert count_parameters(*added).total == 272_704


def test_parameters_that_each_head_needs(paper_network):
    counted = {head: count_parameters(*paper_network.parts_of(head)).keras for head in paper_network.head_names}
    assert counted == {
        "audio": 323_274,
        "visual": 14_820_170,
        "early": 323_274 - 1_290 + 14_714_688 + 271_104 + 1_290,  # without the subnetworks' classifiers
        "late": 15_416_148,
    }
    assert count_parameters(*paper_network.audio.parts_of("audio")).keras == 323_274
    with pytest.raises(KeyError):
        paper_network.audio.parts_of("late")


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 2])
def test_heads_at_full_size(paper_network, batch):
    spectrogram = torch.rand(batch, 3, 64, 50)
    frames = torch.randint(0, 256, (batch, 5, 3, 32, 32), dtype=torch.uint8)
    heads = paper_network.heads(spectrogram=spectrogram, frames=frames)
    assert tuple(heads) == paper_network.head_names == ("audio", "visual", "early", "late")
    assert all(logits.shape == (batch, 10) for logits in heads.values())
    torch.testing.assert_close(heads["audio"], paper_network.audio(spectrogram))
    torch.testing.assert_close(heads["visual"], paper_network.visual(frames))


@torch.no_grad()
def test_heads_forward_and_encoded_values_agree(small_network, one_second):
    network = small_network.eval()
    heads = network.heads(**one_second)
    again = network.decode(**network.encode(**one_second))
    for head, logits in heads.items():
        torch.testing.assert_close(logits, again[head], atol=0, rtol=0)
    torch.testing.assert_close(network(**one_second), heads["late"], atol=0, rtol=0)
    torch.testing.assert_close(network(*one_second.values()), heads["late"], atol=0, rtol=0)


def from_maps(network, audio_map, visual_steps):
    return network.decode(**network.encode_sound(audio_map), **network.encode_picture(visual_steps))


@torch.no_grad()
def test_early_fusion_by_its_steps(small_network):
    network = small_network.eval()
    audio, visual = torch.randn(2, 6, 8, 12), torch.randn(2, 5, 512)
    over_bands = audio.mean(2)
    pooled = torch.stack([over_bands[..., 2 * step : 2 * step + 3].mean(-1) for step in range(5)], dim=1)
    states, _ = network.gru(torch.cat([pooled, visual], dim=2))
    expected = states.mean(1) @ network.early.weight.T + network.early.bias
    torch.testing.assert_close(from_maps(network, audio, visual)["early"], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("head", "place"), [("early", 0), ("audio", 1), ("visual", 2)])
def test_late_fusion_reads_early_audio_visual_in_that_order(small_network, one_second, head, place):
    network = small_network.eval()
    for parameter in (network.early.weight, network.audio.dense.weight, network.visual.dense.weight):
        parameter.normal_()  # predictions that differ between examples
    network.late.weight.zero_()
    network.late.weight[:, 4 * place : 4 * place + 4] = torch.eye(4)
    network.late.bias.zero_()
    heads = network.heads(**one_second)
    torch.testing.assert_close(heads["late"], heads[head].softmax(-1))
    others = [name for name in ("early", "audio", "visual") if name != head]
    assert all((heads["late"] - heads[other].softmax(-1)).abs().max() > 1e-3 for other in others)


def test_gradients_reach_every_parameter(small_network, one_second):
    small_network(**one_second).square().sum().backward()
    without = [name for name, parameter in small_network.named_parameters() if parameter.grad is None]
    assert without == []


def test_unequal_time_steps_are_refused_with_both_numbers(small_network):
    with pytest.raises(ConfigError, match="gives 5 time steps, for 4 video frames"):
        from_maps(small_network, torch.rand(1, 6, 8, 12), torch.rand(1, 4, 512))
    with pytest.raises(ConfigError, match="has 2 pooled frames, and 3 make a time step"):
        from_maps(small_network, torch.rand(1, 6, 8, 2), torch.rand(1, 5, 512))


def test_unequal_scenes_are_refused_with_both_numbers():
    with pytest.raises(ConfigError, match="4 scenes and the visual network 5"):
        FusionNetwork(AudioNetwork(scenes=4), VisualNetwork(scenes=5, backbone="resnet18"))

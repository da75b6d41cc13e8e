import pytest
import torch

from sedcrnn.errors import ConfigError
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.profile import count_parameters


def test_parameters_are_the_papers(paper_network):
    counted = count_parameters(paper_network.audio)
    assert counted == (321_930, 321_930, 323_274)
    assert count_parameters(paper_network.audio.dense).total == 1_290


@pytest.mark.parametrize("batch", [1, 2])
def test_shapes_are_the_papers(paper_network, batch):
    spectrogram = torch.rand(batch, 3, 64, 50)
    embedding = paper_network.audio.embed(spectrogram)
    assert embedding.shape == (batch, 128, 64, 12)
    assert paper_network.audio(spectrogram).shape == (batch, 10)


def test_figures_pooling_halves_the_frames_once_more():
    network = AudioNetwork(filters=(4, 4, 4), frame_pooling=(2, 2, 2))
    assert network.embed(torch.rand(1, 3, 8, 50)).shape == (1, 4, 8, 6)


def test_pooling_keeps_the_largest_of_two_frames():
    network = AudioNetwork(filters=(4,), frame_pooling=(2,)).eval()
    spectrogram = torch.rand(1, 3, 8, 7)
    with torch.no_grad():
        unpooled = network.blocks.block1(spectrogram)
        expected = torch.maximum(unpooled[..., 0:6:2], unpooled[..., 1:6:2])  # the odd last frame is dropped
        torch.testing.assert_close(network.embed(spectrogram), expected)


def test_logits_are_the_dense_layer_of_the_mean_over_band_and_frame(paper_network):
    embedding = torch.rand(2, 128, 64, 12)
    dense = paper_network.audio.dense
    expected = embedding.flatten(2).mean(-1) @ dense.weight.T + dense.bias
    torch.testing.assert_close(paper_network.audio.classify(embedding), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_steps_are_the_mean_over_bands_and_three_frames(paper_network):
    embedding = torch.rand(2, 128, 64, 12)
    steps = paper_network.audio.steps(embedding)
    assert torch.equal(steps, torch.nn.AvgPool1d(3, 2)(embedding.mean(-2)).transpose(1, 2))
    assert paper_network.audio.embedding == 128
    by_hand = embedding[:, :, :, 2:5].mean((-2, -1))
    torch.testing.assert_close(steps[:, 1], by_hand)


@torch.no_grad()
def test_what_may_be_kept_of_it_is_its_pooled_map(paper_network):
    spectrogram = torch.rand(2, 3, 64, 50)
    encoded = paper_network.audio.encode(spectrogram)
    assert {name: tuple(values.shape) for name, values in encoded.items()} == {"audio_embedding": (2, 128)}
    assert torch.equal(paper_network.audio.decode(**encoded)["audio"], paper_network.audio(spectrogram))


def test_heads_and_forward_agree(paper_network):
    spectrogram = torch.rand(2, 3, 64, 50)
    heads = paper_network.audio.heads(spectrogram=spectrogram)
    assert list(heads) == ["audio"]
    torch.testing.assert_close(paper_network.audio(spectrogram), heads["audio"], atol=0, rtol=0)


def test_a_pool_is_needed_for_each_block():
    with pytest.raises(ConfigError, match=r"3 filters \(4, 4, 4\) and 2 frame_pooling \(2, 2\)"):
        AudioNetwork(filters=(4, 4, 4), frame_pooling=(2, 2))


def test_pre_activation_has_its_own_parameters_and_ends_with_normalisation_and_elu():
    network = AudioNetwork(activation_order="pre").eval()
    assert count_parameters(network) == (321_488, 321_488, 322_390)
    assert [type(layer) for layer in network.blocks][-2:] == [torch.nn.BatchNorm2d, torch.nn.ELU]
    assert network.embed(torch.rand(1, 3, 64, 50)).shape == (1, 128, 64, 12)
    assert network.embed(torch.rand(1, 3, 64, 50)).min() > -1  # as after an ELU


@pytest.mark.parametrize(
    ("recalibration", "parameters"),
    [("scse", 0), ("cse", 32 + 64 + 128), ("sse", 32**2 + 64**2 + 128**2), ("none", 21_504 + 224)],
)
def test_recalibration_takes_its_parameters_with_it(recalibration, parameters):
    network = AudioNetwork(recalibration=recalibration)
    assert count_parameters(network).keras == 323_274 - parameters


@torch.no_grad()
def test_pooling_of_the_last_map_may_be_its_maximum():
    network = AudioNetwork(filters=(4,), frame_pooling=(1,), pooling="max")
    embedding = torch.randn(2, 4, 3, 5)
    expected = embedding.flatten(2).max(-1).values @ network.dense.weight.T + network.dense.bias
    torch.testing.assert_close(network.classify(embedding), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recalibration": "scce"}, "recalibration is 'scce'.*nearest is 'scse'"),
        ({"activation_order": "prae"}, "activation order is 'prae'.*nearest is 'pre'"),
        ({"pooling": "averge"}, "pooling of the audio network is 'averge'.*nearest is 'average'"),
        ({"ratio": 33}, "ratio is 33.*from 1 to 32"),
        ({"ratio": 0}, "ratio is 0"),
    ],
)
def test_choices_that_do_not_exist_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        AudioNetwork(**arguments)

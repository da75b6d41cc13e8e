import pytest
import torch

from sedcrnn.errors import ConfigError
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.summary import count_parameters


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


def test_heads_and_forward_agree(paper_network):
    spectrogram = torch.rand(2, 3, 64, 50)
    heads = paper_network.audio.heads(spectrogram=spectrogram)
    assert list(heads) == ["audio"]
    torch.testing.assert_close(paper_network.audio(spectrogram), heads["audio"], atol=0, rtol=0)


def test_a_pool_is_needed_for_each_block():
    with pytest.raises(ConfigError, match=r"3 filters \(4, 4, 4\) and 2 frame_pooling \(2, 2\)"):
        AudioNetwork(filters=(4, 4, 4), frame_pooling=(2, 2))

"""Embeddings are what the classifiers see, whatever the network; the classifiers make the answers of them."""

import pytest
import torch
from torch import nn

from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.audio_encoder import AudioEncoderNetwork
from sedcrnn.networks.embeddings import embeddings_seen
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.visual import VisualNetwork


def fusion(audio: nn.Module | None = None, temporal: str = "gru", **options) -> FusionNetwork:
    torch.manual_seed(0)
    audio = audio or AudioNetwork(scenes=4, filters=(4, 6), frame_pooling=(2, 2))
    return FusionNetwork(
        audio, VisualNetwork(scenes=4, backbone="test_resnet", temporal=temporal, hidden=3), hidden=6, **options
    ).eval()


@torch.no_grad()
@pytest.mark.parametrize(("early", "size"), [("gru", 12), ("gated", 12), ("cross_attention", 24)])
def test_the_dense_layers_make_the_answers_of_them(one_second, early, size):
    network = fusion(early=early)
    with embeddings_seen(network) as seen:
        heads = network.heads(**one_second)
    assert {name: values.shape for name, values in seen.items()} == {
        "audio": (3, 6),
        "visual": (3, 6),
        "fused": (3, size),
    }
    torch.testing.assert_close(network.early.dense(seen["fused"]), heads["early"])
    torch.testing.assert_close(network.audio.dense(seen["audio"]), heads["audio"])
    steps = network.visual.gru(network.visual.embed(one_second["frames"]))[0]
    torch.testing.assert_close(seen["visual"], steps.mean(1))


@torch.no_grad()
@pytest.mark.parametrize("temporal", ["mean", "attention"])
def test_a_single_step_over_time_is_the_visual_embedding(one_second, temporal):
    network = fusion(temporal=temporal).visual
    with embeddings_seen(network) as seen:
        answer = network.heads(one_second["frames"])["visual"]
    torch.testing.assert_close(network.dense(seen["visual"]).log_softmax(-1), answer)


@torch.no_grad()
def test_a_timm_network_for_audio_gives_the_mean_of_its_steps(one_second):
    network = AudioEncoderNetwork(4, bands=8, backbone="test_resnet", image_height=32, image_width=160).eval()
    with embeddings_seen(network) as seen:
        network(one_second["spectrogram"])
    torch.testing.assert_close(seen["audio"], network.embed(one_second["spectrogram"]).mean(1))


@torch.no_grad()
def test_of_one_modality_there_are_the_embeddings_of_what_ran(one_second):
    network = fusion(missing="zero")
    with embeddings_seen(network) as seen:
        heads = network.heads_of_one(spectrogram=one_second["spectrogram"])
    assert set(seen) == {"audio", "fused"}
    torch.testing.assert_close(network.early.dense(seen["fused"]), heads["early"])


class Added(nn.Module):
    """An early fusion stage of one's own, without a dense layer."""

    def __init__(self, audio: int, visual: int, hidden: int, scenes: int) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(audio, scenes), nn.Linear(visual, scenes)

    def forward(self, audio_steps, visual_steps):
        return self.one(audio_steps.mean(1)) + self.other(visual_steps.mean(1))


def test_an_early_stage_of_ones_own_needs_a_layer_named_dense():
    assert set(fusion(early=Added).classifiers) == {"audio", "visual"}
    assert set(fusion(early="none", late="average").classifiers) == {"audio", "visual"}


@torch.no_grad()
def test_nothing_is_collected_any_more_afterwards(one_second):
    network = fusion()
    with embeddings_seen(network) as seen:
        pass
    network(**one_second)
    assert seen == {}

"""Outputs of the same networks in Keras 3.15 (TensorFlow 2.21), written from the paper's description: conv, BN, ELU,
GRU (reset_after) and dense layers of Keras with the same weights, their gates reordered and kernels transposed."""

import torch

from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.visual import VisualNetwork
from tests.waves import wave

KERAS_AUDIO = [[0.3204450, 0.3382939, 0.3412611], [0.3135654, 0.3374144, 0.3490201]]
KERAS_HEADS = {
    "audio": [[0.3088801, 0.3000489, 0.3910710], [0.3040795, 0.3024373, 0.3934833]],
    "visual": [[0.2781947, 0.3135558, 0.4082495], [0.2885236, 0.3232446, 0.3882319]],
    "early": [[0.2874074, 0.3066702, 0.4059224], [0.2164119, 0.4479575, 0.3356305]],
    "late": [[0.3026357, 0.4353675, 0.2619968], [0.2983848, 0.4415398, 0.2600754]],
}


def fill_with_waves(network):
    """Give every weight and BN statistic outside the encoder a value known from its place in the sorted names."""
    state = network.state_dict()
    names = sorted(name for name in state if "encoder" not in name and not name.endswith("tracked"))
    for phase, name in enumerate(names):
        values = wave(tuple(state[name].shape), phase)
        state[name].copy_(1 + values**2 if name.endswith("running_var") else 0.5 * values)


def parity_network():
    audio = AudioNetwork(scenes=3, channels=2, filters=(4, 6), frame_pooling=(2, 1))
    network = FusionNetwork(audio, VisualNetwork(scenes=3, backbone="resnet18", hidden=3), hidden=2).eval()
    fill_with_waves(network)
    return network


@torch.no_grad()
def test_audio_network_gives_keras_numbers():
    probabilities = parity_network().audio(2 * wave((2, 2, 6, 9), 0.5)).softmax(-1)
    torch.testing.assert_close(probabilities, torch.tensor(KERAS_AUDIO), atol=2e-6, rtol=0)


@torch.no_grad()
def test_fusion_heads_give_keras_numbers():
    network = parity_network()
    sound, picture = 2 * wave((2, 6, 5, 8), 0.3), wave((2, 3, 512), 0.9)
    heads = network.decode(**network.encode_audio(sound), **network.encode_video(picture))
    for name, expected in KERAS_HEADS.items():
        torch.testing.assert_close(heads[name].softmax(-1), torch.tensor(expected), atol=2e-6, rtol=0)
    assert tuple(heads) == tuple(KERAS_HEADS)

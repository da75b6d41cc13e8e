"""The networks at full size, built once: most tests only read them."""

import pytest
import torch

from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.visual import VisualNetwork


@pytest.fixture(scope="session")
def paper_network():
    """The fusion network of the paper in evaluation mode. Shared: not to be changed."""
    torch.manual_seed(0)
    return FusionNetwork(AudioNetwork(), VisualNetwork()).eval()


@pytest.fixture
def small_network():
    """A fusion network of the same structure that is quick to run, in training mode: 4 scenes, pools (2, 2)."""
    torch.manual_seed(0)
    audio = AudioNetwork(scenes=4, filters=(4, 6), frame_pooling=(2, 2))
    return FusionNetwork(audio, VisualNetwork(scenes=4, backbone="resnet18", hidden=3), hidden=5)


@pytest.fixture
def one_second():
    """Three examples of one second: spectrograms (8 band, 50 frame) and frames of 32 x 32."""
    generator = torch.Generator().manual_seed(1)
    return {
        "spectrogram": torch.rand(3, 3, 8, 50, generator=generator) * 2 - 1,
        "frames": torch.randint(0, 256, (3, 5, 3, 32, 32), generator=generator, dtype=torch.uint8),
    }

"""Spectrogram and frames -> embeddings -> early fusion (GRU) -> late fusion (dense on all three predictions)."""

import torch
from torch import Tensor, nn

from sedcrnn.errors import ConfigError
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.initialisation import glorot
from sedcrnn.networks.visual import VisualNetwork

# Average pool over the audio map's frames: 12 frames become 5 steps, one for each video frame of a second.
POOL_SIZE, POOL_STRIDE = 3, 2


class FusionNetwork(SceneNetwork):
    """Two-stage fusion of two ready subnetworks (paper.md, "Two-stage fusion"; 272,704 parameters more).

    Args:
        audio: audio subnetwork, trained or fresh.
        visual: visual subnetwork, trained or fresh.
        hidden: GRU units per direction of the early fusion.

    Raises:
        ConfigError: the subnetworks know different numbers of scenes.
    """

    inputs = ("spectrogram", "frames")
    head_names = ("audio", "visual", "early", "late")
    encoded = ("audio_steps", "visual_steps", "audio", "visual")
    encoding_parts = ("audio", "visual")

    def __init__(self, audio: AudioNetwork, visual: VisualNetwork, hidden: int = 64) -> None:
        super().__init__()
        if audio.scenes != visual.scenes:
            raise ConfigError(
                f"The audio network has {audio.scenes} scenes and the visual network {visual.scenes}",
                "Both have the same scenes in the same order",
                "Train both on the same data set",
            )
        self.scenes = audio.scenes
        self.audio, self.visual = audio, visual
        self.pool = nn.AvgPool1d(POOL_SIZE, POOL_STRIDE)
        joint = audio.dense.in_features + visual.encoder.embedding
        self.gru = glorot(nn.GRU(joint, hidden, batch_first=True, bidirectional=True))
        self.early = glorot(nn.Linear(2 * hidden, self.scenes))
        self.late = glorot(nn.Linear(3 * self.scenes, self.scenes))

    def encode(self, spectrogram: Tensor, frames: Tensor) -> dict[str, Tensor]:
        """(batch, channel, band, frame) and (batch, time, channel, height, width) -> what the subnetworks make of them:
        their embeddings per time step, and their predictions."""
        return {**self.encode_sound(self.audio.embed(spectrogram)), **self.encode_picture(self.visual.embed(frames))}

    def encode_sound(self, audio_map: Tensor) -> dict[str, Tensor]:
        """(batch, filter, band, pooled frame) -> `audio_steps` (batch, time, filter) and `audio` logits.

        Raises:
            ConfigError: a map of fewer frames than a time step takes.
        """
        by_frame = audio_map.mean(-2)
        if by_frame.shape[-1] < POOL_SIZE:
            raise _unaligned(f"has {by_frame.shape[-1]} pooled frames, and {POOL_SIZE} make a time step")
        return {"audio_steps": self.pool(by_frame).transpose(1, 2), "audio": self.audio.classify(audio_map)}

    def encode_picture(self, visual_steps: Tensor) -> dict[str, Tensor]:
        """(batch, time, embedding) -> the same as `visual_steps`, and `visual` log-probabilities."""
        return {"visual_steps": visual_steps, "visual": self.visual.classify(visual_steps)}

    def decode(self, audio_steps: Tensor, visual_steps: Tensor, audio: Tensor, visual: Tensor) -> dict[str, Tensor]:
        """What the subnetworks made of sound and picture -> {head: (batch, scene) logits}.

        `audio`, `early` and `late` are logits, `visual` log-probabilities, which are logits too.

        Raises:
            ConfigError: not as many time steps of one as of the other.
        """
        if audio_steps.shape[1] != visual_steps.shape[1]:
            raise _unaligned(f"gives {audio_steps.shape[1]} time steps, for {visual_steps.shape[1]} video frames")
        states, _ = self.gru(torch.cat([audio_steps, visual_steps], dim=-1))
        early = self.early(states.mean(1))
        predictions = [logits.float().softmax(-1) for logits in (early, audio, visual)]
        return {"audio": audio, "visual": visual, "early": early, "late": self.late(torch.cat(predictions, -1))}

    def parts_of(self, head: str) -> list[nn.Module]:
        """The modules that a head's prediction needs; early fusion does without the subnetworks' classifiers."""
        parts: dict[str, list[nn.Module]] = {
            "audio": [self.audio],
            "visual": [self.visual],
            "early": [self.audio.blocks, self.visual.encoder, self.gru, self.early],
            "late": [self],
        }
        return parts[head]


def _unaligned(found: str) -> ConfigError:
    return ConfigError(
        f"The audio network's map {found}",
        "Early fusion needs as many steps of sound as of picture: 50 frames and the pools (2, 2, 1) give 5",
        "Change the audio network's frame_pooling, or the frame rate or length of the features",
    )

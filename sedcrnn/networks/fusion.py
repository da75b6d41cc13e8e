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

    def embed(self, spectrogram: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """The subnetworks' embeddings, (batch, filter, band, pooled frame) and (batch, time, embedding)."""
        return self.audio.embed(spectrogram), self.visual.embed(frames)

    def from_embeddings(self, audio_embedding: Tensor, visual_embedding: Tensor) -> dict[str, Tensor]:
        """Embeddings -> {head: (batch, scene) logits}: all that `heads` does after `embed`.

        Raises:
            ConfigError: the audio map does not pool to as many steps as there are frames.
        """
        audio, visual = self.audio.classify(audio_embedding), self.visual.classify(visual_embedding)
        states, _ = self.gru(self._aligned(audio_embedding, visual_embedding))
        early = self.early(states.mean(1))
        predictions = [logits.float().softmax(-1) for logits in (early, audio, visual)]
        return {"audio": audio, "visual": visual, "early": early, "late": self.late(torch.cat(predictions, -1))}

    def _aligned(self, audio_embedding: Tensor, visual_embedding: Tensor) -> Tensor:
        """Both embeddings side by side, (batch, time, filter + embedding)."""
        frames, time = audio_embedding.shape[-1], visual_embedding.shape[1]
        steps = max(0, (frames - POOL_SIZE) // POOL_STRIDE + 1)
        if steps != time:
            raise ConfigError(
                f"The audio network's {frames} pooled frames give {steps} time steps, for {time} video frames",
                "Early fusion needs as many of one as of the other: 50 frames and the pools (2, 2, 1) give 5 steps",
                "Change the audio network's frame_pooling, or the frame rate or length of the features",
            )
        audio = self.pool(audio_embedding.mean(-2)).transpose(1, 2)
        return torch.cat([audio, visual_embedding], dim=-1)

    def heads(self, spectrogram: Tensor, frames: Tensor) -> dict[str, Tensor]:
        """(batch, channel, band, frame) and (batch, time, channel, height, width) -> {head: (batch, scene) logits}.

        `audio`, `early` and `late` are logits, `visual` log-probabilities, which are logits too.
        """
        return self.from_embeddings(*self.embed(spectrogram, frames))

    def parts_of(self, head: str) -> list[nn.Module]:
        """The modules that a head's prediction needs; early fusion does without the subnetworks' classifiers."""
        parts: dict[str, list[nn.Module]] = {
            "audio": [self.audio],
            "visual": [self.visual],
            "early": [self.audio.blocks, self.visual.encoder, self.gru, self.early],
            "late": [self],
        }
        return parts[head]

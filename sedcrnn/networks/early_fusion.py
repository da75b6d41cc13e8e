"""Audio and visual embeddings -> one vector per second -> dense: early fusion by GRU, gates, attention or nothing more.

Each is a module that is built with the arguments of `GruFusion`, takes (batch, time, filter) and (batch, time,
embedding), and gives (batch, scene) logits. So is one of your own (docs/extending.md).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sedcrnn.errors import ConfigError
from sedcrnn.networks.initialisation import glorot

ATTENTION_HEADS = 4


class GruFusion(nn.Module):
    """The paper's: a bidirectional GRU on both steps side by side, and the mean of its states over time.

    `audio` and `visual` are the widths of the embeddings, `hidden` the GRU units per direction.
    """

    def __init__(self, audio: int, visual: int, hidden: int, scenes: int) -> None:
        super().__init__()
        self.gru = glorot(nn.GRU(audio + visual, hidden, batch_first=True, bidirectional=True))
        self.dense = glorot(nn.Linear(2 * hidden, scenes))

    def forward(self, audio_steps: Tensor, visual_steps: Tensor) -> Tensor:
        """(batch, time, filter) and (batch, time, embedding) -> (batch, scene) logits."""
        states, _ = self.gru(_side_by_side(audio_steps, visual_steps))
        logits: Tensor = self.dense(states.mean(1))
        return logits


class GatedFusion(nn.Module):
    """A gated multimodal unit (Arevalo et al. 2017, 1702.01992, its bimodal form) at each step, and the mean over time:
    tanh(W_a a) * z + tanh(W_v v) * (1 - z), where the gate z = sigmoid(W_z [a, v]); no biases, as published. `hidden`
    is half the number of units."""

    def __init__(self, audio: int, visual: int, hidden: int, scenes: int) -> None:
        super().__init__()
        self.audio = glorot(nn.Linear(audio, 2 * hidden, bias=False))
        self.visual = glorot(nn.Linear(visual, 2 * hidden, bias=False))
        self.gate = glorot(nn.Linear(audio + visual, 2 * hidden, bias=False))
        self.dense = glorot(nn.Linear(2 * hidden, scenes))

    def forward(self, audio_steps: Tensor, visual_steps: Tensor) -> Tensor:
        """(batch, time, filter) and (batch, time, embedding) -> (batch, scene) logits."""
        gate = torch.sigmoid(self.gate(_side_by_side(audio_steps, visual_steps)))
        fused = gate * torch.tanh(self.audio(audio_steps)) + (1 - gate) * torch.tanh(self.visual(visual_steps))
        logits: Tensor = self.dense(fused.mean(1))
        return logits


class CrossAttentionFusion(nn.Module):
    """Audio attends to video and video to audio, and the means over time of both: the crossmodal attention of Tsai et
    al. 2019 (1906.00295), one layer of four heads with residual and layer norm, without positions and feed-forward
    part. `hidden` is half the width of either attention."""

    def __init__(self, audio: int, visual: int, hidden: int, scenes: int) -> None:
        super().__init__()
        width = 2 * hidden
        if width % ATTENTION_HEADS:
            raise ConfigError(
                f"The fusion network's hidden is {hidden}",
                f"Cross attention is 2 * hidden wide, which its {ATTENTION_HEADS} heads share",
                "Choose an even number",
            )
        self.audio = glorot(nn.Linear(audio, width))
        self.visual = glorot(nn.Linear(visual, width))
        self.to_visual = glorot(nn.MultiheadAttention(width, ATTENTION_HEADS, batch_first=True))
        self.to_audio = glorot(nn.MultiheadAttention(width, ATTENTION_HEADS, batch_first=True))
        self.norm_audio, self.norm_visual = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dense = glorot(nn.Linear(2 * width, scenes))

    def forward(self, audio_steps: Tensor, visual_steps: Tensor) -> Tensor:
        """(batch, time, filter) and (batch, other time, embedding) -> (batch, scene) logits."""
        audio, visual = self.audio(audio_steps), self.visual(visual_steps)
        from_visual, _ = self.to_visual(audio, visual, visual, need_weights=False)
        from_audio, _ = self.to_audio(visual, audio, audio, need_weights=False)
        means = [self.norm_audio(audio + from_visual).mean(1), self.norm_visual(visual + from_audio).mean(1)]
        logits: Tensor = self.dense(torch.cat(means, -1))
        return logits


class LinearFusion(nn.Module):
    """The means over time of both embeddings side by side, and the dense layer alone: on frozen subnetworks, the linear
    probe of what they know. Nothing is `hidden`."""

    def __init__(self, audio: int, visual: int, hidden: int, scenes: int) -> None:
        super().__init__()
        self.dense = glorot(nn.Linear(audio + visual, scenes))

    def forward(self, audio_steps: Tensor, visual_steps: Tensor) -> Tensor:
        """(batch, time, filter) and (batch, other time, embedding) -> (batch, scene) logits."""
        logits: Tensor = self.dense(torch.cat([audio_steps.mean(1), visual_steps.mean(1)], -1))
        return logits


EARLY_FUSIONS: dict[str, Callable[..., nn.Module]] = {
    "gru": GruFusion,
    "gated": GatedFusion,
    "cross_attention": CrossAttentionFusion,
    "linear": LinearFusion,
}


def _side_by_side(audio_steps: Tensor, visual_steps: Tensor) -> Tensor:
    """(batch, time, filter) and (batch, time, embedding) -> (batch, time, filter + embedding)."""
    if audio_steps.shape[1] != visual_steps.shape[1]:
        raise unaligned(f"gives {audio_steps.shape[1]} time steps, for {visual_steps.shape[1]} video frames")
    return torch.cat([audio_steps, visual_steps], dim=-1)


def unaligned(found: str) -> ConfigError:
    """The error for an audio map whose columns cannot become the steps of the video."""
    return ConfigError(
        f"The audio network's map {found}",
        "Early fusion needs as many audio as video steps: 50 columns and the pools (2, 2, 1) give 5, and so does an "
        "image_width of 160 to an encoder that sees 32 pixels as one",
        "Change the audio network's frame_pooling or image_width, or the hop of the spectrogram",
    )

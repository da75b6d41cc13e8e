"""Steps of sound and of picture -> one vector per second -> dense: early fusion by GRU, gated units or cross attention.

Each is a module that takes (batch, time, filter) and (batch, time, embedding) and gives (batch, scene) logits.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sedcrnn.errors import ConfigError
from sedcrnn.networks.initialisation import glorot

ATTENTION_HEADS = 4


class GruFusion(nn.Module):
    """The paper's: a bidirectional GRU on both steps side by side, and the mean of its states over time.

    Args:
        audio: filters of a step of sound.
        visual: features of a step of picture.
        hidden: GRU units per direction.
        scenes: number of scenes.
    """

    def __init__(self, audio: int, visual: int, hidden: int, scenes: int) -> None:
        super().__init__()
        self.gru = glorot(nn.GRU(audio + visual, hidden, batch_first=True, bidirectional=True))
        self.dense = glorot(nn.Linear(2 * hidden, scenes))

    def forward(self, audio_steps: Tensor, visual_steps: Tensor) -> Tensor:
        """(batch, time, filter) and (batch, time, embedding) -> (batch, scene) logits.

        Raises:
            ConfigError: not as many time steps of one as of the other.
        """
        states, _ = self.gru(side_by_side(audio_steps, visual_steps))
        logits: Tensor = self.dense(states.mean(1))
        return logits


class GatedFusion(nn.Module):
    """A gated multimodal unit (Arevalo et al. 2017, 1702.01992, its bimodal form) at each step, and the mean over time:
    tanh(W_a a) * z + tanh(W_v v) * (1 - z), where the gate z = sigmoid(W_z [a, v]); no biases, as published.

    Args:
        audio: filters of a step of sound.
        visual: features of a step of picture.
        hidden: half the number of units, of which there are as many as states of a GRU with this `hidden`.
        scenes: number of scenes.
    """

    def __init__(self, audio: int, visual: int, hidden: int, scenes: int) -> None:
        super().__init__()
        self.sound = glorot(nn.Linear(audio, 2 * hidden, bias=False))
        self.picture = glorot(nn.Linear(visual, 2 * hidden, bias=False))
        self.gate = glorot(nn.Linear(audio + visual, 2 * hidden, bias=False))
        self.dense = glorot(nn.Linear(2 * hidden, scenes))

    def forward(self, audio_steps: Tensor, visual_steps: Tensor) -> Tensor:
        """(batch, time, filter) and (batch, time, embedding) -> (batch, scene) logits.

        Raises:
            ConfigError: not as many time steps of one as of the other.
        """
        gate = torch.sigmoid(self.gate(side_by_side(audio_steps, visual_steps)))
        fused = gate * torch.tanh(self.sound(audio_steps)) + (1 - gate) * torch.tanh(self.picture(visual_steps))
        logits: Tensor = self.dense(fused.mean(1))
        return logits


class CrossAttentionFusion(nn.Module):
    """Sound attends to picture and picture to sound, and the means over time of both: the crossmodal attention of
    Tsai et al. 2019 (1906.00295), one layer of four heads with residual and layer norm, without positions and
    feed-forward part.

    Args:
        audio: filters of a step of sound.
        visual: features of a step of picture.
        hidden: half the width of either attention, which is that of the states of a GRU with this `hidden`.
        scenes: number of scenes.

    Raises:
        ConfigError: a width that four heads cannot share.
    """

    def __init__(self, audio: int, visual: int, hidden: int, scenes: int) -> None:
        super().__init__()
        width = 2 * hidden
        if width % ATTENTION_HEADS:
            raise ConfigError(
                f"The fusion network's hidden is {hidden}",
                f"Cross attention is 2 * hidden wide, which its {ATTENTION_HEADS} heads share",
                "Choose an even number",
            )
        self.sound = glorot(nn.Linear(audio, width))
        self.picture = glorot(nn.Linear(visual, width))
        self.to_picture = glorot(nn.MultiheadAttention(width, ATTENTION_HEADS, batch_first=True))
        self.to_sound = glorot(nn.MultiheadAttention(width, ATTENTION_HEADS, batch_first=True))
        self.norm_sound, self.norm_picture = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dense = glorot(nn.Linear(2 * width, scenes))

    def forward(self, audio_steps: Tensor, visual_steps: Tensor) -> Tensor:
        """(batch, time, filter) and (batch, other time, embedding) -> (batch, scene) logits."""
        sound, picture = self.sound(audio_steps), self.picture(visual_steps)
        seen, _ = self.to_picture(sound, picture, picture, need_weights=False)
        heard, _ = self.to_sound(picture, sound, sound, need_weights=False)
        means = [self.norm_sound(sound + seen).mean(1), self.norm_picture(picture + heard).mean(1)]
        logits: Tensor = self.dense(torch.cat(means, -1))
        return logits


EARLY_FUSIONS: dict[str, Callable[[int, int, int, int], nn.Module]] = {
    "gru": GruFusion,
    "gated": GatedFusion,
    "cross_attention": CrossAttentionFusion,
}


def side_by_side(audio_steps: Tensor, visual_steps: Tensor) -> Tensor:
    """(batch, time, filter) and (batch, time, embedding) -> (batch, time, filter + embedding).

    Raises:
        ConfigError: not as many time steps of one as of the other.
    """
    if audio_steps.shape[1] != visual_steps.shape[1]:
        raise unaligned(f"gives {audio_steps.shape[1]} time steps, for {visual_steps.shape[1]} video frames")
    return torch.cat([audio_steps, visual_steps], dim=-1)


def unaligned(found: str) -> ConfigError:
    """The error for an audio map whose frames cannot become the steps of the picture."""
    return ConfigError(
        f"The audio network's map {found}",
        "Early fusion needs as many steps of sound as of picture: 50 frames and the pools (2, 2, 1) give 5",
        "Change the audio network's frame_pooling, or the frame rate or length of the features",
    )

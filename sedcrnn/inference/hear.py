"""The audio embeddings of a run by the functions of HEAR, the benchmark of audio representations.

    hear-validator sedcrnn.inference.hear -m runs/audio-s0-1a2b3c4d

The rules are those of https://hearbenchmark.com/hear-api.html (HEAR 2021). Sounds are mono; the front end makes of them
what it makes of mono files: two equal channels.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sedcrnn.errors import CheckpointError, ConfigError
from sedcrnn.features.feature import STEPS_PER_SECOND
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.inference.media_windows import build_features
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.embeddings import embeddings_seen
from sedcrnn.runs.checkpoints import load_checkpoint

HOP_COLUMNS = 2  # from one timestamp to the next: 40 ms of the paper's columns, and HEAR wants 50 ms at most
BATCH = 32  # windows of one second at a time


class HearModel(nn.Module):
    """An audio network behind its front end, as HEAR's functions take it.

    Attributes:
        sample_rate: in Hz, of the sounds that it takes.
        scene_embedding_size, timestamp_embedding_size: the size of its embedding, which both functions give.
    """

    def __init__(self, network: SceneNetwork, feature: Spectrogram) -> None:
        super().__init__()
        self.network, self.feature = network.eval().requires_grad_(False), feature
        self.sample_rate = feature.sample_rate
        silence = self._embedded(torch.full((1, self.columns, *self._column), -1.0))
        self.scene_embedding_size = self.timestamp_embedding_size = silence.shape[1]

    @property
    def columns(self) -> int:
        """Columns of the spectrogram in a window of one second."""
        return STEPS_PER_SECOND * self.feature.per_step

    @property
    def _column(self) -> tuple[int, int]:
        return self.feature.dimensions["channels"], self.feature.dimensions["bands"]

    def windows(self, sound: Tensor, before: int, after: int, hop: int) -> Iterator[Tensor]:
        """The embeddings (window, size), in batches, of windows of one second of a sound (sample,), with so many
        samples of its mirror image before and after it, `hop` columns from each to the next.

        A window is scaled by its own minimum and maximum, which silence at the edges would change and the mirror image
        does not.
        """
        padded = np.pad(sound.double().cpu().numpy(), (before, after), "reflect")
        stereo = np.stack([padded, padded])
        bank = self.feature.bank.columns([stereo], self.sample_rate, self.feature.hop, self.feature.layout)
        decibels = torch.from_numpy(self.feature.decoded(np.concatenate([*map(self.feature.encode, bank)])))
        # The last column needs a hop behind the sound's end, where there is nothing: the one before is repeated.
        wanted = round(padded.shape[0] / self.sample_rate / self.feature.hop)
        decibels = decibels[torch.arange(wanted).clamp_max(len(decibels) - 1)]
        cut = decibels.unfold(0, self.columns, hop).permute(0, 3, 1, 2)
        for batch in torch.split(cut, BATCH):
            yield self._embedded(batch)

    @torch.inference_mode()
    def _embedded(self, decibels: Tensor) -> Tensor:
        device = next(self.network.parameters()).device
        inputs = self.feature.network_input(decibels.contiguous().to(device))
        with embeddings_seen(self.network) as seen:
            self.network.heads(inputs)
        return seen["audio"].float()


def load_model(model_file_path: str = "") -> HearModel:
    """The audio network of a run folder or checkpoint, that inside a fusion network too.

    Raises:
        SedcrnnError: there is none, or it has no embedding named `audio`, or takes other inputs than spectrograms.
    """
    if not model_file_path:
        raise ConfigError("No model is named", "It is a run folder or a checkpoint", "Give its path")
    checkpoint = load_checkpoint(str(Path(model_file_path)))
    whole = checkpoint.build()
    network = whole.get_submodule("audio") if whole.kind == "fusion" and hasattr(whole, "audio") else whole
    if not isinstance(network, SceneNetwork) or len(network.inputs) != 1 or "audio" not in network.classifiers:
        raise CheckpointError(
            f"{checkpoint.path} has no audio network with an embedding",
            "HEAR's functions take an audio network of this package, alone or in a fusion network",
            "Name such a run",
        )
    feature = build_features(checkpoint.features, network.inputs)[network.inputs[0]]
    if not isinstance(feature, Spectrogram):
        raise CheckpointError(
            f"The network of {checkpoint.path} takes {type(feature).__name__}",
            "HEAR's functions make spectrograms of sounds in memory",
            "Name a run whose feature is a spectrogram",
        )
    return HearModel(network, feature)


def get_timestamp_embeddings(audio: Tensor, model: HearModel) -> tuple[Tensor, Tensor]:
    """Embeddings of one second about each timestamp, of which the first is the beginning of the sound.

    Args:
        audio: (sound, sample) in [-1, 1] at the model's rate, of any length.
        model: what `load_model` gave, on the device of the audio.

    Returns:
        Embeddings (sound, timestamp, size) and timestamps (sound, timestamp) in milliseconds, both float32 on the
        audio's device.
    """
    hop = HOP_COLUMNS * model.feature.hop  # s
    _check(audio)
    length = audio.shape[1] / model.sample_rate
    count = math.floor(length / hop + 1e-6) + 1
    half = model.sample_rate // 2
    # As many samples behind the end as the last window needs, and a column more.
    after = math.ceil((count - 1) * hop * model.sample_rate) + model.sample_rate - half - audio.shape[1]
    after += round(model.feature.hop * model.sample_rate)
    embeddings = torch.stack([torch.cat(list(model.windows(one, half, after, HOP_COLUMNS)))[:count] for one in audio])
    times = (torch.arange(count, dtype=torch.float64) * 1000 * hop).float()
    return embeddings.to(audio.device), times.expand(len(audio), count).clone().to(audio.device)


def get_scene_embeddings(audio: Tensor, model: HearModel) -> Tensor:
    """The mean of the embeddings of every second; the last, where it is not whole, is filled up with the mirror image.

    Args:
        audio, model: as for `get_timestamp_embeddings`.

    Returns:
        (sound, size) float32 on the audio's device.
    """
    _check(audio)
    missing = -audio.shape[1] % model.sample_rate
    embeddings = [torch.cat(list(model.windows(one, 0, missing, model.columns))).mean(0) for one in audio]
    return torch.stack(embeddings).to(audio.device)


def _check(audio: Tensor) -> None:
    if audio.ndim != 2 or 0 in audio.shape or not audio.is_floating_point():
        raise ConfigError(
            f"The audio is {audio.dtype} of the shape {tuple(audio.shape)}",
            "HEAR's functions take (sound, sample) of floating point, with one sample at least",
            "Give a batch of mono sounds of one length",
        )

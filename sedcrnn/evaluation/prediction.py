"""A network and a loader of windows -> log-probabilities of every head, per window and per clip."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from sedcrnn.clips import Clip
from sedcrnn.errors import ConfigError
from sedcrnn.files import atomic
from sedcrnn.networks import SceneNetwork

# How the windows of a clip become one decision.
AGGREGATOR = "mean of the windows' probabilities"


@dataclass(frozen=True)
class Predictions:
    """What a network says of each example.

    Attributes:
        clip: (example,) index of the clip in its fold.
        window: (example,) second of the clip, or -1 for a whole clip.
        scene: (example,) true class index.
        log_probabilities: head -> (example, scene).
    """

    clip: Tensor
    window: Tensor
    scene: Tensor
    log_probabilities: dict[str, Tensor]

    def per_clip(self) -> "Predictions":
        """One example per clip: the mean of its windows' probabilities."""
        clips, place = torch.unique(self.clip, return_inverse=True)
        count = torch.bincount(place)[:, None]

        def mean(values: Tensor) -> Tensor:
            sums = torch.zeros(len(clips), values.shape[-1], dtype=torch.float64)
            return (sums.index_add_(0, place, values.double().exp()) / count).log()

        scene = torch.zeros_like(clips).index_copy_(0, place, self.scene)
        heads = {head: mean(values) for head, values in self.log_probabilities.items()}
        return Predictions(clips, torch.full_like(clips, -1), scene, heads)


def check_device(device: str) -> None:
    """Refuse a device before anything is made for it.

    Raises:
        ConfigError: torch does not know it, or does not find it here.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for CUDA
        raise ConfigError(
            f"device is '{device}', which torch refuses: {str(error).splitlines()[0]}",
            "It is cpu, or e.g. cuda, cuda:1 or mps where there is one",
            "Set device=cpu, or another",
        ) from error


@torch.inference_mode()
def predict(network: SceneNetwork, loader: DataLoader[dict[str, Tensor]], device: str = "cpu") -> Predictions:
    """Run a network in evaluation mode over all windows of a loader, in order."""
    network = network.to(device).eval()
    collected: dict[str, list[Tensor]] = {"clip": [], "window": [], "scene": []}
    heads: dict[str, list[Tensor]] = {head: [] for head in network.head_names}
    for batch in tqdm(loader, desc="predicting", unit="batch"):
        on_device = {name: values.to(device) for name, values in batch.items()}
        for head, logits in network.heads_of(on_device).items():
            heads[head].append(logits.float().log_softmax(-1).cpu())
        for name, values in collected.items():
            values.append(batch[name])
    joined = {name: torch.cat(values) for name, values in collected.items()}
    return Predictions(**joined, log_probabilities={head: torch.cat(values) for head, values in heads.items()})


def write_predictions(path: Path, predictions: Predictions, clips: Sequence[Clip], scenes: Sequence[str]) -> None:
    """Write one row per head and window: clip, head, window, label, and the probability of every scene."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "window", "label", "head", *scenes])
        for head, values in predictions.log_probabilities.items():
            rows = zip(
                predictions.clip.tolist(),
                predictions.window.tolist(),
                values.double().exp().tolist(),
                strict=True,
            )
            for clip, window, probabilities in rows:
                numbers = [f"{probability:.6g}" for probability in probabilities]
                writer.writerow([clips[clip].id, window, clips[clip].scene, head, *numbers])

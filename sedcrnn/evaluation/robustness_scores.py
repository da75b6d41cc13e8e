"""Trained network -> its scores where sound or picture is missing, corrupted or of another clip: robustness.json.

python -m sedcrnn.robustness run=<run folder or checkpoint>
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sedcrnn.augmentation.modality_dropout import TRACKS
from sedcrnn.datasets.windows import ConsecutiveWindows, Window
from sedcrnn.evaluation.conditions import (
    ABSENT,
    AS_IT_IS,
    COMPLETE,
    CONDITIONS,
    PICTURES,
    REMOVED,
    SOUNDS,
    ChangedWindows,
)
from sedcrnn.evaluation.fold_scores import ROBUSTNESS, evaluation_folder, open_fold
from sedcrnn.evaluation.metrics import MACRO_ACCURACY, MACRO_LOG_LOSS, score
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.execution import choose_device
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.runs.files import write_json

# Raised whenever robustness.json says more or something else.
FORM = 1

KINDS = {"spectrogram": SOUNDS, "frames": PICTURES}
STAND_IN = {"sound missing": "visual", "picture missing": "audio"}
"""The subnetwork that answers alone where a track is missing, as in `sedcrnn.predict`."""

Values = dict[str, Tensor]


def robustness(
    run: str,
    fold: str = "test",
    root: str | None = None,
    batch_size: int = 32,
    workers: int = 2,
    store: str = "data/store",
    device: str = "cpu",
) -> Path:
    """Score a fold under every condition that concerns the network's inputs, unless that has been done before.

    Parameters and errors are those of `evaluate`.

    Returns:
        robustness.json. Its scores are of 1-s windows:

            {"conditions": {<condition>: {<head>: {"macro_accuracy": ..., "macro_log_loss": ...}}},
             "confidence_rises": {<condition>: {<head>: share of windows in which the likeliest scene is surer}},
             "batch_invariance": {"largest_difference": of any probability, with other sizes and orders of batches}}
    """
    device = choose_device(device)
    checkpoint, data = open_fold(run, fold, root, batch_size, workers, store)
    path = evaluation_folder(checkpoint, fold) / ROBUSTNESS
    asked = {"checkpoint": checkpoint.digest, "data": data.identity, "fold": fold, "form": FORM}
    if path.is_file() and json.loads(path.read_text())["of"] == asked:
        return path
    network = checkpoint.build().to(device)
    whole = data.dataset(fold)
    windows = ConsecutiveWindows(whole.steps, batch_size=1).windows

    def encode(name: str, kind: str, windows: Sequence[Window]) -> Values:
        changed = ChangedWindows(whole.clips, data.manifest.scenes, name, data.features[name], data.store, kind)
        return _encode(network, changed, windows, batch_size, device)

    encoded = {(name, kind): encode(name, kind, windows) for name in network.inputs for kind in KINDS[name]}
    # The same windows in other batches.
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(windows)))
    shuffled = [windows[place] for place in order.tolist()]
    again = {(name, AS_IT_IS): encode(name, AS_IT_IS, shuffled) for name in network.inputs}
    network.cpu()
    heads = {
        condition: _heads(network, encoded, condition)
        for condition, kinds in CONDITIONS.items()
        if _concerns(network, *kinds)
    }
    differences = [
        (values.exp() - heads[COMPLETE][head][order].exp()).abs().max().item()
        for head, values in _heads(network, again, COMPLETE).items()
    ]
    scene = whole.scene[[window.clip for window in windows]]
    surest = {condition: {head: values.amax(-1) for head, values in told.items()} for condition, told in heads.items()}
    write_json(
        path,
        {
            "of": asked,
            "conditions": {
                condition: {head: _score(values, scene) for head, values in told.items()}
                for condition, told in heads.items()
            },
            "confidence_rises": {
                condition: {
                    head: (surest[condition][head] > values).double().mean().item()
                    for head, values in surest[COMPLETE].items()
                }
                for condition in REMOVED
                if condition in heads
            },
            "batch_invariance": {"largest_difference": max(differences)},
        },
    )
    return path


def _concerns(network: SceneNetwork, sound: str, picture: str) -> bool:
    """Whether a network can tell a condition from the complete one; a single subnetwork has nothing to stand in."""
    kinds = {"spectrogram": sound, "frames": picture}
    if ABSENT in kinds.values():
        return isinstance(network, FusionNetwork)
    return all(kind == AS_IT_IS or name in network.inputs for name, kind in kinds.items())


@torch.inference_mode()
def _encode(
    network: SceneNetwork, dataset: ChangedWindows, windows: Sequence[Window], batch_size: int, device: str
) -> Values:
    """What a network makes of one modality of some windows: encoded values, or the logits of a single subnetwork."""
    starts = range(0, len(windows), batch_size)
    made: list[Values] = []
    for start in tqdm(starts, desc=f"{TRACKS[dataset.name]} {dataset.kind}", unit="batch", leave=False):
        values = dataset[list(windows[start : start + batch_size])][dataset.name].to(device)
        if isinstance(network, FusionNetwork) and dataset.name == "spectrogram":
            encoded = network.encode_sound(network.audio.embed(values))
        elif isinstance(network, FusionNetwork):
            encoded = network.encode_picture(network.visual.embed(values))
        else:
            encoded = network.heads(values)
        made.append({key: value.float().cpu() for key, value in encoded.items()})
    return {key: torch.cat([one[key] for one in made]) for key in made[0]}


@torch.inference_mode()
def _heads(network: SceneNetwork, encoded: Mapping[tuple[str, str], Values], condition: str) -> Values:
    """(window, scene) log-probabilities of every head under a condition."""
    kinds = dict(zip(KINDS, CONDITIONS[condition], strict=True))
    present = {name: encoded[name, kind] for name, kind in kinds.items() if name in network.inputs and kind != ABSENT}
    if condition in STAND_IN:
        (values,) = present.values()
        logits = dict.fromkeys(network.head_names, values[STAND_IN[condition]])
    elif isinstance(network, FusionNetwork):
        logits = network.decode(**present["spectrogram"], **present["frames"])
    else:
        (logits,) = present.values()
    return {head: values.log_softmax(-1) for head, values in logits.items()}


def _score(log_probabilities: Tensor, scene: Tensor) -> dict[str, float]:
    told = score(log_probabilities, scene).compute()
    return {name: told[name].item() for name in (MACRO_ACCURACY, MACRO_LOG_LOSS)}

"""Trained network -> its scores where audio or video is missing, corrupted or of another clip: robustness.json."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sedcrnn.augmentation.batch_augmentation import TRACKS
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, ConsecutiveWindows, Window
from sedcrnn.evaluation.conditions import (
    ABSENT,
    AS_IT_IS,
    AUDIO_KINDS,
    COMPLETE,
    CONDITIONS,
    REMOVED,
    VIDEO_KINDS,
    ChangedWindows,
)
from sedcrnn.evaluation.fold_scores import is_done, open_fold
from sedcrnn.evaluation.predictions import first_not_finite, not_finite
from sedcrnn.evaluation.result_names import MACRO_LOG_LOSS, ROBUSTNESS, ROBUSTNESS_SCHEMA_VERSION, main_score
from sedcrnn.evaluation.scores import score
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.execution import choose_device, keep_freed_memory
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.progress import progress
from sedcrnn.runs.files import write_json

KINDS = {"spectrogram": AUDIO_KINDS, "frames": VIDEO_KINDS}
STAND_IN = {"audio missing": "visual", "video missing": "audio"}
"""The subnetwork that answers alone where a track is missing, as in `sedcrnn predict`, unless fusion goes on with what
there is (`FusionNetwork`, missing)."""

Values = dict[str, Tensor]


def robustness(
    run: str,
    fold: str = "test",
    root: str | None = None,
    batch_size: int = 32,
    extraction_workers: int = 2,
    store: str = "data/store",
    device: str = "cpu",
) -> Path:
    """Score the complete clips of a fold under every condition that concerns the network's inputs, unless that has been
    done before.

    Parameters and errors are those of `evaluate`.

    Returns:
        robustness.json. Its scores are of 1-s windows, and of the network's own probabilities; in multi-label data they
        are mean average precisions and log losses:

            {"calibrated": False,
             "conditions": {<condition>: {<head>: {"macro_accuracy": ..., "macro_log_loss": ...}}},
             "confidence_rises": {<condition>: {<head>: share of windows whose likeliest scene gets more probable}},
             "batch_invariance": {"largest_difference": of any probability, with other sizes and orders of batches}}
    """
    device = choose_device(device)
    checkpoint, data, folder, of = open_fold(run, fold, root, batch_size, extraction_workers, store)
    of["schema_version"] = ROBUSTNESS_SCHEMA_VERSION
    if is_done(folder / ROBUSTNESS, of):
        return folder / ROBUSTNESS
    keep_freed_memory()
    network = checkpoint.build().to(device)
    whole = data.dataset(fold)
    # Conditions are changes of what is there.
    numbers = [number for number in range(len(whole.clips)) if whole.present is None or whole.present[number].all()]
    clips, scene = [whole.clips[number] for number in numbers], whole.scene[numbers]
    windows = ConsecutiveWindows([whole.steps[number] for number in numbers], batch_size=1).windows

    def encode(name: str, kind: str, windows: Sequence[Window]) -> Values:
        changed = ChangedWindows(clips, data.manifest.scenes, name, data.features[name], data.store, kind)
        return _encode(network, changed, windows, batch_size, device)

    encoded = {(name, kind): encode(name, kind, windows) for name in network.inputs for kind in KINDS[name]}
    # The same windows in other batches.
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(windows)))
    shuffled = [windows[index] for index in order.tolist()]
    again = {(name, AS_IT_IS): encode(name, AS_IT_IS, shuffled) for name in network.inputs}
    network.cpu()
    heads = {
        condition: _heads(network, encoded, condition) for condition in CONDITIONS if _concerns(network, condition)
    }
    for answers in heads.values():
        for head, values in answers.items():
            if (index := first_not_finite(values.exp())) is not None:
                window = windows[index]
                raise not_finite(clips[window.clip].id, window.step // STEPS_PER_WINDOW, head)
    complete = heads[COMPLETE]
    differences = [
        (values.exp() - complete[head][order].exp()).abs().max().item()
        for head, values in _heads(network, again, COMPLETE).items()
    ]
    scene = scene[[window.clip for window in windows]]
    scores: dict[str, dict[str, dict[str, float]]] = {}
    rises: dict[str, dict[str, float]] = {}
    for condition, answers in heads.items():
        for head, values in answers.items():
            counted = score(values, scene).compute()
            both = {name: counted[name].item() for name in (main_score(counted), MACRO_LOG_LOSS)}
            scores.setdefault(condition, {})[head] = both
            if condition in REMOVED:
                more = values.amax(-1) > complete[head].amax(-1)
                rises.setdefault(condition, {})[head] = more.double().mean().item()
    invariance = {"largest_difference": max(differences)}
    report = {
        "of": of,
        "calibrated": False,
        "conditions": scores,
        "confidence_rises": rises,
        "batch_invariance": invariance,
    }
    write_json(folder / ROBUSTNESS, report)
    return folder / ROBUSTNESS


def _concerns(network: SceneNetwork, condition: str) -> bool:
    """Whether a network can distinguish a condition from the complete one; a single subnetwork has no stand-in."""
    if condition in STAND_IN:
        return isinstance(network, FusionNetwork)
    kinds = zip(KINDS, CONDITIONS[condition], strict=True)
    return all(kind == AS_IT_IS or name in network.inputs for name, kind in kinds)


@torch.inference_mode()
def _encode(
    network: SceneNetwork, dataset: ChangedWindows, windows: Sequence[Window], batch_size: int, device: str
) -> Values:
    """What a network makes of one modality of some windows: encoded values, or the logits of a single subnetwork."""
    starts = range(0, len(windows), batch_size)
    made: list[Values] = []
    for start in progress(starts, f"{TRACKS[dataset.name]} {dataset.kind}", unit="batch", leave=False):
        values = dataset.values(windows[start : start + batch_size])[dataset.name].to(device)
        if isinstance(network, FusionNetwork) and dataset.name == "spectrogram":
            encoded = network.encode_audio(network.audio.embed(values))
        elif isinstance(network, FusionNetwork):
            encoded = network.encode_video(network.visual.embed(values))
        else:
            encoded = network.heads(values)
        made.append({key: value.float().cpu() for key, value in encoded.items()})
    return {key: torch.cat([one[key] for one in made]) for key in made[0]}


@torch.inference_mode()
def _heads(network: SceneNetwork, encoded: Mapping[tuple[str, str], Values], condition: str) -> Values:
    """(window, scene) log-probabilities of every head under a condition."""
    kinds = zip(KINDS, CONDITIONS[condition], strict=True)
    present = [encoded[name, kind] for name, kind in kinds if name in network.inputs and kind != ABSENT]
    if condition in STAND_IN and isinstance(network, FusionNetwork) and network.fuses_incomplete:
        logits = network.heads_of_encoded(**present[0])
    elif condition in STAND_IN:
        logits = dict.fromkeys(network.head_names, present[0][STAND_IN[condition]])
    elif isinstance(network, FusionNetwork):
        logits = network.decode(**present[0], **present[1])
    else:
        (logits,) = present
    return {head: network.log_probabilities(values) for head, values in logits.items()}

"""Trained network -> its scores where sound or picture is missing, corrupted or of another clip: robustness.json.

python -m sedcrnn.robustness run=<run folder or checkpoint>
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from sedcrnn.checkpoints import load_checkpoint
from sedcrnn.commands import command
from sedcrnn.config import checked
from sedcrnn.datamodule import SceneDataModule
from sedcrnn.evaluate import EvaluateConfig, data_of, evaluation_folder
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
from sedcrnn.evaluation.metrics import MACRO_ACCURACY, MACRO_LOG_LOSS, SceneScores
from sedcrnn.evaluation.prediction import check_device
from sedcrnn.files import write_json
from sedcrnn.modalities import TRACKS
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.windows import ConsecutiveWindows, Window

ROBUSTNESS = "robustness.json"

# Raised whenever robustness.json says more or something else.
FORM = 1

KINDS = {"spectrogram": SOUNDS, "frames": PICTURES}
STAND_IN = {"sound missing": "visual", "picture missing": "audio"}
"""The subnetwork that answers alone where a track is missing, as in `sedcrnn.predict`."""

Values = dict[str, Tensor]


def robustness(config: EvaluateConfig) -> Path:
    """Score a fold under every condition that concerns the network's inputs, unless that has been done before.

    Returns:
        robustness.json. Its scores are of 1-s windows:

            {"conditions": {<condition>: {<head>: {"macro_accuracy": ..., "macro_log_loss": ...}}},
             "confidence_rises": {<condition>: {<head>: share of windows in which the likeliest scene is surer}},
             "batch_invariance": {"largest_difference": of any probability, with other sizes and orders of batches}}
    """
    check_device(config.device)
    checkpoint = load_checkpoint(config.run)
    data = data_of(checkpoint, config.root, config.batch_size, config.workers, config.store)
    checkpoint.check_unseen(getattr(data.folds, config.fold), f"make the {config.fold} fold")
    path = evaluation_folder(checkpoint, config.fold) / ROBUSTNESS
    asked = {"checkpoint": checkpoint.digest, "data": data.identity, "fold": config.fold, "form": FORM}
    if path.is_file() and json.loads(path.read_text())["of"] == asked:
        return path
    network = checkpoint.build().to(config.device)
    windows = ConsecutiveWindows(data.dataset(config.fold).steps, batch_size=1).windows
    encode = partial(_encode, network, data, config)
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
    scene = data.dataset(config.fold).scene[[window.clip for window in windows]]
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
    network: SceneNetwork,
    data: SceneDataModule,
    config: EvaluateConfig,
    name: str,
    kind: str,
    windows: Sequence[Window],
) -> Values:
    """What a network makes of one modality of some windows: encoded values, or the logits of a single subnetwork."""
    clips = getattr(data.folds, config.fold)
    dataset = ChangedWindows(clips, data.manifest.scenes, name, data.features[name], data.store, kind)
    starts = range(0, len(windows), config.batch_size)
    made: list[Values] = []
    for start in tqdm(starts, desc=f"{TRACKS[name]} {kind}", unit="batch", leave=False):
        values = dataset[list(windows[start : start + config.batch_size])][name].to(config.device)
        if isinstance(network, FusionNetwork) and name == "spectrogram":
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
    scores = SceneScores(log_probabilities.shape[-1])
    scores.update(log_probabilities, scene)
    told = scores.compute()
    return {name: told[name].item() for name in (MACRO_ACCURACY, MACRO_LOG_LOSS)}


@command("robustness")
def main(config: DictConfig) -> None:
    """Score the run that the command line names, and print the answer's scores under each condition."""
    path = robustness(checked(config, EvaluateConfig))
    told = json.loads(path.read_text())
    print(f"{'':28}{'accuracy %':>12}{'log loss':>10}{'surer in %':>12}")
    for condition, heads in told["conditions"].items():
        answer, scores = list(heads.items())[-1]
        rises = told["confidence_rises"].get(condition)
        surer = f"{100 * rises[answer]:12.0f}" if rises else ""
        print(f"{condition:28}{100 * scores[MACRO_ACCURACY]:12.1f}{scores[MACRO_LOG_LOSS]:10.3f}{surer}")
    print(f"\nThe same windows in other batches: {told['batch_invariance']['largest_difference']:.1e} at most.\n{path}")


if __name__ == "__main__":
    main()

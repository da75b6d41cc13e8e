"""A batch of training windows and its labels -> the same after mixup and modality dropout (docs/recipes.md)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sedcrnn.augmentation.batch_augmentation import draw_mixup_weights, drop_modalities, drop_present, mixup
from sedcrnn.networks import PRESENT, SceneNetwork
from sedcrnn.networks.probabilities import probabilities

Config = Mapping[str, Any]
Batch = dict[str, Tensor]

TINY, EPS = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).eps


def changed(batch: Batch, target: Tensor, network: SceneNetwork, recipe: Config) -> tuple[Batch, Tensor]:
    """What a recipe makes of a batch for a network: its inputs or encoded values, and (batch, scene) labels.

    Windows lose a modality first; then inputs are mixed, and then what the network's frozen part makes of them.
    """
    if recipe["modality_dropout"] > 0:
        batch = _with_fewer_modalities(batch, network, recipe["modality_dropout"])
    partners = recipe["mixup_partners"]
    if recipe["mixup_alpha"] > 0:
        inputs = {name: batch[name] for name in (*network.inputs, PRESENT) if name in batch}
        batch, target = _mixed(inputs, target, recipe["mixup_alpha"], partners)
    if recipe["mixup_embeddings"] > 0:
        batch, target = _with_mixed_embeddings(batch, target, network, recipe["mixup_embeddings"], partners)
    return batch, target


def _mixed(values: Batch, target: Tensor, alpha: float, partners: str) -> tuple[Batch, Tensor]:
    """Values and labels, each mixed with those of another of the batch, or of its second half."""
    if partners == "batch":
        return mixup(values, target, draw_mixup_weights(len(target), alpha))
    count = len(target) // 2
    weights = draw_mixup_weights(count, alpha)
    mixed, target = mixup(values, target, weights.repeat(2), torch.arange(2 * count).roll(-count))
    return {name: one[:count] for name, one in mixed.items()}, target[:count]


def _with_mixed_embeddings(
    batch: Batch, target: Tensor, network: SceneNetwork, alpha: float, partners: str
) -> tuple[Batch, Tensor]:
    """What the encoding part makes of the windows, mixed; predictions among it are mixed as probabilities."""
    masks = {PRESENT: batch[PRESENT]} if PRESENT in batch else {}
    if network.encoded[0] in batch:
        values = {name: batch[name] for name in network.encoded}
    else:
        values = network.encode(**{name: batch[name] for name in network.inputs}, **masks)
    multi_label = network.multi_label
    predictions = {
        name: probabilities(values[name].float(), multi_label) for name in values if name in network.head_names
    }
    mixed, target = _mixed({**values, **predictions, **masks}, target, alpha, partners)
    logits = {
        name: mixed[name].logit(EPS) if multi_label else mixed[name].clamp_min(TINY).log() for name in predictions
    }
    return {**mixed, **logits}, target


def _with_fewer_modalities(batch: Batch, network: SceneNetwork, probability: float) -> Batch:
    """A fusion network that fuses what there is gets windows without audio or video; any other gets silence or black
    frames."""
    if getattr(network, "fuses_incomplete", False):
        scene = batch["scene"]
        present = batch.get(PRESENT, torch.ones(len(scene), 2, dtype=torch.bool, device=scene.device))
        return {**batch, PRESENT: drop_present(present, probability)}
    return drop_modalities(batch, probability)

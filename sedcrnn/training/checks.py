"""What can be known of a stage before its data are touched: hours of extraction come after this, and no surprise.

All that a config builds is built here for trial: trainer, network, optimiser and schedule. What the libraries refuse is
a mistake in the config.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback
from torch import nn

from sedcrnn.config.stage_config import DataConfig, RecipeConfig, TrainConfig
from sedcrnn.config.targets import build, is_ours
from sedcrnn.errors import ConfigError, check_choice
from sedcrnn.evaluation.result_names import (
    ACCURACY,
    LOG_LOSS,
    MACRO_ACCURACY,
    MACRO_F1,
    MACRO_LOG_LOSS,
    MEAN_PRECISION,
    MICRO_F1,
    TRAIN_LOSS,
)
from sedcrnn.features.feature import Feature
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.execution import on_gpu
from sedcrnn.networks.freezing import frozen_modules, lies_in
from sedcrnn.networks.profile import empty_inputs
from sedcrnn.runs.outputs import check_place
from sedcrnn.runs.records import RECORD
from sedcrnn.sweeps.ranks import check_world_size, count_processes
from sedcrnn.training import init_from
from sedcrnn.training.schedules import UNKNOWN, build_schedule


def check_without_data(
    config: TrainConfig, starts: init_from.Starts, features: Mapping[str, Feature], callbacks: Sequence[Callback]
) -> None:
    """Refuse what trainer, network, optimiser or schedule would refuse.

    Raises:
        ConfigError: naming the part and what is wrong with it.
    """
    with refused("trainer", "It asks for what this computer has and Lightning knows"):
        processes = count_processes(config.trainer)
    check_world_size(processes)
    _check_decoder(config, features)
    for feature in features.values():
        if isinstance(feature, Spectrogram):
            with refused("features.spectrogram.bank"):  # of nothing, it makes nothing
                list(feature.bank.columns(iter(()), feature.sample_rate, feature.hop, feature.layout))
    with refused("data.source"):
        build(config.data.source, "data_source")
    with refused("recipe"):
        epochs, steps = config.trainer.get("max_epochs"), config.recipe.steps
        check_optimizer(config.recipe, epochs or UNKNOWN, steps or UNKNOWN)
    _check_combinations(config, features)
    if not any(Path(config.runs).glob(f"*-s{config.seed}-*/{RECORD}")):  # else this very stage may be finished
        check_place("runs", config.runs, is_folder=True)
    network = _check_network(config, starts, features)
    for callback in callbacks:
        if network is not None and isinstance(monitor := getattr(callback, "monitor", None), str):
            check_choice(f"monitor of the callback {type(callback).__name__}", monitor, _logged(network))


@contextmanager
def refused(key: str, allowed: str = "What it names takes only certain values") -> Iterator[None]:
    """Around the building of what a key of the config names: what a library refuses is a mistake in the config."""
    try:
        yield
    except (
        MisconfigurationException,
        ArithmeticError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{key} cannot be made as the config says: {text}", allowed, f"Correct {key}") from error


def check_takes_incomplete(data: DataConfig, network: type[SceneNetwork]) -> None:
    """Refuse clips that lack a track for a network of several inputs that cannot do without one of them."""
    if data.incomplete == "use" and len(network.inputs) > 1 and not network.takes_incomplete:
        raise ConfigError(
            f"data.incomplete=use, and a {network.__name__} takes {' and '.join(network.inputs)} of every window",
            "A network that takes clips as they are says so (takes_incomplete), as FusionNetwork does",
            "Leave data.incomplete out, and choose data.unreadable=skip to leave such clips out",
        )


def check_multi_label(recipe: RecipeConfig, callbacks: Sequence[Callback]) -> None:
    """Refuse what only clips of one scene each can be trained by, or watched with."""
    for callback in callbacks:
        watched = str(getattr(callback, "monitor", None))
        if watched.endswith(ACCURACY):
            raise ConfigError(
                f"The callback {type(callback).__name__} watches '{watched}', and the data are multi-label",
                f"Their scores are {MEAN_PRECISION}, {MACRO_F1}, {MICRO_F1} and {LOG_LOSS}",
                f"Give monitor=validation/{MEAN_PRECISION}",
            )
    for key, value in {"sampling": "balanced", "select_by": "window_accuracy"}.items():
        if getattr(recipe, key) == value:
            raise ConfigError(
                f"recipe.{key}={value}, and the data are multi-label",
                "Clips with any number of scenes are not drawn scene by scene, and no answer is right as a whole",
                "Leave it out; recipe.loss.class_weights=balanced gives scenes that are rare more weight",
            )


def _check_decoder(config: TrainConfig, features: Mapping[str, Feature]) -> None:
    frames = features.get("frames")
    if frames is not None and frames.coded and frames.on_device and not on_gpu(config.trainer["accelerator"]):
        raise ConfigError(
            "features.frames.jpeg_decoder=gpu, and this stage is not trained on a GPU",
            "Only an NVIDIA GPU decodes JPEG frames",
            "Set features.frames.jpeg_decoder=cpu, or trainer=gpu where there is one",
        )


def _check_combinations(config: TrainConfig, features: Mapping[str, Feature]) -> None:
    recipe = config.recipe
    if recipe.mixup_embeddings and recipe.mixup_alpha:
        raise ConfigError(
            f"recipe.mixup_alpha={recipe.mixup_alpha} and recipe.mixup_embeddings={recipe.mixup_embeddings}",
            "A window is mixed once: its inputs, or what the frozen part makes of them",
            "Set one of them to 0",
        )
    scheduler = recipe.scheduler or {}
    if recipe.learning_rates and str(scheduler.get("_target_")).endswith(".OneCycleLR"):
        raise ConfigError(
            f"recipe.learning_rates={recipe.learning_rates} with recipe/scheduler=one_cycle",
            "One cycle has one highest rate (max_lr) for all parts, and theirs would have no effect",
            "Leave recipe.learning_rates out, or choose recipe/scheduler=warmup_cosine",
        )
    fused, clips = recipe.optimizer.get("fused"), config.trainer.get("gradient_clip_val")
    if fused and clips and config.trainer["precision"] == "16-mixed":
        raise ConfigError(
            f"trainer.gradient_clip_val={clips} with trainer.precision=16-mixed and a fused optimiser",
            "In 16-mixed gradients are scaled, and an optimiser of one pass undoes that itself, after the bound",
            "Set recipe.optimizer.fused=false, or trainer.precision=bf16-mixed",
        )
    if recipe.window_starts != "steps" and (list(features) != ["spectrogram"] or recipe.cache_frozen):
        raise ConfigError(
            f"recipe.window_starts={recipe.window_starts}, and this stage "
            + ("trains on stored values" if recipe.cache_frozen else "takes frames"),
            "Frames and stored values lie on the grid of the frames; the spectrogram alone is not bound to it",
            "Set recipe.window_starts=steps",
        )


def check_optimizer(recipe: RecipeConfig, epochs: int, steps: int) -> None:
    """Take a step of the optimiser and of its schedule over a training of that length, with one parameter."""
    parameter = torch.zeros(1, requires_grad=True)
    parameter.grad = torch.zeros(1)
    optimizer = build(recipe.optimizer, "optimizer", params=[parameter])
    if (node := recipe.scheduler) is None:
        optimizer.step()
    else:
        scheduler, _ = build_schedule(node, optimizer, epochs, steps)
        optimizer.step()
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            scheduler.step(1.0)
        else:
            scheduler.step()


def _check_network(
    config: TrainConfig, starts: init_from.Starts, features: Mapping[str, Feature]
) -> SceneNetwork | None:
    """Build the network without its weights, and give it a second of silence and darkness; None: it is not ours."""
    if not config.model["network"]["_target_"].startswith("sedcrnn."):
        return None  # of the user's own; it may need more than shapes
    sizes = {name: size for feature in features.values() for name, size in feature.dimensions.items()}
    nodes = [node for node in asdict(config.features).values() if node is not None]
    with refused("model.network"):
        node = init_from.complete_network(config.model["network"], starts, {"scenes": 2, **sizes})
        with torch.device("meta"), torch.no_grad():
            network: SceneNetwork = build(node, "network")
            if all(map(is_ours, (node, *nodes))):
                network.eval()(**empty_inputs(network.inputs, sizes))
        _check_size(network)
    recipe = config.recipe
    frozen_modules(network, [*recipe.frozen, *recipe.l2, *recipe.learning_rates])
    if recipe.cache_frozen and recipe.frozen_dropout:
        _check_stored_dropout(network, recipe)
    for head in (name for name, weight in recipe.head_weights.items() if weight is not None):
        check_choice(f"head of the {type(network).__name__} that recipe.head_weights names", head, network.head_names)
    return network


def _check_stored_dropout(network: SceneNetwork, recipe: RecipeConfig) -> None:
    """Refuse dropout that acts on what is stored; that of a fusion network's visual classifier alone comes after it."""
    for name, part in network.named_modules():
        is_stored = any(lies_in(name, one) for one in recipe.frozen) and name != "visual.dropout"
        if isinstance(part, nn.Dropout) and part.p > 0 and is_stored:
            raise ConfigError(
                f"recipe.cache_frozen and recipe.frozen_dropout are both true, and {name} is a dropout of {part.p}",
                "What is stored of a frozen part is the same in every epoch; the visual classifier alone is run anew",
                "Set recipe.cache_frozen=false, which computes them in every epoch, or recipe.frozen_dropout=false",
            )


def _logged(network: SceneNetwork) -> list[str]:
    """What callbacks may watch when an epoch has ended."""
    heads = ["", *(f"{head}/" for head in network.head_names[:-1])]
    scores = (MACRO_ACCURACY, MACRO_LOG_LOSS, ACCURACY, LOG_LOSS, MEAN_PRECISION, MACRO_F1, MICRO_F1)
    return [
        TRAIN_LOSS,
        *(f"{fold}/{head}{one}" for fold in ("validation", "train") for head in heads for one in scores),
    ]


def _check_size(network: nn.Module) -> None:
    """Refuse a network whose weights this computer has no memory for."""
    needed = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise ConfigError(
            f"The weights of model.network take {needed / 1e9:,.0f} GB",
            f"This computer has {memory / 1e9:,.0f} GB of memory",
            "Make the network smaller",
        )

"""The config of a training stage: its keys, with what each may be and a sentence about it. Values stand in conf/."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

import sedcrnn.config.data_nodes
import sedcrnn.config.nodes
import sedcrnn.config.training_nodes  # noqa: F401 - what nodes may hold
from sedcrnn.config.values import (
    CHECKED,
    AugmentationNode,
    CallbackNode,
    Count,
    DataSourceNode,
    FeatureNode,
    Flag,
    Folds,
    Fraction,
    LoggerNode,
    ModuleNode,
    Name,
    NotNegative,
    OptimizerNode,
    PathName,
    Positive,
    SchedulerNode,
    Seed,
    Share,
    TrainerNode,
    Workers,
)

# Keys that say where things lie, how fast they are made or what is shown; results do not depend on them.
_PLACES = ("runs", "store", "logger", "init_from", "callbacks")
_DATA_PLACES = ("root", "manifest", "workers", "extraction_workers", "num_workers")
_SHOWN = ("enable_progress_bar", "enable_model_summary", "log_every_n_steps", "profiler")  # of the trainer


@dataclass(config=CHECKED, kw_only=True)
class DataConfig:
    """Which clips, and how the training fold is divided."""

    source: DataSourceNode
    root: Annotated[PathName | None, "Folder of the data set."] = None
    selection: Annotated[
        Literal["location_disjoint", "test_fold_as_the_authors_did"],
        "What selects the checkpoint: a part of the training fold, of other locations than the rest; or the test fold.",
    ]
    validation_fraction: Annotated[Fraction, "Share of each scene's training clips that validation gets."]
    validation_seed: Annotated[Seed, "Seed of that draw; a stage and the runs that it starts from share it."]
    leave_out_city: Annotated[Name | None, "A city whose clips are the test fold, and all others the training fold."]
    folds: Annotated[Folds | None, "Folds that the clips are divided into by group, of which one is the test fold."]
    held_out: Annotated[Count | None, "That fold, counted from 1; `sedcrnn pipeline folds=5` takes each in turn."]
    folds_seed: Annotated[Seed, "Seed of this division, whatever the training's is."]
    folds_of: Annotated[
        Literal["all", "train"], "Clips that are divided: all of the data set, or those of its training fold alone."
    ]
    shuffle_labels: Annotated[
        Flag, "Negative control: labels at random in training and validation, true in the test fold."
    ]
    unreadable: Annotated[
        Literal["stop", "skip"], "Stop at clips that cannot be read, or leave them out and list them."
    ]
    incomplete: Annotated[
        Literal["unreadable", "use"],
        "Clips without audio or without video: as unreadable ones, or used, by networks of both with what they have.",
    ]
    extraction_workers: Annotated[Workers, "Processes that render clips and make features."]
    num_workers: Annotated[
        Workers | Literal["auto"], "Processes that load batches; auto: by cores and by what is read."
    ]


@dataclass(config=CHECKED, kw_only=True)
class FeaturesConfig:
    """How audio and video become what the networks take; null in a stage that does not take it."""

    spectrogram: FeatureNode | None
    frames: FeatureNode | None


@dataclass(config=CHECKED, kw_only=True)
class AugmentationConfig:
    """Random changes of training windows; null where there are none."""

    spectrogram: AugmentationNode | None
    frames: AugmentationNode | None


@dataclass(config=CHECKED, kw_only=True)
class LossConfig:
    """What training minimises (docs/recipes.md); validation and test scores are plain."""

    class_weights: Annotated[
        Literal["balanced"] | dict[str, NotNegative] | None,
        "Weight of each scene's term, by name, 1 where none is given; balanced: by the clips that it has; null: none.",
    ]
    label_smoothing: Annotated[float, Field(ge=0, lt=1), "Share of the label that all scenes get alike."]
    focal_gamma: Annotated[NotNegative, "The focal loss's gamma: terms count the less, the surer they are; 0: off."]


@dataclass(config=CHECKED, kw_only=True)
class RecipeConfig:
    """How a stage is trained (docs/paper.md, Recipe)."""

    steps: Annotated[
        Count | None,
        "Optimiser steps, rounded up to whole epochs; null: trainer.max_epochs. Of both, whichever ends first.",
    ]
    batch_size: Annotated[Count, "Windows per batch and process."]
    windows_per_clip: Annotated[Count, "Training windows of each clip in an epoch, drawn at random."]
    sampling: Annotated[
        Literal["shuffled", "balanced"], "Training windows of an epoch: of every clip alike, or of every scene alike."
    ]
    window_starts: Annotated[
        Literal["steps", "columns", "first_columns"],
        "Where training windows start: on the grid of the frames, at any column of the spectrogram (audio alone), or "
        "at its first ones, as in the authors' slip.",
    ]
    loss: LossConfig
    optimizer: OptimizerNode
    scheduler: Annotated[
        SchedulerNode | None,
        "Schedule of the learning rates, stepped once per epoch, or per step (interval=step); null: constant.",
    ]
    averaging: Annotated[
        Literal["none", "ema", "swa"],
        "What is validated and kept: the weights, their moving average (ema), or the mean of the last epochs' (swa).",
    ]
    averaging_decay: Annotated[Share, "Decay of the moving average, per step."]
    averaging_start: Annotated[float, Strict(), Field(ge=0, lt=1), "Share of the epochs after which swa begins."]
    learning_rates: Annotated[dict[str, Positive], "Part of the network -> its own learning rate."]
    mixup_alpha: Annotated[NotNegative, "Beta(alpha, alpha) on inputs and labels; 0: off."]
    mixup_partners: Annotated[
        Literal["batch", "independent"],
        "With whom windows are mixed: others of the batch, or windows of an epoch drawn beside it (the authors').",
    ]
    mixup_embeddings: Annotated[NotNegative, "The same on what frozen parts make of the inputs, stored or not; 0: off."]
    augmentation: AugmentationConfig
    modality_dropout: Annotated[Share, "Probability that a training window has no audio or (as often) black frames."]
    head_weights: Annotated[
        dict[str, NotNegative | None], "Weight of each head's loss, null: none; empty: the answer's alone."
    ]
    frozen: Annotated[list[Name], "Parts of the network that stay as they are, BN statistics too."]
    frozen_dropout: Annotated[Flag, "Dropout of frozen parts stays active in training, as in the authors' code."]
    cache_frozen: Annotated[Flag, "Compute what frozen parts make of each clip once, and train the rest on that."]
    l2: Annotated[dict[str, NotNegative], "Part of the network -> L2 coefficient of its kernels."]
    select_by: Annotated[
        Literal["accuracy", "window_accuracy", "log_loss", "last"],
        "What selects best.ckpt on validation: macro accuracy, and the lower log loss where it ties; accuracy over "
        "windows, and the earlier epoch; log loss; or nothing, and it is the last epoch's.",
    ]
    watched: Annotated[
        Literal["log_loss", "loss"],
        "Validation loss that steers the learning rate and stops the training: the answer's log loss, or all that "
        "training minimises, with its L2 terms.",
    ]
    early_stopping_patience: Annotated[Count, "Training ends after so many epochs without a lower validation loss."]
    compile: Annotated[
        Flag | Literal["reduce-overhead"],
        "torch.compile on the convolutional parts, needs a C++ compiler; reduce-overhead: as CUDA graphs.",
    ]
    gradient_checkpointing: Annotated[
        Flag, "Recompute the frame encoder's maps in the backward pass: less memory, more time."
    ]


@dataclass(config=CHECKED, kw_only=True)
class InitConfig:
    """Runs (or checkpoint files) whose best weights a stage starts from; `previous`: the pipeline's latest."""

    audio: Annotated[PathName | None, "Run of an audio network."]
    visual: Annotated[PathName | None, "Run of a visual network."]
    fusion: Annotated[PathName | None, "Run of a fusion network."]
    encoder: Annotated[
        PathName | None,
        "Weights of new encoders: published (those that the backbone's name means; see `sedcrnn weights list`), a file "
        "from `sedcrnn weights`, or random, on purpose.",
    ]


@dataclass(config=CHECKED, kw_only=True)
class TrainConfig:
    """One training stage."""

    name: Annotated[str, Field(pattern=r"^[^\s/]+$", max_length=200), "Begins the name of the run folder."]
    seed: Annotated[Seed, "Seed of everything random."]
    data: DataConfig
    features: FeaturesConfig
    model: ModuleNode
    recipe: RecipeConfig
    init_from: InitConfig
    trainer: TrainerNode
    callbacks: Annotated[dict[str, CallbackNode | None], "Lightning's or your own callbacks, by a name of your choice."]
    logger: Annotated[dict[str, LoggerNode | None], "Loggers beside metrics.csv, which every run writes."]
    runs: Annotated[PathName, "Where run folders go; each is named after what made it."]
    store: Annotated[PathName, "Where features are kept, by content."]


def without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """A plain config without what its result does not depend on."""
    plain = {key: value for key, value in config.items() if key not in _PLACES}
    trainer = {key: value for key, value in plain["trainer"].items() if key not in _SHOWN}
    return {**plain, "data": without_data_places(plain["data"]), "trainer": trainer}


def without_data_places(data: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the data without where they lie and how fast they are read."""
    kept = {key: value for key, value in data.items() if key not in _DATA_PLACES}
    return kept | {"source": {key: value for key, value in data["source"].items() if key not in _DATA_PLACES}}

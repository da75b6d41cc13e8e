"""What optimiser, schedule, Lightning's Trainer and loggers take: types, ranges and a sentence for each key."""

from typing import Annotated, Any, Literal

from pydantic import Field, Strict
from typing_extensions import TypedDict

from sedcrnn.config.values import Count, CountOrNone, Flag, Fraction, Name, NotNegative, Positive, Project, Share, takes

Interval = Annotated[Literal["step", "epoch"], "When it is stepped: after each optimiser step, or each epoch."]


@takes("optimizer", "torch.optim.Adam", "torch.optim.AdamW", "sedcrnn.training.keras_adam.KerasAdam")
class AdamKeys(TypedDict, total=False):
    """Adam, as torch and as Keras has it, and AdamW."""

    lr: Annotated[Positive, "Learning rate."]
    eps: Annotated[
        NotNegative, "Added to the denominator; Keras' default is 1e-7, which KerasAdam adds where Keras does."
    ]
    fused: Annotated[Flag | None, "One pass over each parameter: 4 to 8 times as fast on a CPU."]
    betas: Annotated[list[Share], Field(min_length=2, max_length=2), "Decay of the running means."]
    weight_decay: Annotated[NotNegative, "Weight decay."]
    amsgrad: Annotated[Flag, "The AMSGrad variant."]


@takes("optimizer", "torch.optim.SGD")
class SgdKeys(TypedDict, total=False):
    """Stochastic gradient descent."""

    lr: Annotated[Positive, "Learning rate."]
    momentum: Annotated[Share, "Share of the last step that is taken again."]
    nesterov: Annotated[Flag, "Nesterov's momentum."]
    weight_decay: Annotated[NotNegative, "Weight decay."]
    fused: Annotated[Flag | None, "One pass over each parameter."]


@takes("scheduler", "torch.optim.lr_scheduler.ReduceLROnPlateau")
class PlateauKeys(TypedDict, total=False):
    """Lower the learning rate where the validation loss stays."""

    factor: Annotated[Fraction, "The learning rate is multiplied by this ..."]
    patience: Annotated[
        CountOrNone, "... after more than so many epochs without a lower validation loss (Keras counts one less)."
    ]
    threshold: Annotated[NotNegative, "Least change that counts as lower."]
    threshold_mode: Annotated[
        Literal["rel", "abs"], "Whether the least change is relative or absolute; Keras' is absolute."
    ]
    cooldown: Annotated[CountOrNone, "Epochs to wait after a change."]
    min_lr: Annotated[NotNegative, "Lower bound of the learning rate."]
    mode: Annotated[Literal["min"], "What is watched is a loss."]


@takes("scheduler", "torch.optim.lr_scheduler.CosineAnnealingLR")
class CosineKeys(TypedDict, total=False):
    """Half a cosine from the learning rate down."""

    interval: Interval
    T_max: Annotated[Count | None, "Steps or epochs that it takes; null: all of the training."]
    eta_min: Annotated[NotNegative, "Where it ends."]


@takes("scheduler", "sedcrnn.training.schedules.WarmupCosine")
class WarmupCosineKeys(TypedDict, total=False):
    """A rise to the learning rate, and half a cosine down."""

    interval: Interval
    warmup: Annotated[CountOrNone, "Steps or epochs of the rise."]
    length: Annotated[Count | None, "Steps or epochs in all; null: all of the training."]
    floor: Annotated[Share, "Share of the learning rate where it ends."]


@takes("scheduler", "torch.optim.lr_scheduler.OneCycleLR")
class OneCycleKeys(TypedDict, total=False):
    """One rise and one fall of the learning rate (Smith and Topin 2017, 1708.07120)."""

    interval: Interval
    max_lr: Annotated[Positive, "Highest learning rate, of all parts alike; that of the optimiser has no effect."]
    total_steps: Annotated[Count | None, "Steps or epochs in all; null: all of the training."]
    pct_start: Annotated[Fraction, "Share of them in which it rises."]
    anneal_strategy: Annotated[Literal["cos", "linear"], "How it rises and falls."]
    cycle_momentum: Annotated[Flag, "Momentum falls and rises as well."]
    div_factor: Annotated[Positive, "The highest rate by the first."]
    final_div_factor: Annotated[Positive, "The first rate by the last."]


@takes("trainer", "pytorch_lightning.Trainer")
class TrainerKeys(TypedDict, total=False):
    """Lightning's Trainer; all its other arguments but those that the project sets."""

    accelerator: Annotated[Name, "auto: the GPU where there is one."]
    devices: Annotated[
        Annotated[int, Strict(), Field(ge=1)] | list[CountOrNone] | Literal["auto"],
        "Processes per node; each takes recipe.batch_size windows at a time.",
    ]
    num_nodes: Annotated[Count, "Computers."]
    strategy: Annotated[Name, "ddp with several devices."]
    sync_batchnorm: Annotated[Flag, "BN over the whole batch instead of each process's part; on GPUs only."]
    max_epochs: Annotated[Count | None, "Most epochs; null: as many as recipe.steps takes."]
    precision: Annotated[
        Literal["auto", "32-true", "bf16-mixed", "16-mixed", "64-true", "bf16-true", "16-true"],
        "Arithmetic; auto: bf16-mixed where the processor or GPU computes in it natively, 32-true elsewhere.",
    ]
    deterministic: Annotated[Flag | Literal["warn"], "Same seed, same result; warn where an operation cannot."]
    use_distributed_sampler: Annotated[Flag, "Stays false: the samplers divide the clips over processes themselves."]
    num_sanity_val_steps: Annotated[CountOrNone, "Validation batches before training."]
    enable_model_summary: Annotated[Flag, "Print the modules; `sedcrnn summary` says more."]
    enable_progress_bar: Annotated[Flag, "Show a progress bar."]
    log_every_n_steps: Annotated[Count, "Scores are logged once per epoch, whatever this says."]
    fast_dev_run: Annotated[Flag | CountOrNone, "Run so many batches of each fold, to see whether everything works."]
    limit_train_batches: Annotated[CountOrNone | NotNegative | None, "Batches of an epoch: a number, or a share."]
    limit_val_batches: Annotated[CountOrNone | NotNegative | None, "Batches of a validation: a number, or a share."]
    overfit_batches: Annotated[CountOrNone | NotNegative, "Train on so many batches alone: a number, or a share."]
    gradient_clip_val: Annotated[Positive | None, "Largest norm of the gradient; null: unbounded."]
    gradient_clip_algorithm: Annotated[Literal["norm", "value"] | None, "What the bound is of."]
    accumulate_grad_batches: Annotated[Count, "Batches per optimiser step."]
    max_time: Annotated[str | dict[str, int] | None, "Longest duration, as DD:HH:MM:SS."]
    detect_anomaly: Annotated[Flag, "Stop where a gradient is not finite."]
    profiler: Annotated[Literal["simple", "advanced", "pytorch"] | None, "Measure where the time goes."]
    benchmark: Annotated[Flag | None, "Let cuDNN choose the fastest convolutions."]
    plugins: Annotated[Any, "Lightning's plugins."]


@takes("logger", "sedcrnn.training.loggers.WandbLog")
class WandbKeys(TypedDict, total=False):
    """Weights & Biases."""

    project: Annotated[Project, "Project of W&B."]
    entity: Annotated[Name | None, "User or team; null: the user's default."]
    offline: Annotated[Flag, "Write files for `wandb sync`; false: send as the training goes, which needs a key."]
    tags: Annotated[list[str], "Words to find the run by, beside its selection protocol."]
    checkpoint: Annotated[Flag, "Send best.ckpt at the end of the training, as an artifact."]


@takes("logger", "sedcrnn.training.loggers.TensorBoardLog")
class TensorBoardKeys(TypedDict, total=False):
    """TensorBoard."""


@takes("callback", "sedcrnn.training.pruning.EndHopeless")
class EndHopelessKeys(TypedDict, total=False):
    """End jobs of a sweep that lie below the median of its finished runs."""

    startup_runs: Annotated[Count, "Finished runs that there have to be."]
    warmup_epochs: Annotated[CountOrNone, "Epochs that every job trains."]


@takes("callback", "sedcrnn.training.stage.TimeLimit")
class TimeLimitKeys(TypedDict, total=False):
    """Stop after a duration."""

    duration: Annotated[str | dict[str, int], "Longest duration, as DD:HH:MM:SS; the same command goes on from there."]

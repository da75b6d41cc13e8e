"""What optimiser, schedule, Lightning's Trainer and loggers take: types, ranges and a sentence for each key."""

from typing import Annotated, Any, Literal

from pydantic import Field, Strict
from typing_extensions import TypedDict

from sedcrnn.config.values import Count, CountOrNone, Flag, Fraction, Name, NotNegative, Positive, Share, takes


@takes("optimizer", "torch.optim.Adam", "torch.optim.AdamW")
class AdamKeys(TypedDict, total=False):
    """Adam, and AdamW."""

    lr: Annotated[Positive, "Learning rate."]
    eps: Annotated[NotNegative, "Added to the denominator; Keras has 1e-7, torch 1e-8."]
    fused: Annotated[Flag | None, "One pass over each parameter: 4 to 8 times as fast on a CPU."]
    betas: Annotated[list[Share], Field(min_length=2, max_length=2), "Decay of the running means."]
    weight_decay: Annotated[NotNegative, "Weight decay."]
    amsgrad: Annotated[Flag, "The AMSGrad variant."]


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

    T_max: Annotated[Count | None, "Epochs that it takes; null: all of the training."]
    eta_min: Annotated[NotNegative, "Where it ends."]


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

    project: Annotated[Name, "Project of W&B."]
    entity: Annotated[Name | None, "User or team; null: the user's default."]
    offline: Annotated[Flag, "Write files for `wandb sync`; false: send as the training goes, which needs a key."]
    tags: Annotated[list[str], "Words to find the run by, beside its selection protocol."]
    checkpoint: Annotated[Flag, "Send best.ckpt at the end of the training, as an artifact."]


@takes("logger", "sedcrnn.training.loggers.TensorBoardLog")
class TensorBoardKeys(TypedDict, total=False):
    """TensorBoard."""


@takes("callback", "sedcrnn.training.stage.TimeLimit")
class TimeLimitKeys(TypedDict, total=False):
    """Stop after a duration."""

    duration: Annotated[str | dict[str, int], "Longest duration, as DD:HH:MM:SS; the same command goes on from there."]

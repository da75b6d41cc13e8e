"""What the classes that a config may name take: types, ranges and a sentence for each key.

Their defaults stand in conf/, and as defaults of the classes; here is what may be chosen instead. Nothing is imported to
check it: torch alone would take longer than anybody waits for a spelling mistake.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, Strict
from typing_extensions import TypedDict

from sedcrnn.config.values import (
    Count,
    CountOrNone,
    EarlyFusionNode,
    FilterBankNode,
    Flag,
    Fraction,
    Name,
    NetworkNode,
    NotNegative,
    PathName,
    Positive,
    Seed,
    Share,
    takes,
)

# Networks


@takes("network", "sedcrnn.networks.audio.AudioNetwork")
class AudioNetworkKeys(TypedDict, total=False):
    """The squeeze-excitation CNN on spectrograms."""

    scenes: Annotated[Count, "Number of scenes; the data decide it."]
    channels: Annotated[Count, "Channels of the spectrogram; the data decide it."]
    filters: Annotated[list[Count], Field(min_length=1), "Channels of each block's output."]
    frame_pooling: Annotated[list[Count], "Max-pool over frames after each block; the paper's figure has [2, 2, 2]."]
    recalibration: Annotated[
        Literal["scse", "cse", "sse", "none"],
        "Squeeze-excitation by channel and position (scse), by one of them, or none.",
    ]
    ratio: Annotated[Count, "The channel branch squeezes to channels // ratio."]
    activation_order: Annotated[
        Literal["post", "pre"], "Convolution, normalisation, ELU (post), or normalisation, ELU, convolution (pre)."
    ]
    pooling: Annotated[Literal["average", "max"], "Pooling of the last map."]
    dropout: Annotated[Share, "Dropout after each block."]
    momentum: Annotated[Share, "Momentum of batch normalisation in torch's sense; Keras' 0.99 is 0.01."]


@takes("network", "sedcrnn.networks.visual.VisualNetwork")
class VisualNetworkKeys(TypedDict, total=False):
    """A frame encoder and a bidirectional GRU on frames."""

    scenes: Annotated[Count, "Number of scenes; the data decide it."]
    height: Annotated[Count, "Height of the frames in pixels; the data decide it."]
    width: Annotated[Count, "Width of the frames in pixels; the data decide it."]
    backbone: Annotated[
        Name, "timm architecture of the frame encoder; <architecture>.<tag> says whose weights it will get."
    ]
    frame_pooling: Annotated[
        Literal["max", "average", "model"],
        "Pooling of the last map: the authors' code has max, the paper's figure average; model: as its own classifier does it.",
    ]
    normalisation: Annotated[
        Literal["raw", "imagenet", "places365", "timm"],
        "Normalisation of the frames, as the encoder's weights need it; raw: 0-255 RGB, as the authors' notebooks feed it.",
    ]
    temporal: Annotated[Literal["gru", "mean", "attention"], "What becomes of the frames over time."]
    hidden: Annotated[Count, "GRU units per direction, or length of the attention's query."]
    dropout: Annotated[Share, "Dropout before the dense layer."]


@takes("network", "sedcrnn.networks.fusion.FusionNetwork")
class FusionNetworkKeys(TypedDict, total=False):
    """Early and late fusion of an audio and a visual network."""

    audio: Annotated[NetworkNode | None, "The audio network; null: as the checkpoint in init_from.audio says."]
    visual: Annotated[NetworkNode | None, "The visual network; null: as the checkpoint in init_from.visual says."]
    hidden: Annotated[Count, "Half the width of the early fusion: GRU units per direction."]
    early: Annotated[
        Literal["gru", "gated", "cross_attention", "none"] | EarlyFusionNode,
        "Fusion of the embeddings: gru is the paper's; or a class of your own.",
    ]
    late: Annotated[Literal["learned", "average", "none"], "Fusion of the predictions: learned is the paper's."]


@takes(
    "module",
    "sedcrnn.training.modules.AudioModule",
    "sedcrnn.training.modules.VisualModule",
    "sedcrnn.training.modules.FusionModule",
    "sedcrnn.training.modules.SceneModule",
)
class ModelKeys(TypedDict, total=False):
    """A LightningModule, and the network that it trains."""

    network: NetworkNode


takes("early_fusion")(TypedDict("EarlyFusionKeys", {}))

# Features


class BankKeys(TypedDict, total=False):
    """Filters of a spectrogram."""

    bands: Annotated[Count, "Number of filters."]
    low_hz: Annotated[NotNegative, "Centre frequency of the lowest band; for mel its lower edge."]
    high_hz: Annotated[Positive | None, "Upper end of the range in Hz; null: half the sample rate."]


@takes("filter_bank", "sedcrnn.features.filterbanks.gammatone_recursive.RecursiveGammatone")
class GammatoneKeys(BankKeys, total=False):
    """Gammatone filters."""

    window: Annotated[Positive, "Seconds per column."]


@takes("filter_bank", "sedcrnn.features.filterbanks.gammatone_fourier.FourierGammatone")
class FourierGammatoneKeys(GammatoneKeys, total=False):
    """Gammatone filters by fast convolution."""

    dtype: Annotated[
        Literal["float32", "float64"], "float32 is within 0.03 dB of the exact bank, float64 within 1e-6 dB."
    ]
    device: Annotated[Name, "torch device."]
    piece: Annotated[Positive, "Seconds per transform; 10 on a GPU."]
    bands_at_once: Annotated[Count, "Bands that are worked on together; bounds the memory."]


@takes(
    "filter_bank",
    "sedcrnn.features.filterbanks.short_time.GammatoneSTFTBank",
    "sedcrnn.features.filterbanks.short_time.MelBank",
)
class ShortTimeKeys(GammatoneKeys, total=False):
    """Filters on a short-time Fourier transform."""

    device: Annotated[Name, "torch device."]


@takes("filter_bank", "sedcrnn.features.filterbanks.short_time.CQTBank")
class CQTKeys(BankKeys, total=False):
    """Constant-Q transform."""

    filter_scale: Annotated[Positive, "Length of the windows; under 1 they are shorter and the bands wider."]
    device: Annotated[Name, "torch device."]


@takes("feature", "sedcrnn.features.spectrogram.Spectrogram")
class SpectrogramKeys(TypedDict, total=False):
    """The audio as the audio network takes it."""

    bank: Annotated[FilterBankNode, "The filters."]
    channels: Annotated[
        Literal["left_right_difference", "left_right", "mid_side", "mono"],
        "Channels made of left and right; the paper's are left_right_difference.",
    ]
    sample_rate: Annotated[Count, "Sample rate in Hz that every file is resampled to."]
    hop: Annotated[Positive, "Seconds from column to column; a fifth of a second is a whole number of columns."]
    amin: Annotated[
        float,
        Strict(),
        Field(ge=1e-8, lt=1),
        "RMS amplitude under which everything is equally silent; 1e-7 is -140 dB.",
    ]


@takes("feature", "sedcrnn.features.frames.Frames")
class FramesKeys(TypedDict, total=False):
    """The video as the visual network takes it."""

    rate: Annotated[float, Strict(), Field(ge=5, le=5), "Frames per second."]
    height: Annotated[Count, "Height of the frames in pixels."]
    width: Annotated[Count, "Width of the frames in pixels."]
    antialias: Annotated[Flag, "Smooth before resizing; the authors did not."]
    storage: Annotated[
        Literal["raw", "jpeg", "none"],
        "How frames are kept: exact pixels (92 GB for TAU), JPEG (13 to 19 GB), or not at all, for stages with a frozen encoder.",
    ]
    jpeg_quality: Annotated[int, Strict(), Field(ge=1, le=95), "Quality of the JPEG files."]


# Data sources


@takes("data_source", "sedcrnn.datasets.tau2021.Tau2021")
class Tau2021Keys(TypedDict, total=False):
    """TAU Urban Audio-Visual Scenes 2021."""

    root: Annotated[PathName, "Folder of the data set."]


@takes("data_source", "sedcrnn.datasets.folder.Folder")
class FolderKeys(TypedDict, total=False):
    """Own recordings in class folders."""

    root: Annotated[PathName, "Folder of the recordings."]
    scenes: Annotated[list[Name] | None, "Label order; null: sorted."]
    test_fraction: Annotated[Fraction, "Share of each scene's clips that a drawn test fold gets."]
    test_seed: Annotated[Seed, "Seed of that draw; every training seed is tested on the same clips."]


@takes("data_source", "sedcrnn.datasets.manifest.ManifestFile")
class ManifestKeys(FolderKeys, total=False):
    """Own recordings as a table lists them."""

    manifest: Annotated[PathName, "The table: csv, tsv or parquet; in the root, or an absolute path."]
    video_column: Annotated[
        Name | None, "Column with the file of the video; its audio too, where there is no column for audio."
    ]
    audio_column: Annotated[Name | None, "Column with the file of the audio."]
    label_column: Annotated[Name | None, "Column with the scene."]
    group_column: Annotated[
        Name | None, "Column of clips that no two folds may share; a clip without one is its own group."
    ]
    fold_column: Annotated[Name | None, "Column with train or test; without it the test fold is drawn by group."]


@takes("data_source", "sedcrnn.datasets.synthetic.Synthetic")
class SyntheticKeys(TypedDict, total=False):
    """Rendered scenes in the layout of TAU."""

    root: Annotated[PathName, "Folder of the rendered set."]
    seed: Annotated[Seed, "Seed of every draw of the rendering."]
    cities: Annotated[int, Strict(), Field(ge=1, le=10), "Cities over which the locations are spread."]
    locations: Annotated[Count, "Locations per scene in the training fold."]
    test_locations: Annotated[Count, "Locations per scene in the test fold."]
    segments: Annotated[Count, "Clips per location."]
    clip_seconds: Annotated[float, Strict(), Field(ge=1), "Length of a clip in seconds."]
    height: Annotated[Count, "Height of the video in pixels."]
    width: Annotated[Count, "Width of the video in pixels."]
    frame_rate: Annotated[Count, "Frames per second of the video."]
    workers: Annotated[CountOrNone, "Processes that render."]


# Augmentation


@takes("augmentation", "sedcrnn.augmentation.spectrogram_augmentation.SpectrogramAugmentation")
class SpectrogramAugmentationKeys(TypedDict, total=False):
    """Random changes of a window's spectrogram, before it is scaled."""

    gain: Annotated[NotNegative, "Most decibels by which each channel is raised or lowered."]
    swap: Annotated[Share, "Probability that left and right change places."]
    band_masks: Annotated[CountOrNone, "Number of masks over bands, as in SpecAugment."]
    band_mask_width: Annotated[CountOrNone, "Most bands under a mask."]
    column_masks: Annotated[CountOrNone, "Number of masks over columns."]
    column_mask_width: Annotated[CountOrNone, "Most columns under a mask."]


@takes("augmentation", "sedcrnn.augmentation.frame_augmentation.FrameAugmentation")
class FrameAugmentationKeys(TypedDict, total=False):
    """Random changes of a window's frames, one draw for all of them."""

    flip: Annotated[Share, "Probability that the frames are mirrored; the audio's left and right stay as they are."]
    crop: Annotated[float, Strict(), Field(ge=0.01, le=1), "Least share of the area that a random crop keeps; 1: off."]
    crop_ratio: Annotated[
        float, Strict(), Field(ge=1, le=10), "Most that a crop's width to height differs from 1, as a factor."
    ]
    brightness: Annotated[NotNegative, "Share by which brightness changes, at most."]
    contrast: Annotated[NotNegative, "Share by which contrast changes, at most."]
    saturation: Annotated[NotNegative, "Share by which saturation changes, at most."]
    hue: Annotated[float, Strict(), Field(ge=0, le=0.5), "Turn of the hues, at most, as a share of the colour circle."]
    rand_augment: Annotated[CountOrNone, "Number of operations of RandAugment."]
    rand_augment_magnitude: Annotated[int, Strict(), Field(ge=0, le=30), "Strength of RandAugment's operations."]
    erase: Annotated[Share, "Probability that a random rectangle turns black."]


# Training


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
    max_epochs: Annotated[Count, "Most epochs."]
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
    limit_train_batches: Annotated[NotNegative | None, "Batches of an epoch: a number, or a share."]
    limit_val_batches: Annotated[NotNegative | None, "Batches of a validation: a number, or a share."]
    overfit_batches: Annotated[NotNegative, "Train on so many batches alone: a number, or a share."]
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


@takes("logger", "sedcrnn.training.loggers.TensorBoardLog")
class TensorBoardKeys(TypedDict, total=False):
    """TensorBoard."""


takes("callback")(TypedDict("CallbackKeys", {}))

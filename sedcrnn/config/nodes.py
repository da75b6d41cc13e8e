"""What the classes that a config may name take: types, ranges and a sentence for each key.

Their values stand in conf/; here is what may be chosen instead. Nothing is imported to check it: torch alone would take
longer than anybody waits for a spelling mistake.
"""

from typing import Annotated, Literal, Required

from pydantic import Field, Strict
from typing_extensions import TypedDict

from sedcrnn.config.values import (
    Count,
    EarlyFusionNode,
    FilterBankNode,
    Flag,
    Name,
    NetworkNode,
    NotNegative,
    OnDamage,
    Positive,
    Second,
    Share,
    Side,
    Thousand,
    takes,
)

# Networks


@takes("network", "sedcrnn.networks.audio.AudioNetwork")
class AudioNetworkKeys(TypedDict, total=False):
    """The squeeze-excitation CNN on spectrograms."""

    scenes: Annotated[Count, "Number of scenes; the data decide it."]
    multi_label: Annotated[Flag, "Whether a second has any number of scenes; the data decide it."]
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
    spatial_start: Annotated[Literal["glorot", "he_normal"], "What the spatial squeeze-excitation starts as."]
    dropout: Annotated[Share, "Dropout after each block."]
    momentum: Annotated[Share, "Momentum of batch normalisation in torch's sense; Keras' 0.99 is 0.01."]


@takes("network", "sedcrnn.networks.audio_encoder.AudioEncoderNetwork")
class AudioEncoderNetworkKeys(TypedDict, total=False):
    """A timm network on spectrograms as images."""

    scenes: Annotated[Count, "Number of scenes; the data decide it."]
    multi_label: Annotated[Flag, "Whether a second has any number of scenes; the data decide it."]
    channels: Annotated[Count, "Channels of the spectrogram; the data decide it."]
    bands: Annotated[Count, "Bands of the spectrogram; the data decide it."]
    columns: Annotated[Count, "Columns of the spectrogram in a second; the data decide it."]
    backbone: Annotated[Name, "timm architecture; <architecture>.<tag> says whose weights it will get."]
    image_height: Annotated[Side | None, "Height in pixels that the spectrogram is resized to; null: its bands."]
    image_width: Annotated[
        Side | None,
        "Width in pixels that it is resized to, 32 of which are a time step of most networks; null: its columns.",
    ]
    dropout: Annotated[Share, "Dropout before the dense layer."]


@takes("network", "sedcrnn.networks.visual.VisualNetwork")
class VisualNetworkKeys(TypedDict, total=False):
    """A frame encoder and a bidirectional GRU on frames."""

    scenes: Annotated[Count, "Number of scenes; the data decide it."]
    multi_label: Annotated[Flag, "Whether a second has any number of scenes; the data decide it."]
    height: Annotated[Side, "Height of the frames in pixels; the data decide it."]
    width: Annotated[Side, "Width of the frames in pixels; the data decide it."]
    backbone: Annotated[Name, "timm architecture; <architecture>.<tag> says whose weights it will get."]
    frame_pooling: Annotated[
        Literal["max", "average", "model"],
        "Pooling of the last map: max in the authors' code, average in the paper's figure; model: the backbone's own.",
    ]
    normalisation: Annotated[
        Literal["raw", "imagenet", "places365", "timm"],
        "Normalisation of the frames, as the weights need it; raw: 0-255 RGB, as in the authors' notebooks.",
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
        Literal["gru", "gated", "cross_attention", "linear", "none"] | EarlyFusionNode,
        "Fusion of the embeddings: gru is the paper's; linear is a linear probe of both; or a class of your own.",
    ]
    late: Annotated[Literal["learned", "average", "none"], "Fusion of the predictions: learned is the paper's."]
    late_inputs: Annotated[
        Literal["probabilities", "log_probabilities"],
        "What late fusion gets of the predictions: probabilities are the paper's.",
    ]
    late_start: Annotated[
        Literal["glorot", "average"],
        "What a learned late fusion starts as: random weights (the paper's), or the average of its inputs.",
    ]
    missing: Annotated[
        Literal["subnetwork", "zero", "learned"],
        "Where audio or video is missing, the other's network answers; or fusion, by a zero or learned embedding.",
    ]


@takes(
    "module",
    "sedcrnn.training.modules.AudioModule",
    "sedcrnn.training.modules.VisualModule",
    "sedcrnn.training.modules.FusionModule",
    "sedcrnn.training.modules.SceneModule",
)
class ModelKeys(TypedDict, total=False):
    """A LightningModule, and the network that it trains."""

    network: Required[NetworkNode]


# Features


class BankKeys(TypedDict, total=False):
    """Filters of a spectrogram."""

    bands: Annotated[Thousand, "Number of filters."]
    low_hz: Annotated[NotNegative, "Centre frequency of the lowest band; for mel its lower edge."]
    high_hz: Annotated[Positive | None, "Upper end of the range in Hz; null: half the sample rate."]


@takes("filter_bank", "sedcrnn.features.filterbanks.gammatone_recursive.RecursiveGammatone")
class GammatoneKeys(BankKeys, total=False):
    """Gammatone filters."""

    window: Annotated[Second, "Seconds per column."]


@takes("filter_bank", "sedcrnn.features.filterbanks.gammatone_fourier.FourierGammatone")
class FourierGammatoneKeys(GammatoneKeys, total=False):
    """Gammatone filters by fast convolution."""

    dtype: Annotated[
        Literal["float32", "float64"], "float32 is within 0.03 dB of the exact bank, float64 within 1e-6 dB."
    ]
    device: Annotated[Name, "torch device."]
    piece: Annotated[float, Strict(), Field(gt=0, le=60), "Seconds per transform; 10 on a GPU."]
    bands_at_once: Annotated[Thousand, "Bands that are worked on together; bounds the memory."]


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
    sample_rate: Annotated[int, Strict(), Field(ge=1, le=384_000), "Sample rate in Hz that every file is resampled to."]
    hop: Annotated[Second, "Seconds from column to column; a fifth of a second is a whole number of columns."]
    amin: Annotated[
        float,
        Strict(),
        Field(ge=1e-8, lt=1),
        "RMS amplitude under which everything is equally silent; 1e-7 is -140 dB.",
    ]
    damage: OnDamage


@takes("feature", "sedcrnn.features.frames.Frames")
class FramesKeys(TypedDict, total=False):
    """The video as the visual network takes it."""

    rate: Annotated[float, Strict(), Field(ge=5, le=5), "Frames per second."]
    height: Annotated[Side, "Height of the frames in pixels."]
    width: Annotated[Side, "Width of the frames in pixels."]
    antialias: Annotated[Flag, "Smooth before resizing; the authors did not."]
    storage: Annotated[
        Literal["raw", "jpeg", "none"],
        "How frames are kept: exact pixels (92 GB for TAU), JPEG (13 to 19 GB), or not at all, for frozen encoders.",
    ]
    jpeg_quality: Annotated[int, Strict(), Field(ge=1, le=95), "Quality of the JPEG files."]
    jpeg_decoder: Annotated[
        Literal["cpu", "gpu"],
        "What decodes JPEG frames while a stage is trained on a GPU: loading processes, or nvJPEG.",
    ]
    damage: OnDamage

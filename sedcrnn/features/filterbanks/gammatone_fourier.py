"""Waveform -> gammatone filters as products of spectra, piece by piece -> energy per hop: at home on a GPU."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from sedcrnn.errors import ConfigError
from sedcrnn.features.channels import ChannelLayout, mixed
from sedcrnn.features.filterbanks import Counted, Floats, pieces
from sedcrnn.features.filterbanks.gammatone import GammatoneBank, bandwidths, cascades

DECAYED = 40.0
"""A filter's memory is taken to end where exp(-2 pi bandwidth t) is exp(-40): 260 dB down."""


DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True, kw_only=True)
class FourierGammatone(GammatoneBank):
    """The gammatone bank by fast convolution (overlap-save), in torch; arguments as `GammatoneBank`, and:

    Args:
        dtype: `float32`, within 0.03 dB of the reference on every kind of sound that was tried, or `float64`, within
            1e-6 dB.
        device: torch device.
        piece: seconds of sound per transform; one is best on a CPU, ten on a GPU.
        bands_at_once: bands per transform; bounds the memory.
    """

    dtype: str = "float32"
    device: str = "cpu"
    piece: float = 1.0
    bands_at_once: int = 8

    method = "gammatone_fourier"
    version = 1
    not_in_key = ("device", "bands_at_once")

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES or self.piece <= 0 or self.bands_at_once < 1:
            raise ConfigError(
                f"features.spectrogram.bank has dtype={self.dtype}, piece={self.piece} and "
                f"bands_at_once={self.bands_at_once}",
                f"dtype is {' or '.join(DTYPES)}, and the others are above 0",
                "Correct the value",
            )

    def energies(
        self, blocks: Iterable[Floats], sample_rate: int, samples: int, layout: ChannelLayout
    ) -> Iterator[Floats]:
        """See `GammatoneBank`."""
        hops = max(1, round(self.piece * sample_rate / samples))
        convolution = _convolution(self, sample_rate, samples, hops)
        stream = Counted(blocks)
        done = 0
        for piece in pieces(stream, convolution.size, hops * samples, convolution.memory):
            sound = torch.from_numpy(mixed(piece, layout.mix))
            energy = convolution(sound)[..., : stream.samples // samples - done]
            done += energy.shape[-1]
            yield energy.cpu().double().numpy()


class Convolution:
    """The filters of a bank, ready for pieces of one size.

    Args:
        bank: whose filters.
        sample_rate: in Hz.
        samples: per hop.
        hops: per piece.

    Attributes:
        memory: samples at the start of a piece that only set the filters going.
        size: samples of a piece.
    """

    def __init__(self, bank: FourierGammatone, sample_rate: int, samples: int, hops: int) -> None:
        centres = bank.centres(sample_rate)
        slowest = bandwidths(centres).min()
        self.memory = math.ceil(DECAYED / (2 * math.pi * slowest) * sample_rate)
        self.size = self.memory + hops * samples
        self.samples = samples
        self.length = next_fast_len(self.size, real=True)
        turns = 2 * np.pi * np.arange(self.length // 2 + 1) / self.length
        response = torch.from_numpy(cascades(centres, sample_rate).response(turns))
        self.dtype = DTYPES[bank.dtype]
        self.device = torch.device(bank.device)
        self.responses = torch.split(response.to(self.device, self.dtype.to_complex()), bank.bands_at_once)

    @torch.inference_mode()
    def __call__(self, sound: Tensor) -> Tensor:
        """(..., channel, sample) -> (..., channel, band, hop) energies, as if zeros followed up to `size` samples; any
        leading axes, such as a batch of clips."""
        # What a transform wraps around falls on the samples that only set the filters going.
        spectrum = torch.fft.rfft(sound.to(self.device, self.dtype), self.length)[..., None, :]
        energies = []
        for response in self.responses:
            filtered = torch.fft.irfft(spectrum * response, self.length)[..., self.memory : self.size]
            energies.append(filtered.unflatten(-1, (-1, self.samples)).square().sum(-1))
        return torch.cat(energies, dim=-2)


@cache
def _convolution(bank: FourierGammatone, sample_rate: int, samples: int, hops: int) -> Convolution:
    """Made once for all files."""
    return Convolution(bank, sample_rate, samples, hops)

"""Waveform -> gammatone filters as products of spectra, piece by piece -> energy per hop: at home on a GPU."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from sedcrnn.features.filterbanks import ChannelLayout, Floats, mixed, pieces
from sedcrnn.features.filterbanks.gammatone import Cascades, GammatoneBank, bandwidths


@dataclass(frozen=True, kw_only=True)
class FourierGammatone(GammatoneBank):
    """The gammatone bank by fast convolution (overlap-save), in torch: within 0.03 dB of the reference in float32, and
    1e-6 dB in float64. A piece of `piece` seconds is transformed at once."""

    dtype: str = "float32"
    device: str = "cpu"
    piece: float = 1.0
    bands_at_once: int = 8

    method = "gammatone_fourier"
    version = 1
    not_in_key = ("device", "bands_at_once")

    def energies(
        self, blocks: Iterable[Floats], sample_rate: int, samples: int, layout: ChannelLayout
    ) -> Iterator[Floats]:
        """See `GammatoneBank`."""
        hops = max(1, round(self.piece * sample_rate / samples))
        convolution = _convolution(self, sample_rate, samples, hops)
        done = 0
        for piece, length in pieces(blocks, convolution.size, hops * samples, convolution.memory):
            waveform = torch.from_numpy(mixed(piece, layout.mix))
            energy = convolution(waveform)[..., : length // samples - done]
            done += energy.shape[-1]
            yield energy.cpu().double().numpy()


class Convolution:
    """The filters of a bank, ready for pieces of so many hops, each of so many samples.

    Attributes:
        memory: samples at the start of a piece that only set the filters going.
        size: samples of a piece.
    """

    def __init__(self, bank: FourierGammatone, sample_rate: int, samples: int, hops: int) -> None:
        centres = bank.centres(sample_rate)
        # A filter's memory is taken to end where exp(-2 pi bandwidth t) is exp(-40): 260 dB down.
        self.memory = math.ceil(40.0 / (2 * math.pi * bandwidths(centres).min()) * sample_rate)
        self.size = self.memory + hops * samples
        self.samples = samples
        self.length = next_fast_len(self.size, real=True)
        turns = 2 * np.pi * np.arange(self.length // 2 + 1) / self.length
        response = torch.from_numpy(Cascades(centres, sample_rate).response(turns))
        self.dtype: torch.dtype = getattr(torch, bank.dtype)
        self.device = torch.device(bank.device)
        self.responses = torch.split(response.to(self.device, self.dtype.to_complex()), bank.bands_at_once)

    @torch.inference_mode()
    def __call__(self, waveform: Tensor) -> Tensor:
        """(..., channel, sample) -> (..., channel, band, hop) energies, as if zeros followed up to `size` samples."""
        # What a transform wraps around falls on the samples that only set the filters going.
        spectrum = torch.fft.rfft(waveform.to(self.device, self.dtype), self.length)[..., None, :]
        energies = []
        for response in self.responses:
            filtered = torch.fft.irfft(spectrum * response, self.length)[..., self.memory : self.size]
            energies.append(filtered.unflatten(-1, (-1, self.samples)).square().sum(-1))
        return torch.cat(energies, dim=-2)


_convolution = cache(Convolution)  # made once for all files

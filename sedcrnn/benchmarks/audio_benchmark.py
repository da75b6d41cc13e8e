"""Every spectrogram against the package that the authors used: CPU time and error, side by side in one run.

python -m sedcrnn.benchmarks.audio_benchmark     (make bench-audio installs the reference package first)
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from sedcrnn.benchmarks.sounds import KINDS, RATE, SAMPLES
from sedcrnn.benchmarks.timing import REPEATS, cpu_seconds
from sedcrnn.features.channels import LAYOUTS, mixed
from sedcrnn.features.filterbanks import FilterBank
from sedcrnn.features.filterbanks.gammatone_fourier import Convolution, FourierGammatone
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.filterbanks.short_time import CQTBank, GammatoneSTFTBank, MelBank
from sedcrnn.features.spectrogram import Spectrogram

LAYOUT = LAYOUTS["left_right_difference"]
HOP, FLOOR = 0.02, 1e-7

BANKS: dict[str, FilterBank] = {
    "gammatone (numba, float64)": RecursiveGammatone(),
    "gammatone_fourier (torch, float64)": FourierGammatone(dtype="float64"),
    "gammatone_fourier (torch, float32)": FourierGammatone(),
    "gammatone_stft (nnAudio)": GammatoneSTFTBank(),
    "mel (torchaudio)": MelBank(),
    "cqt (nnAudio)": CQTBank(),
}
GAMMATONES = 4  # of them are to equal the reference

Wave = NDArray[np.float64]


def reference(wave: Wave) -> Wave:
    """`gammatone` 1.0.3 on L, R and L-R, as the authors called it: RMS (channel=3, band, column)."""
    try:
        from gammatone.gtgram import gtgram
    except ModuleNotFoundError:
        sys.exit("The reference package is missing: `make bench-audio`, or `pip install gammatone==1.0.3`.")
    left, right = wave
    return np.stack([gtgram(one, RATE, 0.04, HOP, 64, 0)[::-1] for one in (left, right, left - right)])


def analyse(bank: FilterBank, wave: Wave) -> Wave:
    """RMS (channel=3, band, column)."""
    return np.concatenate(list(bank.columns([wave], RATE, HOP, LAYOUT)), axis=-1)


def time_table() -> None:
    """CPU time of ten seconds of stereo, on one core, and how often it goes into the reference's."""
    wave = KINDS["noise"]()
    base = cpu_seconds(lambda: reference(wave), repeats=2)
    print(f"{'CPU time, 10 s of stereo, one core':40}{'seconds':>10}{'x reference':>14}")
    print(f"{'gammatone 1.0.3 (the authors)':40}{base:10.3f}{1:14.1f}")
    for name, bank in BANKS.items():
        seconds = cpu_seconds(lambda bank=bank: analyse(bank, wave))  # type: ignore[misc]
        print(f"{name:40}{seconds:10.3f}{base / seconds:14.1f}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        soundfile.write(path, np.random.default_rng(0).standard_normal((10 * 48000, 2)) / 10, 48000, subtype="PCM_24")
        feature = Spectrogram(bank=RecursiveGammatone())
        seconds = cpu_seconds(lambda: feature.extract(path))
    print(f"{'whole front end, from a 48-kHz wav file':40}{seconds:10.3f}{base / seconds:14.1f}")


def error_table() -> None:
    """Error of every gammatone bank on every kind of sound, in decibels above the floor."""

    def in_db(rms: Wave) -> Wave:
        return 20 * np.log10(np.maximum(rms, FLOOR))

    names = list(BANKS)[:GAMMATONES]
    print(f"\n{'error in dB: mean, largest':18}" + "".join(f"{name.split(' ', 1)[1]:>24}" for name in names))
    for kind, make in KINDS.items():
        wave = make()
        expected = in_db(reference(wave))
        errors = [np.abs(in_db(analyse(BANKS[name], wave)) - expected) for name in names]
        print(f"{kind:26}" + "".join(f"{error.mean():14.1e} {error.max():9.1e}" for error in errors))


def gpu_table() -> None:
    """Clips per second of the torch bank on a GPU, in batches, and its error there."""
    wave = KINDS["noise"]()
    expected = reference(wave)
    print(f"\n{torch.cuda.get_device_name()}: gammatone_fourier, 10-s clips of stereo")
    for dtype in ("float32", "float64"):
        for batch in (1, 8, 32):
            bank = FourierGammatone(dtype=dtype, device="cuda", piece=10.0)
            convolution = Convolution(bank, RATE, round(HOP * RATE), SAMPLES // round(HOP * RATE))
            padded = np.pad(mixed(wave, LAYOUT.mix), ((0, 0), (convolution.memory, 0)))
            sound = torch.from_numpy(padded).to("cuda", torch.float32).expand(batch, -1, -1).contiguous()
            convolution(sound)
            torch.cuda.synchronize()
            started = time.monotonic()
            for _ in range(REPEATS):
                convolution(sound)
            torch.cuda.synchronize()
            rate = REPEATS * batch / (time.monotonic() - started)
            difference = np.abs(20 * np.log10(analyse(bank, wave) / expected))
            memory = torch.cuda.max_memory_allocated() / 2**30
            print(
                f"  {dtype}, batch {batch:2}: {rate:8.0f} clips/s; error {difference.mean():.1e} mean, "
                f"{difference.max():.1e} max dB; {memory:.1f} GiB at most so far"
            )


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    time_table()
    error_table()
    if torch.cuda.is_available():
        gpu_table()


if __name__ == "__main__":
    main()

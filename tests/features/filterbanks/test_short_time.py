import numpy as np
import pytest

from sedcrnn.benchmarks.audio_benchmark import KINDS
from sedcrnn.features.filterbanks import LAYOUTS
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.filterbanks.short_time import CQTBank, GammatoneSTFTBank, MelBank

BANKS = [MelBank(), GammatoneSTFTBank(), CQTBank()]
IDS = ["mel", "gammatone_stft", "cqt"]


def analyse(bank, waveform, layout="left_right", rate=44100, hop=0.02, block=None):
    size = block or waveform.shape[1]
    blocks = [waveform[:, start : start + size] for start in range(0, waveform.shape[1], size)]
    return np.concatenate(list(bank.columns(blocks, rate, hop, LAYOUTS[layout])), axis=-1)


def sine(hz, seconds=1.0, rate=44100):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("bank", BANKS, ids=IDS)
@pytest.mark.parametrize("band", [5, 20, 40])
def test_a_sine_has_its_rms_in_its_band(bank, band):
    hz = bank.centres(44100)[band]
    rms = analyse(bank, np.stack([sine(hz), 0.1 * sine(hz)]))
    assert rms.shape == (2, 64, 49)
    assert rms[0, :, 24].argmax() == band
    assert rms[0, band, 24] == pytest.approx(0.5 / np.sqrt(2), rel=0.06)
    np.testing.assert_allclose(rms[1, :, 24], 0.1 * rms[0, :, 24], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("bank", BANKS, ids=IDS)
def test_columns_stand_where_the_gammatone_banks_do(bank):
    click = np.zeros((2, 44100))
    click[:, 882 * 21] = 1  # the middle of column 20, which spans hops 20 and 21
    high = slice(0, 10)  # bands whose windows are short
    expected = analyse(RecursiveGammatone(), click)[0, high].sum(0)
    energy = analyse(bank, click)[0, high].sum(0)
    assert energy.argmax() == 20
    assert expected[20:22].sum() > 0.9 * expected.sum()
    assert energy[19] == pytest.approx(energy[21], rel=0.05)


@pytest.mark.parametrize("bank", BANKS, ids=IDS)
def test_the_sizes_of_the_blocks_and_the_pieces_change_nothing(bank, monkeypatch):
    waveform = 0.1 * np.random.default_rng(1).standard_normal((2, 100_003))
    whole = analyse(bank, waveform)
    assert whole.shape[-1] == 112
    np.testing.assert_allclose(analyse(bank, waveform, block=3001), whole, rtol=1e-5)
    monkeypatch.setattr("sedcrnn.features.filterbanks.short_time.COLUMNS_AT_ONCE", 7)
    np.testing.assert_allclose(analyse(bank, waveform, block=3001), whole, rtol=1e-4, atol=1e-7)


def test_the_corrected_nnaudio_gammatone_is_near_the_exact_one():
    waveform = KINDS["noise"]()
    exact, near = (20 * np.log10(analyse(bank, waveform)) for bank in (RecursiveGammatone(), GammatoneSTFTBank()))
    difference = np.abs(exact - near)
    assert difference.mean() < 0.7
    assert np.abs(exact.mean(-1) - near.mean(-1))[:, :60].max() < 0.35  # over time, band by band
    # Uncorrected, it applies |H| to the power: bands take in their neighbours, 4.6 dB in the mean (docs/front_end.md).


def test_mel_bands_share_out_all_the_power():
    waveform = 0.1 * np.random.default_rng(2).standard_normal((2, 88200))
    inside = MelBank().transform(44100, 882)
    power = (analyse(MelBank(), waveform)[0] ** 2).sum(0).mean()
    assert inside[1] == 2048
    # Triangles overlap to one, except beyond the centres of the first and the last: white noise loses little there.
    assert power == pytest.approx(0.1**2, rel=0.08)


def test_side_and_mono_are_made_before_the_transform():
    left = sine(1000)
    rms = analyse(MelBank(), np.stack([left, left]), "mid_side")
    assert rms[1].max() == 0
    opposite = analyse(MelBank(), np.stack([left, -left]), "mono")
    assert opposite.max() == 0


@pytest.mark.parametrize("bank", [MelBank(bands=20, window=0.025), GammatoneSTFTBank(bands=20), CQTBank(bands=20)])
@pytest.mark.parametrize(("rate", "hop"), [(16000, 0.01), (48000, 0.02)])
def test_other_rates_hops_and_numbers_of_bands(bank, rate, hop):
    bank = type(bank)(**{**vars(bank), "high_hz": 7000.0})
    hz = bank.centres(rate)[10]
    rms = analyse(bank, np.stack([sine(hz, rate=rate)] * 2), rate=rate, hop=hop)
    assert rms.shape == (2, 20, round(1 / hop) - 1)
    assert rms[0, :, 20].argmax() == 10


def test_devices_are_no_part_of_the_key():
    assert MelBank(device="cuda").parameters() == MelBank().parameters()
    assert MelBank(bands=65).parameters() != MelBank().parameters()
    assert MelBank().parameters()["method"] == "mel"

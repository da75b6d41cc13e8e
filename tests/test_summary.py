"""The summary command's figures are the paper's."""

import sys

import pytest

from sedcrnn import summary


@pytest.mark.parametrize(
    ("model", "figures"),
    [
        ("model=audio", ["323,274", "321,930", "128 x 64 x 12"]),
        ("model=visual", ["14,820,170", "104,832", "76.7"]),
        ("model=fusion", ["15,416,148", "271,104", "77.04 GMAC"]),
        # The presets of docs/backbones.md, in whole fusion networks.
        ("model=fusion network@parts.visual=visual_small", ["Parameters: 11,211,224,", "10.38 GMAC"]),
        ("model=fusion network@parts.visual=visual_large", ["Parameters: 86,644,692,", "87.66 GMAC"]),
        ("model=fusion network@parts.visual=visual_cpu", ["Parameters: 3,635,508,", "1.23 GMAC"]),
        ("model=fusion network@parts.visual=visual_lite", ["Parameters: 4,513,492,", "2.22 GMAC"]),
        ("model=visual_lite", ["Parameters: 3,623,946,", "1.92 GMAC"]),
        ("model=audio_encoder", ["Parameters: 4,927,618,", "0.45 GMAC"]),
        ("model=audio_lite", ["Parameters: 3,383,818,", "0.08 GMAC", "1 x 1280 x 2 x 5"]),
        ("model=visual_small", ["Parameters: 10,641,166,", "10.08 GMAC"]),
        ("model=visual_large", ["Parameters: 85,951,754,", "87.36 GMAC"]),
        ("model=visual_cpu", ["Parameters: 2,745,962,", "0.92 GMAC"]),
    ],
)
def test_the_table_has_the_published_and_documented_counts(
    model: str, figures: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sedcrnn.summary", *model.split()])
    summary.main()
    told = capsys.readouterr().out
    assert all(figure in told for figure in figures)

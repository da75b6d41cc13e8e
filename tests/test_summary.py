"""The summary command's figures are the paper's."""

import sys

import pytest

from sedcrnn import summary


@pytest.mark.parametrize(
    ("model", "figures"),
    [
        ("audio", ["323,274", "321,930", "128 x 64 x 12"]),
        ("visual", ["14,820,170", "104,832", "76.7"]),
        ("fusion", ["15,416,148", "271,104", "77.04 GMAC"]),
    ],
)
def test_the_table_has_the_papers_counts(
    model: str, figures: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sedcrnn.summary", f"model={model}"])
    summary.main()
    told = capsys.readouterr().out
    assert all(figure in told for figure in figures)

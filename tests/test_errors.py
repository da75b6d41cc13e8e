"""Errors in words: on one line, whatever the names in them."""

import os

import pytest

from sedcrnn.errors import DataError, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Jörg 日本.mp4", "Jörg 日本.mp4"),
        (os.fsdecode(b"b\xfc.mp4"), r"b\xfc.mp4"),
        ("new\nline\r\t\x1b[31m", r"new\nline\r\t\x1b[31m"),
        ("no-break\u00a0space", "no-break\u00a0space"),
        ("\u2028", r"\u2028"),
    ],
)
def test_names_are_shown_as_text_on_one_line(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert str(DataError(text, "a", "b")) == f"{shown}. a. b."


def test_sentences_end_as_they_are_written() -> None:
    assert str(DataError("None exists: a, b, ...", "Files are.", "Do it")) == "None exists: a, b, ... Files are. Do it."

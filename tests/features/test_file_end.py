"""Files that are several of their kind, one behind another, are not taken for the first of them."""

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sedcrnn.datasets.headers import read_audio_header
from sedcrnn.errors import ClipError
from sedcrnn.features.file_end import joined
from sedcrnn.features.media_file import check_end
from tests.conftest import write_video


def part(path: Path, seed: int) -> bytes:
    if path.suffix == ".mp4":
        write_video(path, (40, 160, 40), seed, 1)
    else:
        soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, 8001), 8000)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", ["wav", "aiff", "au", "mp4"])
def test_joined_files_of_which_readers_know_the_first_are_refused(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"a.{suffix}"
    parts = [part(path, seed) for seed in (1, 2)]
    assert joined(path) is None
    path.write_bytes(b"".join(parts))
    with pytest.raises(ClipError, match="is several files joined into one, of which only the first would be read"):
        check_end(path, "stop")
    if suffix != "mp4":
        with pytest.raises(ClipError, match="several files joined"):
            read_audio_header(path)
    with caplog.at_level(logging.WARNING):
        check_end(path, "end")
    assert f"'{path}' is several files joined into one" in caplog.text


def test_a_name_of_a_kind_within_the_sound_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.frombuffer(b"RIFF" * 4000, dtype=np.int16), 8000)
    assert joined(path) is None

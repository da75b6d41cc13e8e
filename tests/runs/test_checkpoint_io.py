"""Lightning's checkpoints are whole or absent, and the one before stays until then."""

import errno
import io
from pathlib import Path

import pytest
import torch

from sedcrnn.runs.checkpoint_io import WholeCheckpoints
from sedcrnn.runs.checkpoints import SCHEMA_KEY, SCHEMA_VERSION


def test_a_disk_that_fills_up_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, path = WholeCheckpoints(), tmp_path / "checkpoints" / "last.ckpt"
    writer.save_checkpoint({"epoch": 1, "weights": torch.ones(2), SCHEMA_KEY: SCHEMA_VERSION}, path)

    class Full(io.RawIOBase):
        def write(self, content: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

        def writable(self) -> bool:
            return True

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda *_: Full())
        with pytest.raises(OSError, match="No space left"):
            writer.save_checkpoint({"epoch": 2}, path)
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]
    assert writer.load_checkpoint(path)["epoch"] == 1
    writer.remove_checkpoint(path)
    assert not path.exists()

"""How Lightning writes and reads checkpoints here: whole or not at all, and executing nothing."""

from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import CheckpointIO

from sedcrnn.runs.checkpoints import read_content, write_checkpoint


class WholeCheckpoints(CheckpointIO):
    """Lightning's own goes through a temporary folder, from which it copies: where that is another file system, or the
    disk is full, a checkpoint may be half-written, and the one before is lost."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Replace a checkpoint by the new one, when that is on the disk."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """What a checkpoint holds, whoever wrote it."""
        return read_content(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint, if it is there."""
        Path(path).unlink(missing_ok=True)

"""Run folders: what a training stage leaves on disk, keyed by all that made it; docs/index.md lists the files."""

import glob
import logging
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

import sedcrnn
from sedcrnn.config import digest
from sedcrnn.config.stage_config import TrainConfig, without_places
from sedcrnn.errors import CheckpointError
from sedcrnn.runs.checkpoints import BEST
from sedcrnn.runs.files import locked, write_json, write_text
from sedcrnn.runs.records import (
    CHECKPOINTS,
    CONFIG,
    RECORD,
    Differences,
    differences,
    is_finished,
    read_config,
    read_record,
)
from sedcrnn.sweeps.ranks import is_first_process

log = logging.getLogger(__name__)

_PACKAGES = "torch pytorch-lightning timm torchvision torchaudio numpy scipy numba nnaudio av soundfile soxr"


class Run:
    """One training stage on disk: of a config and of inputs, which are data and starting checkpoints with digests.

    `published` says of each encoder that started from published weights which they are, whose, and under what licence.
    """

    def __init__(
        self, config: TrainConfig, inputs: Mapping[str, Any], published: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self.config, self.inputs, self.published = config, inputs, published or {}
        self.decisive = without_places(asdict(config))  # the part of the config that the result depends on
        self.key = digest([self.decisive, inputs, sedcrnn.__version__])
        name = config.name.replace("/", "-")
        self.folder = _folder_of(Path(config.runs) / f"{name}-s{config.seed}-{self.key[:8]}", self.key)

    @property
    def finished(self) -> bool:
        """Whether this very stage has been trained to its end, and its network is there; nothing is written."""
        record = read_record(self.folder)
        if record is None or not is_finished(record) or record.get("key") != self.key:
            return False
        best = self.folder / BEST
        expected = record["best"].get("bytes") if isinstance(record.get("best"), dict) else None
        whole = best.is_file() and best.stat().st_size == expected
        if not whole:
            log.warning("%s is missing or cut short: it is trained again.", best, extra={"once": True})
        return whole

    def nearest_earlier(self) -> tuple[Path, Differences] | None:
        """Unless this stage was begun before: of the finished runs of this name and seed, the one that differs in the
        fewest values of config, inputs and the package's version, with these values, older -> this."""
        if (self.folder / RECORD).is_file():
            return None
        made = {**self.decisive, "inputs": self.inputs, "sedcrnn": sedcrnn.__version__}
        found: dict[Path, Differences] = {}
        for folder in sorted(self.folder.parent.glob(f"{glob.escape(self.folder.name[:-8])}????????")):
            record = read_record(folder)
            if record is not None and is_finished(record):
                with suppress(CheckpointError):  # another run's broken file is none of this one's business
                    added = {"inputs": record.get("inputs"), "sedcrnn": record.get("versions", {}).get("sedcrnn")}
                    found[folder] = differences(without_places(read_config(folder)) | added, made)
        return min(found.items(), key=lambda item: len(item[1]), default=None)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder (in the first process), so that no other command trains the same stage at the same time.

        Folders in which no epoch was finished, this one and those that killed commands have left, are removed.
        """
        if not is_first_process():
            yield
            return
        in_use = CheckpointError(
            f"Another process is training in {self.folder}",
            "One process at a time may write a run folder",
            "Wait for it to end, or stop it",
        )
        for folder in {record.parent for record in self.folder.parent.glob(f"*/{RECORD}")} - {self.folder}:
            if not _is_worth_keeping(folder):
                with suppress(BlockingIOError), locked(folder / ".lock", BlockingIOError()):  # else it is being trained
                    shutil.rmtree(folder)
        with locked(self.folder / ".lock", in_use):
            try:
                yield
            finally:
                if not _is_worth_keeping(self.folder):
                    shutil.rmtree(self.folder)

    def start(self) -> None:
        """Write the config and a record that says the run is under way."""
        if is_first_process():
            write_text(self.folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(asdict(self.config))))
        self._write_record(status="running")

    def finish(self, best: Mapping[str, Any], status: str = "finished", **results: Any) -> None:
        """Mark the run as done, with its results, and those of its best epoch; or as ended with another status."""
        if is_first_process():
            kept = {**best, "checkpoint": str(BEST), "bytes": (self.folder / BEST).stat().st_size}
            self._write_record(status=status, finished=_now(), best=kept, **results)

    def _write_record(self, status: str, **more: Any) -> None:
        if not is_first_process():
            return
        earlier = read_record(self.folder) or {}
        record = {
            "status": status,
            "name": self.config.name,
            "seed": self.config.seed,
            "key": self.key,
            "config_hash": digest(self.decisive),
            "selection": self.config.data.selection,
            "inputs": dict(self.inputs),
            "published_weights": dict(self.published),
            "versions": {"sedcrnn": sedcrnn.__version__, "python": platform.python_version()}
            | {package: version(package) for package in _PACKAGES.split()},
            "git_commit": _git_commit(),
            "started": earlier.get("started", _now()),
            **more,
        }
        write_json(self.folder / RECORD, record)


def _folder_of(folder: Path, key: str) -> Path:
    """The folder of a stage: by its name, or, where that is not there, one of another name that holds this very stage,
    because it was renamed or copied."""
    if not (folder / RECORD).is_file():
        for record in sorted(folder.parent.glob(f"*/{RECORD}")):
            if (read_record(record.parent) or {}).get("key") == key:
                return record.parent
    return folder


def _is_worth_keeping(folder: Path) -> bool:
    """Whether an epoch was finished: then there is a checkpoint. What cannot be read may be of a run that was."""
    record = read_record(folder)
    is_broken = record is None and (folder / RECORD).is_file()
    return is_broken or is_finished(record) or any((folder / CHECKPOINTS).glob("*.ckpt"))


def _git_commit() -> str | None:
    """Commit of the checkout that the code runs from, marked where files differ from it; None outside git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    here = Path(sedcrnn.__file__).parent
    with suppress(FileNotFoundError, subprocess.CalledProcessError):  # no git on this machine, or no checkout
        return subprocess.run(command, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

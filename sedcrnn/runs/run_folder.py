"""Run folders: what a finished, running or killed training stage leaves on disk, keyed by all that made it.

runs/<name>-s<seed>-<key>/
    config.yaml          resolved config
    record.json          status, key, inputs with hashes, versions, git commit, seed, best scores
    metrics.csv          one row per epoch
    checkpoints/         best.ckpt, last.ckpt
    evaluation/          written by sedcrnn.evaluate
        latency.json     time of one forward pass, and where it was measured
        <fold>/          predictions.csv, metrics.json
"""

import glob
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from tqdm import tqdm

import sedcrnn
from sedcrnn.config import digest
from sedcrnn.config.stage_config import TrainConfig, without_places
from sedcrnn.errors import CheckpointError
from sedcrnn.evaluation.metrics import CHECKPOINT_MONITOR
from sedcrnn.runs.differences import Differences, differences
from sedcrnn.runs.files import locked, write_json, write_text
from sedcrnn.sweeps.processes import RESULT
from sedcrnn.sweeps.ranks import is_first_process

_RECORDED_PACKAGES = (
    *("torch", "pytorch-lightning", "timm", "torchvision", "torchaudio", "numpy", "scipy", "numba"),
    *("nnaudio", "av", "soundfile", "soxr"),
)

CONFIG, RECORD = "config.yaml", "record.json"


def stage_config(config: TrainConfig) -> dict[str, Any]:
    """The part of a stage's config that its result depends on, as plain data."""
    return without_places(asdict(config))


class Run:
    """One training stage on disk.

    Args:
        config: the stage's resolved config.
        inputs: what went in beside the config: data and starting checkpoints, with digests.
    """

    def __init__(self, config: TrainConfig, inputs: Mapping[str, Any]) -> None:
        self.config, self.inputs = config, inputs
        self.key = digest([stage_config(config), inputs, sedcrnn.__version__])
        name = config.name.replace("/", "-")
        self.folder = Path(config.runs) / f"{name}-s{config.seed}-{self.key[:8]}"

    @property
    def finished(self) -> bool:
        """Whether this very stage has been trained to its end."""
        record = read_record(self.folder)
        return record is not None and record["status"] == "finished" and record["key"] == self.key

    @property
    def begun(self) -> bool:
        """Whether this very stage has been begun before."""
        return (self.folder / RECORD).is_file()

    def nearest_earlier(self) -> tuple[Path, Differences] | None:
        """Of the runs of this name and seed that something else has made, the one that differs in the fewest values,
        with these: of the config, the inputs or the package's version, older -> this."""
        made = without_places(asdict(self.config)), self.inputs, sedcrnn.__version__
        found: dict[Path, Differences] = {}
        for folder in sorted(self.folder.parent.glob(f"{glob.escape(self.folder.name[:-8])}????????")):
            record = read_record(folder)
            if folder != self.folder and record is not None and (folder / CONFIG).is_file():
                earlier = without_places(read_config(folder)), record["inputs"], record["versions"]["sedcrnn"]
                found[folder] = differences(_joined(*earlier), _joined(*made))
        if not found:
            return None
        folder = min(found, key=lambda one: len(found[one]))
        return folder, found[folder]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, so that no other command trains the same stage at the same time.

        Only the first process of a distributed run takes the lock.

        Raises:
            CheckpointError: another process holds it.
        """
        if not is_first_process():
            yield
            return
        in_use = CheckpointError(
            f"Another process is training in {self.folder}",
            "One process at a time may write a run folder",
            "Wait for it to end, or stop it",
        )
        with locked(self.folder / ".lock", in_use):
            yield

    def start(self) -> None:
        """Write the config and a record that says the run is under way."""
        if not is_first_process():
            return
        write_text(self.folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(asdict(self.config))))
        self._write_record(status="running")

    def finish(self, **results: Any) -> None:
        """Mark the run as done, with its results."""
        self._write_record(status="finished", finished=_now(), **results)

    def _write_record(self, status: str, **more: Any) -> None:
        if not is_first_process():
            return
        earlier = read_record(self.folder) or {}
        record = {
            "status": status,
            "name": self.config.name,
            "seed": self.config.seed,
            "key": self.key,
            "config_hash": digest(stage_config(self.config)),
            "selection": self.config.data.selection,
            "inputs": dict(self.inputs),
            "versions": {"sedcrnn": sedcrnn.__version__, "python": platform.python_version()}
            | {package: version(package) for package in _RECORDED_PACKAGES},
            "git_commit": _git_commit(),
            "started": earlier.get("started", _now()),
            **more,
        }
        write_json(self.folder / RECORD, record)


def _joined(config: Mapping[str, Any], inputs: Mapping[str, Any], package: str) -> dict[str, Any]:
    return {**config, "inputs": inputs, "sedcrnn": package}


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a run folder; None where there is none."""
    path = folder / RECORD
    if not path.is_file():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def report_score(*runs: Path) -> float:
    """The mean of the best validation scores of finished runs: what a sweep compares.

    It is told to the sweep whose job this is, if any, with the runs and when the last of them was finished.
    """
    records = [record for run in runs if (record := read_record(run)) is not None]
    score = statistics.fmean(record["best"][CHECKPOINT_MONITOR] for record in records)
    if RESULT in os.environ and is_first_process():
        finished = max(record["finished"] for record in records)
        write_json(Path(os.environ[RESULT]), {"score": score, "runs": [str(run) for run in runs], "finished": finished})
    return score


def describe_run(run: Path) -> str:
    """What became of a finished run, in a line: its best validation score, its epochs and where it lies."""
    record = read_record(run) or {}
    score = 100 * record["best"][CHECKPOINT_MONITOR]
    return f"{record['name']}: best validation accuracy {score:.1f} %, {record['epochs']} epochs, in {run}"


def read_config(folder: Path) -> dict[str, Any]:
    """The resolved config of a run folder, as plain data, whatever version of the package wrote it."""
    config: Any = OmegaConf.to_container(OmegaConf.load(folder / CONFIG))
    return dict(config)


def say(message: str) -> None:
    """Tell the user what is going on, once however many processes there are, above any progress bar."""
    if is_first_process():
        with tqdm.external_write_mode():
            print(message, flush=True)


def _git_commit() -> str | None:
    """Commit of the checkout that the code runs from, marked where files differ from it; None outside git."""
    here = Path(sedcrnn.__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git on this machine
        return None
    return told.stdout.strip() if told.returncode == 0 else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

"""A run whose two processes torchrun or srun started is the run of which Lightning starts the second one itself.

There is no cluster here: what srun tells its tasks is given in the environment, for two tasks of one computer and for
two computers with one task each, all on this one. Processors and gloo stand for GPUs and NCCL.
"""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from sedcrnn.runs.checkpoints import BEST, load_checkpoint

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
PYTHON = [sys.executable]
ON_CPU = ["trainer.accelerator=cpu", "trainer.sync_batchnorm=false", "trainer.deterministic=true"]
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("SLURM_", "MASTER_", "TORCHELASTIC_", "RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK"))
} | {"OMP_NUM_THREADS": "1"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Start = Callable[..., subprocess.Popen[str]]


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def task(rank: int, nodes: int, port: str, tasks: int = 2) -> dict[str, str]:
    """What srun tells one of two tasks: of one node, or of two."""
    return {
        "SLURM_JOB_ID": "4242",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": str(tasks),
        "SLURM_NTASKS_PER_NODE": str(tasks // nodes),
        "SLURM_NNODES": str(nodes),
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank % (tasks // nodes)),
        "SLURM_NODEID": str(rank // (tasks // nodes)),
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_JOB_NODELIST": "127.0.0.1",
        "MASTER_PORT": port,
    }


@pytest.fixture
def start(small: list[str], tmp_path: Path) -> Iterator[Start]:
    """Program, environment and overrides -> the small audio stage as one process; what is left in the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(program: Sequence[str], environment: dict[str, str], *overrides: str) -> subprocess.Popen[str]:
        command = [*program, "-m", "sedcrnn.train", "experiment=audio", *small, "model.network.filters=[4,4,4]"]
        log = (tmp_path / f"{len(started)}.txt").open("w")
        with log:
            process = subprocess.Popen(
                [*command, "trainer.max_epochs=2", *overrides],
                env={**ENVIRONMENT, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def outputs(tmp_path: Path, processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    """What each process has written, when all have ended."""
    for process in processes:
        process.wait(timeout=300)
    return [(tmp_path / f"{number}.txt").read_text() for number in range(len(processes))]


def result(runs: Path) -> tuple[list[dict[str, str]], str, dict[str, float]]:
    """The scores of every epoch, and the weights and temperatures of the best, of the one run in a folder."""
    (record,) = runs.glob("*/record.json")
    assert json.loads(record.read_text())["status"] == "finished"
    with (record.parent / "metrics.csv").open(newline="") as file:
        rows = [
            {name: value for name, value in row.items() if "second" not in name and "time" not in name}
            for row in csv.DictReader(file)
        ]
    best = load_checkpoint(str(record.parent / BEST))
    return rows, best.digest, best.temperatures


def test_torchrun_and_srun_give_the_result_of_lightnings_own_launcher(start: Start, tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    own = start(PYTHON, {}, "trainer=ddp_cpu", f"runs={tmp_path}/own")
    outputs(tmp_path, [own])  # alone, so that the features are made once
    slurm = ["trainer=slurm", *ON_CPU]
    others = [
        start([*TORCHRUN, "--standalone"], {}, "trainer=ddp_cpu", f"runs={tmp_path}/torchrun"),
        *(start(PYTHON, task(rank, 1, ports[0]), *slurm, f"runs={tmp_path}/one_node") for rank in range(2)),
        *(start(PYTHON, task(rank, 2, ports[1]), *slurm, f"runs={tmp_path}/two_nodes") for rank in range(2)),
    ]
    said = outputs(tmp_path, [own, *others])
    assert [process.returncode for process in (own, *others)] == [0] * 6, said
    rows, weights, temperatures = result(tmp_path / "own")
    assert set(temperatures) == {"audio"}
    assert len(rows) == 2
    assert len({row["train/loss"] for row in rows}) == 2
    for name in ("torchrun", "one_node", "two_nodes"):
        assert result(tmp_path / name) == (rows, weights, temperatures), name
    reports = [text.count("(validation: macro accuracy") for text in said]
    assert reports == [1, 1, 1, 0, 1, 0], (
        "of the processes of a run one reports; two that share a terminal are one text"
    )


def test_a_process_whose_partner_dies_ends_with_a_message(start: Start, tmp_path: Path) -> None:
    port, runs = free_port(), tmp_path / "runs"
    first, second = (
        start(PYTHON, task(rank, 1, port), "trainer=slurm", *ON_CPU, "trainer.max_epochs=200") for rank in range(2)
    )
    while not list(runs.glob("*/checkpoints/last.ckpt")):
        assert first.poll() is None, outputs(tmp_path, [first])
        time.sleep(0.05)
    second.kill()
    assert first.wait(timeout=120) != 0
    assert re.search("Connection (reset|closed) by peer", (tmp_path / "0.txt").read_text())
    (record,) = runs.glob("*/record.json")
    assert json.loads(record.read_text())["status"] == "running"


@pytest.mark.parametrize("asked", ["first", "second", "group"])
def test_a_signal_to_any_process_ends_all_and_the_same_command_goes_on(
    asked: str, start: Start, tmp_path: Path
) -> None:
    overrides = ["trainer=ddp_cpu", "trainer.max_epochs=40", "recipe.optimizer.lr=1e-5"]
    whole = start(PYTHON, {}, *overrides, f"runs={tmp_path}/whole")
    outputs(tmp_path, [whole])
    runs = tmp_path / "ended"
    ended = start(PYTHON, {}, *overrides, f"runs={runs}")
    while not list(runs.glob("*/checkpoints/last.ckpt")):
        assert ended.poll() is None, outputs(tmp_path, [ended])
        time.sleep(0.02)
    listed = subprocess.run(["pgrep", "-P", str(ended.pid), "-f", "sedcrnn.train"], capture_output=True, text=True)
    second = int(listed.stdout)
    if asked == "group":
        os.killpg(ended.pid, signal.SIGTERM)
    else:
        os.kill(ended.pid if asked == "first" else second, signal.SIGTERM)
    assert ended.wait(timeout=20) == 143
    said = (tmp_path / "1.txt").read_text()
    assert said.count("Ended by SIGTERM.") == 1
    assert "Traceback" not in said
    assert subprocess.run(["pgrep", "-g", str(ended.pid)], capture_output=True).returncode == 1, "none is left"
    again = start(PYTHON, {}, *overrides, f"runs={runs}")
    again.wait(timeout=300)
    assert "resuming in" in (tmp_path / "2.txt").read_text()
    assert result(runs) == result(tmp_path / "whole")


@contextmanager
def taken_port() -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        yield str(taken.getsockname()[1])


def test_a_port_that_is_taken_is_named(start: Start, tmp_path: Path) -> None:
    with taken_port() as port:
        first = start(PYTHON, task(0, 1, port), "trainer=slurm", *ON_CPU)
        (said,) = outputs(tmp_path, [first])
    assert first.returncode == 1
    assert f"port: {port}" in said
    assert "EADDRINUSE" in said
    assert not list((tmp_path / "runs").glob("*/record.json"))


@pytest.mark.parametrize(
    ("environment", "overrides", "message"),
    [
        (task(1, 1, "1"), ["trainer=cpu"], "Error: 2 processes were started, and the trainer asks for 1."),
        (
            task(1, 1, "1") | {"SLURM_NTASKS": "3"},
            ["trainer=slurm", *ON_CPU],
            "Error: 3 processes were started, and the trainer asks for 2.",
        ),
        (
            {key: value for key, value in task(1, 1, "1").items() if key != "SLURM_NTASKS_PER_NODE"},
            ["trainer=slurm", *ON_CPU],
            "Error: trainer cannot be made as the config says: You set `--ntasks=2` in your SLURM",
        ),
    ],
)
def test_processes_that_do_not_fit_the_trainer_are_refused_before_data_are_touched(
    environment: dict[str, str], overrides: list[str], message: str, start: Start, tmp_path: Path
) -> None:
    process = start(PYTHON, environment, *overrides, f"store={tmp_path}/store")
    (said,) = outputs(tmp_path, [process])
    assert process.returncode == 1
    assert message in said
    assert "Traceback" not in said
    assert not list((tmp_path / "store").rglob("*.npy"))

"""One process with the joint batch, and two that share it, each with what the same program saved there."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def one_and_two(
    program: Path, folder: Path, place_of: Callable[[int], dict[str, str]], timeout: float
) -> list[dict[str, Any]]:
    """What one process with batches of four saved, and the first and second of two with batches of two: all three run
    `program <folder>/config.yaml <folder> <batch size>`, the two with what tells Lightning of their places."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    started = []
    for processes, rank in ((1, 0), (2, 0), (2, 1)):
        place = {"WORLD_SIZE": "2", **address, **place_of(rank)} if processes > 1 else {}
        command = [sys.executable, str(program), str(folder / "config.yaml"), str(folder), str(4 // processes)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **place}
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for process in started:
        _, errors = process.communicate(timeout=timeout)
        assert process.returncode == 0, errors[-3000:]
    return [torch.load(folder / f"{name}.pt", weights_only=True) for name in ("1-0", "2-0", "2-1")]

"""A process that makes the figures of `gpu_figures` one by one, and says each row as soon as it is there."""

import logging
import multiprocessing
import os
import platform
import subprocess
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

Report = dict[str, Any]


class Worker:
    """A process that makes figures; it loads torch once, and is replaced when a figure fails."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs,))
        self.process.start()
        theirs.close()

    def describe(self) -> tuple[Report, dict[str, tuple[str, float]]]:
        """The machine, and every figure's title and seconds at most."""
        self.connection.send(None)
        machine, figures = self.connection.recv()
        return machine, figures

    def make(self, name: str, tiny: bool, seconds: float) -> Iterator[tuple[str, Any]]:
        """Make a figure: ("row", a row) as often as it has rows, then ("end", its status)."""
        end = time.monotonic() + seconds
        try:
            self.connection.send((name, tiny))
            while self.connection.poll(max(0, end - time.monotonic())):
                message: tuple[str, Any] = self.connection.recv()
                yield message
                if message[0] == "end":
                    return
            status = f"failed: not done after {seconds:.0f} s"
        except (EOFError, ConnectionError):
            self.process.join(5)
            status = f"failed: the process ended with {self.process.exitcode}"
        yield "end", {"status": status}

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.connection.close()
        self.process.join(2)  # an idle one ends by itself
        self.process.kill()
        self.process.join()


def _work(connection: Connection) -> None:
    """Answer one request after another, until killed."""
    # A spawned process would spawn its own, which each load torch anew; those of `train` load it once.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as Lightning does, before CUDA is asked for anything
    from sedcrnn.benchmarks.gpu_figures import FIGURES

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with suppress(EOFError, BrokenPipeError):  # nobody waits for an answer any more
        while True:
            request = connection.recv()
            if request is None:
                figures = {name: (figure.title, figure.seconds) for name, figure in FIGURES.items()}
                connection.send((_machine(), figures))
                continue
            name, tiny = request
            try:
                for row in FIGURES[name].rows(tiny):
                    connection.send(("row", row))
                status = {"status": "done"}
            except Exception as error:
                said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                status = {"status": f"failed: {said}", "traceback": traceback.format_exc()}
            connection.send(("end", status))


def _machine() -> Report:
    import torch

    machine = {"torch": f"torch {torch.__version__}", "python": f"Python {platform.python_version()}"}
    machine["cores"] = f"{os.cpu_count()} cores"
    machine["start"] = f"processes by {multiprocessing.get_start_method()}"
    if not torch.cuda.is_available():
        return {"gpu": ""} | machine
    driver = ""
    with suppress(OSError):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    found = {"gpu": torch.cuda.get_device_name(), "driver": f"driver {driver}" if driver else ""}
    cudnn: Any = torch.backends.cudnn
    return found | {"cudnn": f"cuDNN {cudnn.version()}", "cuda": f"CUDA {torch.version.cuda}"} | machine

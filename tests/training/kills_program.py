"""Trains a stage once to its end; then again and again, killed at an instant each time, and resumed.

python kills_program.py <TAU root> <store> <runs> <instants> <epochs>

An instant is that before a file is opened to be written, renamed or removed, or a folder made or removed, anywhere in
the runs: what a kill leaves on the disk changes there alone. Every attempt is a process of its own, forked before torch
has computed anything. Prints, as JSON, the number of instants and what is not as in the whole run, by instant.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from conftest import compose_stage

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.training.stage import train

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")


def forked(config: TrainConfig, kill_at: int | None) -> int:
    """Train in a process of its own; returns its exit code, or, where it is not killed, minus its instants."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        instants = 0

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal instants
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if (writes or event in CHANGES) and config.runs in str(arguments[0]):
                instants += 1
                if instants == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        train(config)
        os.write(writing, str(instants).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        counted = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return int(counted) if counted else code


def differences(whole: Path, other: Path) -> list[str]:
    """What a run that was killed has that the whole one has not, and the other way round."""
    found = []
    if (other / "metrics.csv").read_text() != (whole / "metrics.csv").read_text():
        found.append("metrics.csv")
    if load_checkpoint(str(other)).digest != load_checkpoint(str(whole)).digest:
        found.append("weights")
    names = [{str(file.relative_to(run)) for file in run.rglob("*")} for run in (whole, other)]
    records = [json.loads((run / "record.json").read_text()) for run in (whole, other)]
    kept = [
        {name: record[name] for name in ("status", "best", "epochs", "steps", "temperatures")} for record in records
    ]
    if kept[0] != kept[1]:
        found.append("record.json")
    return [*found, *names[0] ^ names[1]]


def main(tau: str, store: str, runs: str, instants: int, epochs: int) -> dict[str, Any]:
    """Kill at so many instants, evenly over all of them."""
    small = [
        *("data=tau2021", f"data.root={tau}", "data.extraction_workers=0", "data.validation_fraction=0.3"),
        *(f"store={store}", "trainer=cpu", "trainer.precision=32-true", f"trainer.max_epochs={epochs}"),
        *("trainer.enable_progress_bar=false", "recipe.batch_size=4", "model.network.filters=[4,4,4]"),
    ]

    def config(name: str) -> TrainConfig:
        return compose_stage(small, "audio", f"runs={Path(runs) / name}")

    count = forked(config("whole"), None)
    assert count > 0
    (whole,) = (Path(runs) / "whole").iterdir()
    instants = min(instants, count)
    chosen = [1 + number * count // instants for number in range(instants)]
    wrong: dict[int, list[str]] = {}
    for instant in chosen:
        name = f"killed-{instant:03}"
        assert forked(config(name), instant) == -signal.SIGKILL
        if forked(config(name), None) < 0:
            wrong[instant] = ["the resumed run failed"]
            continue
        (killed,) = (Path(runs) / name).iterdir()
        if found := differences(whole, killed):
            wrong[instant] = found
    return {"instants": count, "killed": len(chosen), "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:4], *map(int, sys.argv[4:6]))))

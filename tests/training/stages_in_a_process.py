"""Trains every kind of stage, small; with `killed`, each is killed once in the middle of an epoch, and resumed.

python stages_in_a_process.py <TAU root> <store> <runs> [killed]

Every attempt is a process of its own, forked before torch has computed anything. It kills itself, by SIGKILL, at the
second batch of the second epoch of the first stage that has not been killed yet.
"""

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from conftest import compose_stage

from sedcrnn.training.modules import SceneModule
from sedcrnn.training.stage import train

STARTS = {
    "audio": [],
    "visual": [],
    "visual_finetune": ["visual"],
    "fusion": ["audio", "visual_finetune"],
    "fusion_finetune": ["fusion"],
}
"""Stage -> the stages that it starts from."""


def train_all(tau: str, store: str, runs: str, killed: bool) -> None:
    small = [
        *("data=tau2021", f"data.root={tau}", "data.extraction_workers=0", "data.validation_fraction=0.3"),
        *(f"store={store}", f"runs={runs}", "features.frames.height=32", "features.frames.width=32"),
        *("trainer.max_epochs=3", "trainer.enable_progress_bar=false", "recipe.batch_size=4"),
        *("recipe.optimizer.lr=1e-3", "recipe.scheduler.patience=0"),
    ]
    folders: dict[str, Path] = {}
    begin_batch = SceneModule.on_train_batch_start
    for stage, starts in STARTS.items():
        mark = Path(runs) / f".{stage}.killed"

        def or_kill(module: SceneModule, batch: Any, batch_idx: int, mark: Path = mark) -> None:
            if killed and (module.current_epoch, batch_idx) == (1, 1) and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            begin_batch(module, batch, batch_idx)

        SceneModule.on_train_batch_start = or_kill  # type: ignore[method-assign]
        given = [f"init_from.{start.split('_')[0]}={folders[start]}" for start in starts]
        run = train(compose_stage(small, stage, *given))
        assert run is not None
        folders[stage] = run


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    attempts = []
    while not attempts or attempts[-1] == -signal.SIGKILL:
        child = os.fork()
        if child == 0:
            train_all(*sys.argv[1:4], killed="killed" in sys.argv[4:])
            sys.stdout.flush()
            os._exit(0)
        attempts.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print("attempts", *attempts)
    sys.exit(attempts[-1])

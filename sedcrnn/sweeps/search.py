"""Optuna's search -> a study in a file of the sweep's folder, with which the same command goes on after a kill."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from sedcrnn.config.checking import digest
from sedcrnn.errors import import_extra
from sedcrnn.runs.files import locked

log = logging.getLogger(__name__)

STUDIES = "studies.sqlite"  # in the folder of the sweep
KILLED = "killed"  # attribute of a study: how many of its trials failed for that reason alone


def search(settings: Mapping[str, Any], given: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """Run the trials of a study that are left, each as one job.

    A study is of one search: its name ends in a digest of what is searched and of what all trials share. Trials that
    were running when an earlier command was killed are run first, with the values that they had, so that their runs go
    on; the others are drawn anew, for the sampler's random numbers go on from another seed.

    Args:
        settings: arguments of Optuna's sweeper.
        given: what Hydra gives a sweeper to set it up.
        arguments: overrides of the command line; those of several values are searched.

    Raises:
        MissingExtraError: the extra `sweep` is not installed.
    """
    os.environ.setdefault("SQLALCHEMY_SILENCE_UBER_WARNING", "1")  # that its next version would not do, as pinned
    optuna = import_extra("optuna", "sweep", "hydra/sweeper=optuna_tpe needs")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plugin = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper"
    sweeper = import_extra(plugin, "sweep", "hydra/sweeper=optuna_tpe needs")
    folder = Path(given["config"].hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    storage = f"sqlite:///{folder / STUDIES}"
    space = {key: str(value) for key, value in dict(settings["params"] or {}).items()}
    name = f"{settings['study_name']}-{digest([space, sorted(arguments), str(settings['direction'])])}"
    with locked(folder / f".{STUDIES}.lock", in_use=None):  # one process makes the tables
        study = optuna.create_study(
            study_name=name, storage=storage, direction=settings["direction"], load_if_exists=True
        )
    ended = sum(trial.state.is_finished() for trial in study.trials)
    killed = study.user_attrs.get(KILLED, 0)
    done, left = ended - killed, settings["n_trials"] - ended + killed
    for trial in study.trials:
        if trial.state == optuna.trial.TrialState.RUNNING:
            study.set_user_attr(KILLED, killed := killed + 1)
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
    if done:
        log.info("%d of %d trials of this search are done: %s", done, settings["n_trials"], folder / STUDIES)
    if left <= 0:
        if any(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials):
            log.info("The best has %.4g: %s", study.best_value, study.best_params)
        log.info("hydra.sweeper.n_trials=%d goes on with it", 2 * settings["n_trials"])
        return
    changed: dict[str, Any] = {"storage": storage, "study_name": name, "n_trials": left}
    sampler = OmegaConf.to_container(given["config"].hydra.sweeper.sampler, resolve=True)
    if (
        study.trials and isinstance(sampler, dict) and sampler.get("seed") is not None
    ):  # else it would draw the same again
        changed["sampler"] = instantiate({**sampler, "seed": sampler["seed"] + ended + killed})
    own = sweeper.OptunaSweeper(**{**settings, **changed})
    own.setup(**given)
    own.sweep(list(arguments))

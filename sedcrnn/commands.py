"""What every command shares: a Hydra entry point whose user errors are one paragraph and an exit code."""

import logging
import os
import sys
import warnings
from collections.abc import Callable

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from hydra.types import TaskFunction
from omegaconf.errors import OmegaConfBaseException

from sedcrnn.config import CONF, dotted_keys, unknown_key
from sedcrnn.errors import SedcrnnError, nearest

# Warnings about what is meant to be so: frozen parts, resumed runs, a few large batches; and Lightning's own upkeep.
_EXPECTED = (
    ".*module\\(s\\) in eval mode at the start of training.*",
    "Checkpoint directory .* exists and is not empty.*",
    ".*does not have many workers.*",
    ".*isinstance\\(treespec, LeafSpec\\).*",
)


def command(config_name: str) -> Callable[[TaskFunction], Callable[[], None]]:
    """Make a function of a config the main function of a command.

    Hydra composes `conf/<config_name>.yaml` with the overrides on the command line. A user's mistake ends the
    command with one paragraph on standard error and exit code 1; anything else is a bug and keeps its traceback.
    """

    def decorate(function: TaskFunction) -> Callable[[], None]:
        task = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(function)

        def main() -> None:
            # Otherwise Hydra prints what the task raises in its own way, and drops the cause.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            # Its notes on devices and its tips say nothing about this run.
            logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
            for message in _EXPECTED:
                warnings.filterwarnings("ignore", message)
            try:
                task()
            except (SedcrnnError, HydraException, OmegaConfBaseException) as error:
                print(f"\nError: {_told(error, config_name)}", file=sys.stderr)
                sys.exit(1)

        return main

    return decorate


def _told(error: Exception, config_name: str) -> str:
    """The error in words; for a key or group that does not exist, with the nearest one that does."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    if cause is not None and cause.full_key and "not in struct" in str(cause):
        return str(unknown_key(str(cause.full_key), dotted_keys(_base(config_name))))
    message = " ".join(str(error).split())
    if isinstance(error, MissingConfigException) and error.options is not None and error.missing_cfg_file:
        choice = str(error.missing_cfg_file)
        group, _, name = choice.rpartition("/")
        return f"There is no choice '{choice}'. The nearest is {nearest(name, error.options)} in '{group}'. {message}"
    return message


def _base(config_name: str) -> object:
    """The config with what the command line chooses of its groups, and without its values."""
    choices = [argument for argument in sys.argv[1:] if (CONF / f"{argument.replace('=', '/')}.yaml").is_file()]
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(config_name, choices)

"""What every command shares: a Hydra entry point whose user errors are one paragraph and an exit code."""

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Collection, Sequence

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sedcrnn.config import CONF, dotted_keys, unknown_key
from sedcrnn.errors import ConfigError, SedcrnnError, nearest
from sedcrnn.sweeps import failures_raised, find_plugins

# Warnings about what is meant to be so: frozen parts, resumed runs, a few large batches; and Lightning's own upkeep.
EXPECTED_WARNINGS = (
    ".*module\\(s\\) in eval mode at the start of training.*",
    "Checkpoint directory .* exists and is not empty.*",
    ".*does not have many workers.*",
    ".*isinstance\\(treespec, LeafSpec\\).*",
    ".*sync_dist=True.*",  # scores are reduced over processes already
)


def command(
    config_name: str, *, positional: Sequence[str] = (), words: str | None = None, lists: Collection[str] = ()
) -> Callable[[TaskFunction], Callable[[], None]]:
    """Make a function of a config the main function of a command.

    Hydra composes `conf/<config_name>.yaml` with the overrides on the command line. A user's mistake ends the
    command with one paragraph on standard error and exit code 1; anything else is a bug and keeps its traceback.

    Args:
        config_name: of the file in `conf/`.
        positional: keys that take the words of the command line (what is neither `key=value` nor an option), in order.
        words: key of a list that takes all words, or all after those of `positional`.
        lists: keys of lists that may be given as `key=a,b` too.
    """

    def decorate(function: TaskFunction) -> Callable[[], None]:
        task = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(function)

        def main() -> None:
            # Otherwise Hydra prints what the task raises in its own way, and drops the cause.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            # Its notes on devices and its tips say nothing about this run.
            for logger in ("pytorch_lightning", "lightning_fabric"):
                logging.getLogger(logger).setLevel(logging.WARNING)
            for message in EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message)
            try:
                sys.argv[1:] = overrides(sys.argv[1:], positional, words, lists)
                find_plugins()
                with failures_raised():
                    task()
            except KeyboardInterrupt:
                print("\nInterrupted.", file=sys.stderr)
                sys.exit(130)
            except (SedcrnnError, HydraException, OmegaConfBaseException) as error:
                print(f"\nError: {_told(error, config_name)}", file=sys.stderr)
                sys.exit(1)

        return main

    return decorate


def overrides(
    arguments: Sequence[str], positional: Sequence[str] = (), words: str | None = None, lists: Collection[str] = ()
) -> list[str]:
    """Command-line arguments -> Hydra's, with words and lists as overrides; parameters as those of `command`.

    Raises:
        ConfigError: a word that no key takes.
    """
    plain: list[str] = []
    result: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        key, equals, value = argument.partition("=")
        takes_words = bool(positional) or words is not None
        if takes_words and "=" in argument and os.path.isfile(argument):  # noqa: PTH113 - Path raises for long values
            plain.append(argument)
        elif equals and key in lists and value != "null" and not value.startswith("["):
            result.append(f"{key}=[{value}]")
        # What follows an option belongs to it: --cfg job.
        elif equals or argument.startswith(("-", "~")) or before.startswith("-"):
            result.append(argument)
        else:
            plain.append(argument)
    result += [f"{key}={_quoted(word)}" for key, word in zip(positional, plain, strict=False)]
    plain = plain[len(positional) :]
    if words is not None and plain:
        result.append(f"{words}=[{','.join(map(_quoted, plain))}]")
        plain = []
    if plain:
        taken = f"; only {len(positional)} may be given without a key: {', '.join(positional)}" if positional else ""
        raise ConfigError(
            f"The command line holds '{plain[0]}'", f"Values are given as key=value{taken}", "`--help` lists all keys"
        )
    return result


def chosen_action(config: DictConfig, actions: Sequence[str], usage: str) -> str:
    """The `action` of a command that does several things, checked before the rest of its config.

    Args:
        config: the command's.
        actions: what it may be.
        usage: what to do next, for the message.

    Raises:
        ConfigError: none, or another one.
    """
    action = OmegaConf.select(config, "action")
    if action not in actions:
        raise ConfigError(
            f"The action is '{action}'" if action else "No action is given", f"It is one of {', '.join(actions)}", usage
        )
    return str(action)


def _quoted(word: str) -> str:
    """The word as a quoted string of Hydra's grammar that holds no interpolation of OmegaConf's."""
    literal = re.sub(r"(\\*)\$\{", lambda dollar: f"{2 * dollar[1]}\\${{", word)
    return QuotedString(literal, Quote.single).with_quotes()


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

"""What every command shares: a Hydra entry point whose user errors are one paragraph and an exit code."""

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from itertools import takewhile

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException
from hydra.types import TaskFunction
from omegaconf.errors import OmegaConfBaseException

from sedcrnn.config import CONF, dotted_keys, unknown_key
from sedcrnn.errors import ConfigError, SedcrnnError, nearest

# Warnings about what is meant to be so: frozen parts, resumed runs, a few large batches; and Lightning's own upkeep.
_EXPECTED = (
    ".*module\\(s\\) in eval mode at the start of training.*",
    "Checkpoint directory .* exists and is not empty.*",
    ".*does not have many workers.*",
    ".*isinstance\\(treespec, LeafSpec\\).*",
)


def command(config_name: str, positional: Sequence[str] = ()) -> Callable[[TaskFunction], Callable[[], None]]:
    """Make a function of a config the main function of a command.

    Hydra composes `conf/<config_name>.yaml` with the overrides on the command line. A user's mistake ends the
    command with one paragraph on standard error and exit code 1; anything else is a bug and keeps its traceback.

    Args:
        config_name: of the file in conf/.
        positional: keys that take the leading words of the command line, in this order.
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
                sys.argv[1:] = name_words(sys.argv[1:], positional)
                task()
            except (SedcrnnError, HydraException, OmegaConfBaseException) as error:
                print(f"\nError: {_told(error, config_name)}", file=sys.stderr)
                sys.exit(1)

        return main

    return decorate


def name_words(arguments: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Command-line arguments with the leading words as overrides: `clip.mp4 start=3` -> `file='clip.mp4' start=3`.

    Args:
        arguments: of the command line.
        keys: that take the words, in this order.

    Raises:
        ConfigError: more words than keys.
    """
    words = list(takewhile(_is_word, arguments))
    if len(words) > len(keys):
        taken = f"; only the first {len(keys)} may be given without their keys: {', '.join(keys)}" if keys else ""
        raise ConfigError(
            f"The command line holds '{words[len(keys)]}'",
            f"Values are given as key=value{taken}",
            "Correct the command line; `--help` lists the keys",
        )
    named = [f"{key}={_quoted(word)}" for key, word in zip(keys, words, strict=False)]
    return [*named, *arguments[len(words) :]]


def _is_word(argument: str) -> bool:
    """Neither an option nor an override; the name of a file that exists is a word in spite of a `=`."""
    if argument.startswith("-"):
        return False
    # Path.is_file raises for what is too long for a name, as some overrides are.
    return os.path.isfile(argument) or not ("=" in argument or argument.startswith("~"))  # noqa: PTH113


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
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(config_name)

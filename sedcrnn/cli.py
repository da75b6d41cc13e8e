"""What every command shares: options from the command line, checked; work; and a user's error as one paragraph.

A command's page imports nothing heavy: help and mistakes are answered before torch is loaded.
"""

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

import sedcrnn
from sedcrnn.config.checking import OWN_DATA, checked, described, dotted_keys, is_path, unknown_key
from sedcrnn.config.composition import CONF, HYDRA_DEFAULTS, choices, compose, quoted, register
from sedcrnn.errors import ConfigError, SedcrnnError, nearest
from sedcrnn.signals import asked_to_end, ended_by_signals
from sedcrnn.sweeps.launch import failures_raised, find_plugins
from sedcrnn.sweeps.ranks import is_first_process

# Warnings about what is meant to be so: frozen parts, few large batches; and Lightning's upkeep.
EXPECTED_WARNINGS = (
    ".*module\\(s\\) in eval mode at the start of training.*",
    ".*does not have many workers.*",
    ".*isinstance\\(treespec, LeafSpec\\).*",
    ".*sync_dist=True.*",  # scores are reduced over processes already
)

# Loggers whose notes on devices and whose tips say nothing about a run.
NOTES = (
    "pytorch_lightning.utilities.rank_zero",
    "pytorch_lightning.accelerators.cuda",
    "lightning_fabric.utilities.rank_zero",
)

Work = Callable[[Any], Any]


def command(
    options: type,
    *,
    words: Sequence[str] = (),
    config_name: str | None = None,
    groups: Mapping[str, str] | None = None,
) -> Callable[[Work], Callable[[], None]]:
    """Make a function of some options the main function of a command.

    Hydra composes them from their defaults, from groups in conf/ and from the command line. A user's mistake ends the
    command with one paragraph on standard error and exit code 1; anything else is a bug and keeps its traceback.

    Args:
        options: dataclass of the keys.
        words: keys that take the words of the command line (what is neither `key=value` nor an option), in order; one
            that ends in `*` is a list that takes all that are left.
        config_name: of the file in conf/ that is composed; None: the options themselves.
        groups: config groups that are options too, with their default choices.
    """

    def decorate(work: Work) -> Callable[[], None]:
        name = config_name or Path(sys.modules[work.__module__].__file__ or "").stem
        if config_name is None:
            register(name, options, groups or {})

        @hydra.main(config_path=str(CONF), config_name=name, **HYDRA_DEFAULTS)
        def task(config: DictConfig) -> Any:
            try:
                with _silent_unless_first():
                    return work(checked(config, options))
            except (SedcrnnError, HydraException, OmegaConfBaseException, BrokenPipeError) as error:
                _end(error, name)  # before Hydra adds to it

        @ended_by_signals()
        def main() -> None:
            # Otherwise Hydra prints what the task raises in its own way, and drops the cause.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            _show_messages()
            try:
                if {"-h", "--help"} & set(sys.argv[1:]):
                    from sedcrnn.config.help_text import help_text  # here, because only help needs it

                    chosen = [one for one in sys.argv[1:] if "=" in one and not one.startswith("-")]
                    print(help_text(name, sys.modules[work.__module__].__doc__ or "", options, words, chosen))
                    return
                if "--version" in sys.argv[1:]:
                    print(f"sedcrnn {sedcrnn.__version__}")
                    return
                sys.argv[1:] = overrides(sys.argv[1:], words, options)
                find_plugins()
                with failures_raised():
                    task()
            except (SedcrnnError, HydraException, OmegaConfBaseException, BrokenPipeError) as error:
                _end(error, name)

        return main

    return decorate


def overrides(arguments: Sequence[str], words: Sequence[str], options: type) -> list[str]:
    """Command-line arguments -> Hydra's, with words as overrides, and with paths and lists as they were written.

    Raises:
        ConfigError: a word that no key takes, or an option that Hydra does not have.
    """
    # The values of a sweep are Hydra's to take apart.
    known = {} if {"-m", "--multirun"} & set(arguments) else described(options)
    plain: list[str] = []
    result: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        key, equals, value = argument.partition("=")
        if words and equals and os.path.isfile(argument):  # noqa: PTH113 - Path raises for long values
            plain.append(argument)
        elif equals and key in known:
            result.append(f"{key}={_written(value, known[key][1])}")
        # What follows an option belongs to it: --cfg job.
        elif argument.startswith("--") and key not in _OPTIONS and key not in _WITH_VALUE:
            name, text = argument[2:], "key=value" if equals else f"{argument[2:]}=<value>"
            raise ConfigError(f"There is no option '--{name}'", "Values are given without dashes", f"Give {text}")
        elif equals or argument.startswith(("-", "~")) or before in _WITH_VALUE:
            result.append(argument)
        else:
            plain.append(argument)
    for key in words:
        if key.endswith("*") and plain:
            result.append(f"{key[:-1]}=[{','.join(map(quoted, plain))}]")
            plain = []
        elif plain:
            result.append(f"{key}={quoted(plain.pop(0))}")
    if plain:
        taken = f"; without a key may be given: {', '.join(key.rstrip('*') for key in words)}" if words else ""
        raise ConfigError(
            f"The command line holds '{plain[0]}'", f"Values are given as key=value{taken}", "--help lists all keys"
        )
    return result


# Hydra's options, and those that are followed by a value.
_OPTIONS = {"--hydra-help", "--resolve", "--run", "--multirun"}
_WITH_VALUE = {"--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd",
               "--info", "-i", "--experimental-rerun", "--shell-completion", "-sc"}  # fmt: skip


def _written(value: str, kind: Any) -> str:
    """A value of a key in Hydra's grammar: paths to the letter, and lists also as `a,b`."""
    is_list = "list[" in str(kind)
    if value in ("null", "???") or value.startswith(("'", '"', "${")) or (is_list and value.startswith("[")):
        return value
    if is_list:
        return f"[{','.join(map(quoted, value.split(','))) if is_path(kind) else value}]"
    return quoted(value) if is_path(kind) else value


def _end(error: Exception, config_name: str) -> NoReturn:
    """End the command with what was wrong in one paragraph."""
    if asked_to_end():
        raise error
    if isinstance(error, BrokenPipeError):  # whoever read the output, as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    print(f"\nError: {_message(error, config_name)}", file=sys.stderr)
    sys.exit(1)


def _message(error: Exception, config_name: str) -> str:
    """The error in words; for a key or group that does not exist, with the nearest one that does."""
    if isinstance(error, SedcrnnError):
        return str(error)
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    if cause is not None and cause.full_key and "not in struct" in str(cause):
        return str(unknown_key(str(cause.full_key), _known(config_name)))
    text = " ".join(str(error).split())
    if isinstance(error, MissingConfigException) and error.options is not None and error.missing_cfg_file:
        group, _, choice = str(error.missing_cfg_file).partition("/")
        if group == "data" and ("/" in choice or "." in choice):
            return str(
                ConfigError(f"data={choice} names a folder", "data=<choice> chooses a kind of data set", OWN_DATA)
            )
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        allowed = choices(group)
        return str(
            ConfigError(
                f"There is no choice '{group}={choice}'",
                f"It is one of {', '.join(allowed)}; the nearest is {nearest(choice, allowed)}",
                "Correct the spelling",
            )
        )
    if unchosen := re.search(r"You must specify '([^']+)'", text):
        named = f"{unchosen[1]}=<choice>"
        one_of = f"It is one of {', '.join(choices(unchosen[1]))}"
        return str(ConfigError(f"{named} is not given", one_of, f"Give {named}"))
    if unknown := re.search(r"Could not (?:find|override) '([^'=]+)", text):
        return str(unknown_key(unknown[1], _known(config_name)))
    return text


def _known(config_name: str) -> list[str]:
    """Keys and groups that the command line may name: those of the config with what is chosen of its groups."""
    chosen = [argument for argument in sys.argv[1:] if (CONF / f"{argument.replace('=', '/')}.yaml").is_file()]
    groups = [path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"]
    return [*dotted_keys(compose(config_name, chosen)), *groups]


@contextmanager
def _silent_unless_first() -> Iterator[None]:
    """What a command prints, the first of several processes prints."""
    if is_first_process():
        yield
    else:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            yield


class _AboveProgressBars(logging.Handler):
    """Messages of the package, on the first of several processes alone; those with `once` a single time."""

    def __init__(self) -> None:
        super().__init__()
        self.told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if not is_first_process() or text in self.told:
            return
        if getattr(record, "once", False):
            self.told.add(text)
        with tqdm.external_write_mode():
            print(text, flush=True)


def _show_messages() -> None:
    """What is shown of what libraries say."""
    logger = logging.getLogger("sedcrnn")
    if not logger.handlers:
        logger.addHandler(_AboveProgressBars())
        logger.setLevel(logging.INFO)
    for source in NOTES:  # those alone, for importing Lightning sets the level of the packages' own loggers again
        logging.getLogger(source).setLevel(logging.WARNING)
    for message in EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message)

"""What every command shares: options from the command line, checked; work; and a user's error as one paragraph.

A command's page imports nothing heavy: help and mistakes are answered before torch is loaded.
"""

import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import wraps
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig
from tqdm import tqdm

import sedcrnn
from sedcrnn.config.checking import checked
from sedcrnn.config.command_line import overrides
from sedcrnn.config.composition import CONF, HYDRA_DEFAULTS, register
from sedcrnn.errors import HopelessRunError
from sedcrnn.failures import told
from sedcrnn.signals import ended_by_signals
from sedcrnn.sweeps.launch import failures_raised, find_plugins
from sedcrnn.sweeps.ranks import is_first_process

# Warnings about what is meant to be so: frozen parts, few large batches; and Lightning's upkeep.
EXPECTED_WARNINGS = (
    ".*module\\(s\\) in eval mode at the start of training.*",
    ".*does not have many workers.*",
    ".*isinstance\\(treespec, LeafSpec\\).*",
    "Glyph .* missing from font.*",  # names of files may be in any script
    ".*sync_dist=True.*",  # scores are reduced over processes already
    ".*Be aware that when using `ckpt_path`, callbacks.*",  # a run may go on with others
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
            with told(name), _silent_unless_first():  # before Hydra adds to what fails
                return work(checked(config, options))

        @ended_by_signals()
        def main() -> None:
            # Otherwise Hydra prints what the task raises in its own way, and drops the cause.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            _show_messages()
            with told(name, composing=True):
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

        return main

    return decorate


def scored(work: Work) -> Work:
    """Make a function that trains hand back the score so far, too, where a sweep has ended its training early."""

    @wraps(work)
    def whole_or_ended(config: Any) -> Any:
        try:
            return work(config)
        except HopelessRunError as ended:
            from sedcrnn.runs.records import report_score  # here, because only trainings need it

            print(f"\n{ended}")
            return report_score(ended.run)

    return whole_or_ended


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
    for stream in (sys.stdout, sys.stderr):  # names of files need not be text of any encoding
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logger = logging.getLogger("sedcrnn")
    if not logger.handlers:
        logger.addHandler(_AboveProgressBars())
        logger.setLevel(logging.INFO)
    for source in NOTES:  # those alone, for importing Lightning sets the level of the packages' own loggers again
        logging.getLogger(source).setLevel(logging.WARNING)
    for message in EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message)

"""The real commands in this process, up to the first step of a stage, and what is wrong with how they end."""

import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from hydra.core.global_hydra import GlobalHydra

SECONDS = 20  # that a command may take
OF_THE_DATA = ("data set", "fold", "clip", "manifest")  # words of mistakes that only the data can tell


class ReachedError(BaseException):
    """A stage has come as far as it is to."""


class TooLongError(BaseException):
    """A command takes too long; no `Exception`, so that nothing puts it into words."""


@dataclass(frozen=True)
class Outcome:
    """What a command did.

    Attributes:
        code: of its end; 0 also where a stage has begun.
        shown: on both streams.
        touched: a stage has asked for its data.
    """

    code: int
    shown: str
    touched: bool

    @property
    def fault(self) -> str:
        """What is wrong with it; empty: nothing."""
        lines = self.shown.strip().splitlines() or [""]
        is_usage = self.code == 2 and " error: " in self.shown  # of an option that Hydra has
        if "Traceback" in self.shown or not (self.code in (0, 1) or is_usage):
            return f"exit code {self.code}: {' | '.join(lines[-4:])[-500:]}"
        if self.code == 1 and "Error: " not in self.shown:
            return "it failed without a word"
        late = self.code == 1 and self.touched and not any(word in lines[-1] for word in OF_THE_DATA)
        return f"only after the data were touched: {lines[-1][-300:]}" if late else ""


def run(command: str, arguments: Sequence[str]) -> Outcome:
    """A command with some arguments; a stage as far as its first step."""
    from sedcrnn.datasets.scene_data import SceneData
    from sedcrnn.training.modules import SceneModule

    shown, touched, prepare, before = io.StringIO(), [False], SceneData.prepare_data, dict(os.environ)

    def touch(data: SceneData) -> None:
        touched[0] = True
        prepare(data)

    module = importlib.import_module(f"sedcrnn.{command}")
    with ExitStack() as stack:
        stack.enter_context(patch.object(sys, "argv", [command, *arguments]))
        stack.enter_context(patch.object(SceneModule, "on_train_batch_end", _stop))
        stack.enter_context(patch.object(SceneData, "prepare_data", touch))
        stack.enter_context(redirect_stdout(shown))
        stack.enter_context(redirect_stderr(shown))
        signal.signal(signal.SIGALRM, _stop_at_last)
        signal.alarm(SECONDS)
        code = 0
        try:
            module.main()
        except ReachedError:
            pass
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException as error:
            code = 99
            shown.write(f"{type(error).__name__}: {error}")
        finally:
            signal.alarm(0)
            GlobalHydra.instance().clear()
            os.environ.clear()
            os.environ.update(before)
    return Outcome(code, shown.getvalue(), touched[0] and command == "train")


def _stop(*_: Any, **__: Any) -> None:
    raise ReachedError


def _stop_at_last(*_: object) -> None:
    raise TooLongError(f"it takes more than {SECONDS} s")

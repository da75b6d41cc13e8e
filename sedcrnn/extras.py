"""Name of a package that only some commands need -> the package, or an error that says how to install it."""

import importlib
from typing import Any

from sedcrnn.errors import MissingExtraError


def import_extra(module: str, extra: str, needing: str) -> Any:
    """Import a module of a package that is not among the dependencies.

    Args:
        module: what to import.
        extra: sedcrnn's extra that installs it.
        needing: what needs it, for the message: `ONNX files need`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"The package '{module.partition('.')[0].replace('_', '-')}' is not installed",
            f"{needing} the extra '{extra}' of sedcrnn",
            f"Install it: pip install 'sedcrnn[{extra}]', or in a checkout: uv pip install --editable '.[{extra}]'",
        ) from error

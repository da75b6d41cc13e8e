"""Commands as a user types them, run in this process."""

import sys
from types import ModuleType

import pytest


def exit_code(monkeypatch: pytest.MonkeyPatch, page: ModuleType, *words: object) -> int:
    """What a command's page ends with; what it prints is left to `capsys`."""
    monkeypatch.setattr(sys, "argv", [page.__name__, *map(str, words)])
    try:
        page.main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0

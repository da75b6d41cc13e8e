"""A small part of `make fuzz`, with a fixed seed: no traceback, and nothing told late."""

from pathlib import Path

import pytest

from tests.fuzz.configs import cases
from tests.fuzz.in_process import run
from tests.fuzz.small_set import SmallSet, make_small_set


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallSet:
    return make_small_set(tmp_path_factory.mktemp("small"))


@pytest.mark.parametrize(("number", "seed"), [(12, 0), pytest.param(60, 1, marks=pytest.mark.slow)])
def test_random_overrides_and_edits_are_answered_in_words(
    small: SmallSet, number: int, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = [(command, given[-2:], run(command, given).fault) for _, command, given in cases(number, seed, small)]
    assert [one for one in found if one[-1]] == []
    assert len(found) == number

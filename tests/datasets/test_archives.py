"""The published list, and what is asked for of it."""

import pytest

from sedcrnn.datasets.archives import read_archives, select
from sedcrnn.datasets.tau2021 import Tau2021
from sedcrnn.errors import ConfigError

ARCHIVES = read_archives(Tau2021.archives)


def test_the_list_has_both_records_in_full() -> None:
    development, evaluation = select(ARCHIVES, "development", None), select(ARCHIVES, "evaluation", None)
    assert (len(development), len(evaluation)) == (27, 16)
    assert select(ARCHIVES, "both", None) == ARCHIVES == development + evaluation
    assert {a.record for a in development} == {"4477542"}
    assert {a.record for a in evaluation} == {"4767103"}
    assert round(sum(a.bytes for a in development) / 1e9, 1) == 107.7
    assert round(sum(a.bytes for a in evaluation) / 1e9, 1) == 61.2
    assert all(len(a.md5) == 32 and a.name.endswith(".zip") for a in ARCHIVES)
    assert {a.folder for a in development} == {""}
    assert {a.folder for a in evaluation} == {"evaluation"}


def test_parts_are_selected_by_name() -> None:
    parts = [archive.part for archive in select(ARCHIVES, "development", ["meta", "audio"])]
    assert parts == ["meta"] + 8 * ["audio"]
    assert len(select(ARCHIVES, "development", ["video"])) == 16


@pytest.mark.parametrize(
    ("wanted", "only", "message"),
    [
        ("developmnt", None, "set=developmnt.*'development'"),
        ("development", ["meta", "vidoe"], "only=vidoe.*'video'.*doc, meta, examples, audio, video"),
        ("evaluation", ["examples"], "only=examples.*set=evaluation has the parts doc, meta, audio, video"),
    ],
)
def test_other_names_are_refused(wanted: str, only: list[str] | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        select(ARCHIVES, wanted, only)

"""Label order: sorted or as wanted, and one spelling for each scene."""

import pytest

from sedcrnn.datasets.scenes import label_order
from sedcrnn.errors import ConfigError, DataError


def test_labels_are_sorted_unless_an_order_is_wanted() -> None:
    assert label_order(["tram", "bus", "tram", "Park"]) == ("Park", "bus", "tram")
    assert label_order(["tram", "bus", "tram"], ["tram", "bus"]) == ("tram", "bus")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "There are no labels"),
        (["bus", "bus"], "All clips have the label 'bus'"),
        (["bus", "park", "Bus"], "The labels 'Bus' and 'bus' differ only in case"),
        (["cafe\u0301", "caf\u00e9"], r"The labels 'cafe\\u0301' and 'caf\\xe9' differ only in"),
    ],
)
def test_labels_without_an_order_are_refused(labels: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        label_order(labels)


def test_wanted_scenes_are_different_and_have_clips() -> None:
    with pytest.raises(DataError, match=r"names trma, of which there are no clips.*labels bus, tram"):
        label_order(["tram", "bus"], ["trma", "bus"])
    for wanted in ("bus", ["bus", "bus"]):
        with pytest.raises(ConfigError, match=r"data\.source\.scenes is .*\[bus,tram\]"):
            label_order(["tram", "bus"], wanted)

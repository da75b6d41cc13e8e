"""The one home of label order: the position of a scene in its data set's tuple is its class index everywhere."""

import unicodedata
from collections.abc import Iterable, Sequence

from sedcrnn.errors import ConfigError, DataError

TAU_SCENES: tuple[str, ...] = (
    "airport",
    "bus",
    "metro",
    "metro_station",
    "park",
    "public_square",
    "shopping_mall",
    "street_pedestrian",
    "street_traffic",
    "tram",
)


def label_order(labels: Iterable[str], wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """The scenes of a data set that has no fixed ones, in label order.

    Args:
        labels: of its clips, in any order and number.
        wanted: the scenes in the order that the user wants; None: sorted.

    Raises:
        DataError: fewer than two scenes; labels that a reader takes for one (they differ in case, or in how their
            accents are encoded); or a wanted scene that no clip shows.
        ConfigError: wanted scenes that are not a list of different names.
    """
    found = sorted(set(labels))
    if len(found) < 2:
        raise DataError(
            f"All clips have the label '{found[0]}'" if found else "There are no labels",
            "Scenes are told from each other, so there are at least two",
            "Add clips of another scene",
        )
    spelt: dict[str, str] = {}
    for label in found:
        other = spelt.setdefault(unicodedata.normalize("NFKC", label).casefold(), label)
        if other != label:
            raise DataError(
                f"The labels {other!a} and {label!a} differ only in case or in how a letter is encoded",
                "A scene is spelt in one way",
                "Rename one of them, so that all clips of the scene have one label",
            )
    if wanted is None:
        return tuple(found)
    if isinstance(wanted, str) or len(set(wanted)) != len(wanted):
        raise ConfigError(
            f"data.source.scenes is {wanted}",
            "It is a list of different labels in label order, or null: sorted",
            f"Set data.source.scenes=[{','.join(found)}], in the order that you want",
        )
    scenes = tuple(str(scene) for scene in wanted)
    if unseen := [scene for scene in scenes if scene not in found]:
        raise DataError(
            f"data.source.scenes names {', '.join(unseen)}, of which there are no clips",
            f"The clips have the labels {', '.join(found)}",
            "Correct the spelling, or leave the scene out",
        )
    return scenes

"""Lists in TAU layout: what is read, and what is refused."""

from collections import Counter
from pathlib import Path

import pytest

from sedcrnn.datasets.tau2021 import Tau2021
from sedcrnn.errors import DataError

TAU_META = Path(__file__).parents[2] / "../shared/reference/tau_meta"

HEADER = "filename_audio\tfilename_video\tscene_label"
ROW = "audio/{0}.wav\tvideo/{0}.mp4\t{1}"


def write_lists(
    root: Path, train: list[str], test: list[str], newline: str = "\n", separator: str = "\t", start: str = ""
) -> Path:
    folder = root / "evaluation_setup"
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("fold1_train.csv", train), ("fold1_evaluate.csv", test)):
        text = start + newline.join([HEADER, *rows, ""]).replace("\t", separator)
        (folder / name).write_bytes(text.encode())
    return root


BUS = ROW.format("bus-lisbon-1000-40000", "bus")
SQUARE = ROW.format("public_square-lyon-7-1", "public_square")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", ["\t", ","])
@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("nested", [False, True])
def test_records_from_every_variant_of_the_lists(
    tmp_path: Path, newline: str, separator: str, start: str, nested: bool
) -> None:
    folder = tmp_path / "TAU-urban-audio-visual-scenes-2021-development.meta" if nested else tmp_path
    write_lists(folder, [BUS], [SQUARE], newline, separator, start)
    manifest = Tau2021(str(tmp_path)).manifest()
    bus, square = manifest.clips
    assert (bus.id, bus.scene, bus.city, bus.location, bus.fold) == (
        "bus-lisbon-1000-40000", "bus", "lisbon", "lisbon-1000", "train",
    )  # fmt: skip
    assert bus.audio == tmp_path / "audio" / "bus-lisbon-1000-40000.wav"
    assert square.video == tmp_path / "video" / "public_square-lyon-7-1.mp4"
    assert (square.scene, square.fold) == ("public_square", "test")
    assert manifest.scenes[0] == "airport"
    assert len(manifest.scenes) == 10


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([], [SQUARE], "train fold of the data set 'tau2021' is empty"),
        ([BUS], [], "test fold of the data set 'tau2021' is empty"),
        ([ROW.format("bus-lisbon-1-2", "Bus")], [SQUARE], "has the label 'Bus'.*airport, bus, metro"),
        ([BUS, BUS], [SQUARE], "lists the clip 'bus-lisbon-1000-40000' more than once"),
        ([ROW.format("bus_lisbon_1", "bus")], [SQUARE], r"\[scene\]-\[city\]-\[location\]-\[segment\]"),
        ([BUS.replace("\t", ",")], [SQUARE], "separated by tabs or commas"),
    ],
)
def test_broken_lists_are_refused(tmp_path: Path, train: list[str], test: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Tau2021(str(write_lists(tmp_path, train, test))).manifest()


def test_a_missing_root_and_missing_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist: .*nowhere.*data\.source\.root"):
        Tau2021(str(tmp_path / "nowhere")).manifest()
    with pytest.raises(DataError, match="no evaluation_setup folder"):
        Tau2021(str(tmp_path)).manifest()
    (write_lists(tmp_path, [BUS], [SQUARE]) / "evaluation_setup" / "fold1_evaluate.csv").unlink()
    with pytest.raises(DataError, match=r"fold1_evaluate\.csv does not exist"):
        Tau2021(str(tmp_path)).manifest()


@pytest.mark.skipif(not TAU_META.is_dir(), reason="the real file lists are not here")
def test_the_real_lists_have_the_published_counts(tmp_path: Path) -> None:
    """The official baseline's copies: rows of its lists as they are, with a column more; the test names with CRLF."""
    header, *train = (TAU_META / "train.csv").read_text().splitlines()
    train += (TAU_META / "val.csv").read_text().splitlines()[1:]
    names = [line.removesuffix(".wav") for line in (TAU_META / "test.csv").read_text().splitlines()[1:]]
    write_lists(tmp_path, [], [ROW.format(name, name.split("-")[0]) for name in names], "\r\n")
    (tmp_path / "evaluation_setup" / "fold1_train.csv").write_text("\n".join([header, *train]))
    manifest = Tau2021(str(tmp_path)).manifest()
    counts = {fold: Counter(clip.scene for clip in manifest.fold(fold)) for fold in ("train", "test")}
    assert (counts["train"].total(), counts["test"].total()) == (8646, 3645)
    assert {scene: (counts["train"][scene], counts["test"][scene]) for scene in manifest.scenes} == {
        "airport": (697, 281),
        "bus": (806, 327),
        "metro": (705, 360),
        "metro_station": (893, 386),
        "park": (1006, 386),
        "public_square": (982, 387),
        "shopping_mall": (841, 387),
        "street_pedestrian": (968, 421),
        "street_traffic": (985, 402),
        "tram": (763, 308),
    }
    train_places, test_places = ({clip.location for clip in manifest.fold(fold)} for fold in ("train", "test"))
    assert (len(train_places), len(test_places), len(train_places & test_places)) == (305, 126, 0)
    assert len({clip.city for clip in manifest.clips}) == 10
    assert {clip.id for clip in manifest.clips} >= set(Tau2021.known_faults)

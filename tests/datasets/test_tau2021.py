"""Lists in TAU layout: what is read, and what is refused."""

from pathlib import Path

import pytest

from sedcrnn.datasets.tau2021 import Tau2021
from sedcrnn.errors import DataError

HEADER = "filename_audio\tfilename_video\tscene_label"
ROW = "audio/{0}.wav\tvideo/{0}.mp4\t{1}"


def write_lists(root: Path, train: list[str], test: list[str], newline: str = "\n") -> Path:
    folder = root / "evaluation_setup"
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("fold1_train.csv", train), ("fold1_evaluate.csv", test)):
        (folder / name).write_bytes(newline.join([HEADER, *rows, ""]).encode())
    return root


BUS = ROW.format("bus-lisbon-1000-40000", "bus")
SQUARE = ROW.format("public_square-lyon-7-1", "public_square")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("nested", [False, True])
def test_records_from_every_line_ending_with_and_without_a_meta_folder(
    tmp_path: Path, newline: str, nested: bool
) -> None:
    write_lists(tmp_path / "TAU.meta" if nested else tmp_path, [BUS], [SQUARE], newline)
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
        ([BUS.replace("\t", ",")], [SQUARE], "separated by tabs"),
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

"""Lists in TAU layout, and the numbered clips of the evaluation set: what is read, and what is refused."""

from collections import Counter
from pathlib import Path

import pytest

from sedcrnn.datasets.clips import TAU_SCENES, UNLABELLED, Manifest
from sedcrnn.datasets.tau2021 import EVALUATION_FILES, Tau2021, Tau2021Evaluation
from sedcrnn.errors import DataError
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.frames import Frames
from sedcrnn.features.spectrogram import Spectrogram

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
    with pytest.raises(DataError, match=r"does not exist: .*nowhere.*data\.root"):
        Tau2021(str(tmp_path / "nowhere")).manifest()
    with pytest.raises(DataError, match="no evaluation_setup folder"):
        Tau2021(str(tmp_path)).manifest()
    (write_lists(tmp_path, [BUS], [SQUARE]) / "evaluation_setup" / "fold1_evaluate.csv").unlink()
    with pytest.raises(DataError, match=r"fold1_evaluate\.csv does not exist"):
        Tau2021(str(tmp_path)).manifest()


def test_the_official_lists_have_the_published_counts(tmp_path: Path, tau2021_names: dict[str, list[str]]) -> None:
    """As in the official baseline's copies: separated by commas, with a column more, in CRLF."""
    rows = {
        fold: [f"audio/{name}.wav,video/{name}.mp4,{name.split('-')[0]},{name.split('-')[2]}" for name in names]
        for fold, names in tau2021_names.items()
    }
    write_lists(tmp_path, [], [])
    for file, fold in (("fold1_train.csv", "train"), ("fold1_evaluate.csv", "test")):
        text = "\r\n".join(["filename_audio,filename_video,scene_label,location_id", *rows[fold]])
        (tmp_path / "evaluation_setup" / file).write_bytes(text.encode())
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
    train_locations, test_locations = ({clip.location for clip in manifest.fold(fold)} for fold in ("train", "test"))
    assert (len(train_locations), len(test_locations), len(train_locations & test_locations)) == (305, 126, 0)
    assert len({clip.city for clip in manifest.clips}) == 10
    faulty = {clip.rsplit("-", 1)[0] for clip in Tau2021.known_faults}
    assert {clip.id.rsplit("-", 1)[0] for clip in manifest.clips} >= faulty


SPECTROGRAM, FRAMES = Spectrogram(bank=RecursiveGammatone()), Frames(height=32, width=32)


def make_set(root: Path, files: int, kinds: tuple[str, ...] = ("audio", "video")) -> Path:
    for kind in kinds:
        (root / kind).mkdir(parents=True)
        for number in range(files):
            (root / kind / f"{number}{'.wav' if kind == 'audio' else '.mp4'}").touch()
    return root


@pytest.mark.parametrize("inner", ["", "TAU-urban-audio-visual-scenes-2021-evaluation"])
def test_clips_are_numbered_and_unlabelled_in_the_root_or_in_a_folder_inside(tmp_path: Path, inner: str) -> None:
    make_set(tmp_path / inner, 12)
    clips = Tau2021Evaluation(str(tmp_path), files=12).clips([SPECTROGRAM, FRAMES])
    assert [clip.id for clip in clips] == [str(number) for number in range(12)]
    assert (clips[11].audio, clips[2].video) == (
        tmp_path / inner / "audio" / "11.wav",
        tmp_path / inner / "video" / "2.mp4",
    )
    assert {clip.scene for clip in clips} == {UNLABELLED}
    assert EVALUATION_FILES == 72_000


def test_the_video_may_be_missing_for_a_system_that_takes_audio_alone(tmp_path: Path) -> None:
    make_set(tmp_path, 3, kinds=("audio",))
    assert len(Tau2021Evaluation(str(tmp_path), files=3).clips([SPECTROGRAM])) == 3
    with pytest.raises(DataError, match=r"3 of 6 files .* are missing: .*video/0\.mp4, .*1\.mp4, .*2\.mp4\."):
        Tau2021Evaluation(str(tmp_path), files=3).clips([SPECTROGRAM, FRAMES])


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    make_set(tmp_path, 12)
    with pytest.raises(DataError, match=r"1,988 of 2,000 files .*12\.wav, .*13\.wav, .*14\.wav and more\. .*0 to 1999"):
        Tau2021Evaluation(str(tmp_path), files=2000).clips([SPECTROGRAM])
    with pytest.raises(DataError, match=r"does not exist: .*nowhere.*Set data\.root="):
        Tau2021Evaluation(str(tmp_path / "nowhere")).clips([SPECTROGRAM])


def test_unlabelled_clips_are_in_no_manifest(tmp_path: Path) -> None:
    clips = Tau2021Evaluation(str(make_set(tmp_path, 1)), files=1).clips([SPECTROGRAM])
    with pytest.raises(DataError, match="has the label ''"):
        Manifest("evaluation", TAU_SCENES, clips)

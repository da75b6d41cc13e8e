"""Tables of clips: what is read from csv, tsv and parquet, and what is refused."""

import os
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from sedcrnn.datasets.manifest import ManifestFile
from sedcrnn.errors import ConfigError, DataError

ROWS = [f"{scene}/{n}.mp4,{scene}" for scene in ("bus", "park") for n in range(3)]


def listed(root: Path, name: str = "manifest.csv", **options: Any) -> ManifestFile:
    roles = ("video", "audio", "label", "group", "fold")
    defaults: dict[str, Any] = {f"{role}_column": None for role in roles}
    return ManifestFile(
        str(root), name, **{**defaults, "scenes": None, "test_fraction": 0.25, "test_seed": 0, **options}
    )


def write(root: Path, lines: list[str], name: str = "manifest.csv", newline: str = "\n") -> Path:
    (root / name).write_bytes(newline.join([*lines, ""]).encode("utf-8-sig"))
    for scene in ("bus", "park"):
        (root / scene).mkdir(exist_ok=True)
        (root / scene / "0.mp4").touch()
    return root


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("delimiter", "name"), [(",", "a.csv"), (";", "a.csv"), ("\t", "a.tsv"), ("\t", "a.csv")])
def test_one_file_per_clip(tmp_path: Path, delimiter: str, name: str, newline: str) -> None:
    write(tmp_path, [row.replace(",", delimiter) for row in ["video,label", *ROWS]], name, newline)
    manifest = listed(tmp_path, name).manifest()
    assert manifest.scenes == ("bus", "park")
    assert [clip.id for clip in manifest.clips] == [row.split(",")[0] for row in ROWS]
    clip = manifest.clips[4]
    assert clip.audio == clip.video == tmp_path / "park" / "1.mp4"  # the audio is that of the video
    assert (clip.scene, clip.location, clip.city) == ("park", "park/1.mp4", "")
    assert {c.scene for c in manifest.fold("test")} == {"bus", "park"}


def test_all_columns_by_their_own_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    rows = ["wav,mp4,scene_label,room,part,note"]
    for scene in ("bus", "park"):
        rows += [f'{scene}/{n}.wav,{scene}/{n}.mp4, {scene} ,"{scene}, {n // 2}",{part},x' for n, part in
                 enumerate(["train", "train", "train", "", "test"]) if part]  # fmt: skip
    rows += ["a/no group.wav,bus/0b.mp4,bus,,test,"]
    write(tmp_path, rows)
    columns = {"audio": "wav", "video": "mp4", "label": "scene_label", "group": "room", "fold": "part"}
    manifest = listed(tmp_path, **{f"{role}_column": name for role, name in columns.items()}).manifest()
    assert [(c.id, c.location, c.fold) for c in manifest.clips if c.scene == "bus"] == [
        ("bus/0.mp4", "bus, 0", "train"),
        ("bus/1.mp4", "bus, 0", "train"),
        ("bus/2.mp4", "bus, 1", "train"),
        ("bus/4.mp4", "bus, 2", "test"),
        ("bus/0b.mp4", "bus/0b.mp4", "test"),
    ]
    assert manifest.clips[0].audio == tmp_path / "bus" / "0.wav"
    (message,) = caplog.messages
    assert (
        "video from 'mp4', audio from 'wav', label from 'scene_label', group from 'room', fold from 'part'" in message
    )
    assert "not used: 'note'" in message
    assert "6 clips to train and 3 to test, as given" in message


def test_audio_alone_and_a_table_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    write(tmp_path, ["audio,label", *ROWS], "lists/sound.csv")
    manifest = listed(tmp_path, str(tmp_path / "lists" / "sound.csv"), scenes=["park", "bus"]).manifest()
    assert manifest.scenes == ("park", "bus")
    assert manifest.clips[0].audio == manifest.clips[0].video == tmp_path / "bus" / "0.mp4"


def test_a_group_column_is_used_without_being_asked_for(tmp_path: Path) -> None:
    rows = [f"{scene}/{n}.mp4,{scene},{'abc'[n % 3]}" for scene in ("bus", "park") for n in range(9)]
    manifest = listed(write(tmp_path, ["video,label,group", *rows])).manifest()
    assert len({c.location for c in manifest.fold("test")}) == 1
    assert len(manifest.fold("test")) == 6


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    write(tmp_path, ["video,label,group", *(f"{row},{n}" for n, row in enumerate(ROWS[1:])), ROWS[0] + ","])
    table = {
        "video": [row.split(",")[0] for row in ROWS[1:] + ROWS[:1]],
        "label": pyarrow.array([row.split(",")[1] for row in ROWS[1:] + ROWS[:1]]).dictionary_encode(),
        "group": pyarrow.array([0, 1, 2, 3, 4, None]),
    }
    parquet.write_table(pyarrow.table(table), tmp_path / "manifest.parquet")
    assert listed(tmp_path, "manifest.parquet").manifest() == listed(tmp_path).manifest()


def test_parquet_without_its_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.parquet").touch()
    with pytest.raises(DataError, match=r"manifest\.parquet cannot be read: .*[Pp]arquet"):
        listed(tmp_path, "manifest.parquet").manifest()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pyarrow is missing.*pip install 'sedcrnn\[parquet\]'"):
        listed(tmp_path, "manifest.parquet").manifest()


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        ([], {}, "it has no rows"),
        (["video,label"], {}, "it has no rows"),
        (["video,label,label", "a,b,c"], {}, "two columns of one name"),
        (["video,label", *ROWS, "bus/9,5.mp4,bus"], {}, r"row 8 has 3 values, the header 2"),
        (["video,label", *ROWS, "bus/9.mp4,"], {}, "Row 8 of .* has no label"),
        (["video,label", ",bus"], {}, "Row 2 of .* has no video"),
        (["video,label", *ROWS, ROWS[0]], {}, r"lists the clip 'bus/0\.mp4' more than once"),
        (["video,label", *ROWS, "bus/9.mp4,BUS"], {}, "'BUS' and 'bus' differ only in case"),
        (["video,label", *ROWS], {"scenes": ["park", "Bus"]}, "names Bus, of which there are no clips"),
        (["video,label", *ROWS, "x/1.mp4,tram"], {"scenes": ["park", "bus"]}, "has the label 'tram'"),
        (["video,label,fold", *(f"{row},train" for row in ROWS)], {}, "test fold has no clips of: bus, park"),
        (["video,label", "x/0.mp4,bus", "x/1.mp4,park"], {}, r"None of the files .* exists: .*x/0\.mp4.*data\.root"),
        (["video,label", ROWS[0], ROWS[3]], {}, r"'bus' has 1 location\(s\).*'park' has 1 location\(s\)"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(
    tmp_path: Path, lines: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        listed(write(tmp_path, lines), **options).manifest()


@pytest.mark.parametrize(
    ("header", "options", "message"),
    [
        ("path,label", {}, r"no column 'video' or 'audio', but path, label.*data\.source\.video_column=<column>"),
        ("video,lable", {}, r"no column 'label', but video, lable"),
        ("video,label", {"group_column": "room"}, r"group_column is 'room', which .* does not have.*video, label"),
    ],
)
def test_columns_that_are_not_there_are_refused(
    tmp_path: Path, header: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        listed(write(tmp_path, [header, *ROWS]), **options).manifest()


def test_files_are_found_by_the_bytes_of_their_names(tmp_path: Path) -> None:
    names = [
        b"b\xfc.mp4",
        b" lead.mp4",
        b"trail.mp4 ",
        b"new\nline.mp4",
        b"cr\r.mp4",
        b"a,b;c.mp4",
        b'q"uote.mp4',
        b"k=v.mp4",
    ]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).touch()  # noqa: PTH118 - of bytes
    quoted = [b'"' + name.replace(b'"', b'""') + b'"' for name in names]
    rows = [name + b", " + scene for name, scene in zip(quoted, 4 * [b"bus", b"park"], strict=True)]
    (tmp_path / "manifest.csv").write_bytes(b"video,label\r\n" + b"\r\n".join([*rows, b"  none.mp4 ,bus"]))
    manifest = listed(tmp_path).manifest()
    assert [clip.id for clip in manifest.clips] == [*map(os.fsdecode, names), "none.mp4"]
    assert all(clip.video.is_file() for clip in manifest.clips[:-1])
    assert manifest.scenes == ("bus", "park")


def test_texts_of_a_table_are_lines_in_utf_8(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "manifest.csv").write_bytes(b"video,label\na.mp4,caf\xe9\n")
    with pytest.raises(DataError, match=r"row 2 has the label 'caf.xe9', which is no line of text"):
        listed(tmp_path).manifest()


def test_a_missing_or_unknown_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"manifest\.csv does not exist.*data\.source\.manifest=<file>"):
        listed(tmp_path).manifest()
    (tmp_path / "list.xlsx").touch()
    with pytest.raises(DataError, match=r"list\.xlsx is of an unknown kind.*\.csv, \.tsv, \.parquet"):
        listed(tmp_path, "list.xlsx").manifest()
    (tmp_path / "latin.csv").write_bytes("video,label\ncaf\u00e9.mp4,bus\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.csv cannot be read: .*UTF-8"):
        listed(tmp_path, "latin.csv").manifest()


LABELLED = [
    "a/0.mp4,tram; crowd",
    "a/1.mp4, small kitchen ;tram;tram",
    "b/0.mp4,",
    'b/1.mp4,"crowd, loud;small kitchen"',
    *(f"{group}/{number}.mp4,{label}" for group in "cdefgh" for number, label in enumerate(["tram", "crowd"])),
    *(f'{group}/{number}.mp4,"small kitchen;crowd, loud"' for group in "ijk" for number in range(2)),
]


def test_a_clip_has_the_labels_between_separators(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    write(tmp_path, ["video,label,group", *(f"{row},{row[0]}" for row in LABELLED), "bus/0.mp4,tram,z"])
    manifest = listed(tmp_path, label_separator=";").manifest()
    assert manifest.multi_label
    assert manifest.scenes == ("crowd", "crowd, loud", "small kitchen", "tram")
    assert [clip.labels for clip in manifest.clips[:4]] == [
        ("crowd", "tram"),
        ("small kitchen", "tram"),
        (),
        ("crowd, loud", "small kitchen"),
    ]
    assert [clip.label for clip in manifest.clips[1:3]] == ["small kitchen + tram", "no scene"]
    for fold in ("train", "test"):
        assert {scene for clip in manifest.fold(fold) for scene in clip.scenes} == set(manifest.scenes)
    assert "4 scenes, any number to a clip" in caplog.messages[-1]


def test_labels_that_look_like_several_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [*ROWS, "bus/3.mp4,bus; park", "bus/4.mp4,bus; park", "bus/5.mp4,bus; park"]
    manifest = listed(write(tmp_path, ["video,label", *rows])).manifest()
    assert manifest.scenes == ("bus", "bus; park", "park")
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "'bus; park' is read as one scene" in warning
    assert "data.source.label_separator=';'" in warning


def test_a_label_that_no_clip_has_and_an_unknown_one_are_refused(tmp_path: Path) -> None:
    rows = ["video,label", *(f"{n}.mp4,bus|park" for n in range(6)), "bus/0.mp4,park"]
    write(tmp_path, rows)
    with pytest.raises(DataError, match="names tram, of which there are no clips"):
        listed(tmp_path, label_separator="|", scenes=["bus", "park", "tram"]).manifest()
    write(tmp_path, [*rows, "x.mp4,tram"])
    with pytest.raises(DataError, match=r"'0\.mp4' .* has the label 'park'"):
        listed(tmp_path, label_separator="|", scenes=["bus", "tram"]).manifest()

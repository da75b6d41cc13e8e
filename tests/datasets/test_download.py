"""The published list, and archives from a real server that become the data set's files, whatever happens."""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sedcrnn.datasets import download as downloading
from sedcrnn.datasets.download import Archive, download, read_archives, select
from sedcrnn.datasets.fetch import DiskError
from sedcrnn.datasets.tau2021 import Tau2021
from sedcrnn.errors import ConfigError, DataError

ARCHIVES = read_archives(Tau2021.archives)

AUDIO, VIDEO = np.random.default_rng(0).bytes(300_000), np.random.default_rng(1).bytes(400_000)
FILES = {"meta.csv": b"names", "audio/a.wav": AUDIO, "audio/b.wav": AUDIO[::-1], "video/a.mp4": VIDEO}


@pytest.fixture
def archives(publish: Callable[..., Archive]) -> list[Archive]:
    return [
        publish("meta", {"meta.csv": FILES["meta.csv"]}),
        publish("audio.1", {"audio/a.wav": AUDIO}),
        publish("audio.2", {"audio/b.wav": AUDIO[::-1]}),
        publish("video.1", {"video/a.mp4": VIDEO}),
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tau"


@pytest.fixture
def fetched(server, archives: list[Archive], root: Path) -> Callable[..., None]:
    def run(some: list[Archive] = archives, **options) -> None:
        download(some, root, server.url, **options)

    return run


def files_in(root: Path) -> dict[str, bytes]:
    paths = [path for path in root.rglob("*") if path.is_file() and "archives" not in path.parts]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def zips_in(root: Path) -> list[str]:
    return sorted(path.name.split(".", 1)[1] for path in (root / "archives").glob("*.zip"))


def test_all_files_are_there_and_the_archives_stay(fetched: Callable[..., None], root: Path) -> None:
    fetched()
    assert files_in(root) == FILES
    assert zips_in(root) == ["audio.1.zip", "audio.2.zip", "meta.zip", "video.1.zip"]
    assert not list(root.rglob("*.part*"))


def test_archives_are_removed_when_asked_at_once_or_later(fetched: Callable[..., None], root: Path) -> None:
    fetched(remove_archives=True)
    assert files_in(root) == FILES
    assert zips_in(root) == []


def test_removing_later_fetches_nothing(server, fetched: Callable[..., None], root: Path) -> None:
    fetched()
    server.requests.clear()
    fetched(remove_archives=True)
    assert files_in(root) == FILES
    assert zips_in(root) == []
    assert server.requests == []


@pytest.mark.parametrize("remove", [False, True])
def test_what_is_there_is_recognised_without_the_server_and_without_reading_it(
    server, fetched: Callable[..., None], remove: bool, caplog: pytest.LogCaptureFixture, monkeypatch
) -> None:
    fetched(remove_archives=remove)
    server.requests.clear()
    caplog.set_level("INFO", "sedcrnn")
    monkeypatch.setattr(downloading, "unpack", None)
    fetched(remove_archives=remove)
    assert server.requests == []
    assert "4 of 4 archives are unpacked" in caplog.text


def test_a_lost_file_is_unpacked_again_from_its_archive(server, fetched: Callable[..., None], root: Path) -> None:
    fetched()
    server.requests.clear()
    (root / "audio" / "b.wav").unlink()
    fetched()
    assert files_in(root) == FILES
    assert server.requests == []


def test_a_lost_file_of_a_removed_archive_is_fetched_again(server, fetched: Callable[..., None], root: Path) -> None:
    fetched(remove_archives=True)
    server.requests.clear()
    (root / "audio" / "b.wav").write_bytes(b"half")
    fetched(remove_archives=True)
    assert files_in(root) == FILES
    assert [path for path, _ in server.requests] == ["/7/files/TAU-2021-development.audio.2.zip"]


def test_an_archive_from_elsewhere_is_used(server, fetched: Callable[..., None], root: Path) -> None:
    (root / "archives").mkdir(parents=True)
    for path, content in server.files.items():
        (root / "archives" / Path(path).name).write_bytes(content)
    fetched()
    assert files_in(root) == FILES
    assert server.requests == []


def test_an_archive_of_another_size_is_neither_used_nor_deleted(
    fetched: Callable[..., None], archives: list[Archive], root: Path
) -> None:
    (root / "archives").mkdir(parents=True)
    strange = root / "archives" / archives[0].name
    strange.write_bytes(b"half")
    with pytest.raises(DataError, match=rf"{strange} has 4 bytes.*The published archive has .*Delete it"):
        fetched()
    assert strange.read_bytes() == b"half"


def test_a_renewed_archive_replaces_the_old_one(
    publish: Callable[..., Archive], fetched: Callable[..., None], root: Path
) -> None:
    fetched(remove_archives=True)
    fetched([publish("meta", {"meta.csv": b"other"})], remove_archives=True)
    assert files_in(root)["meta.csv"] == b"other"


def test_the_evaluation_set_has_its_own_folder(
    publish: Callable[..., Archive], fetched: Callable[..., None], archives: list[Archive], root: Path
) -> None:
    fetched([*archives, publish("meta", {"meta.csv": b"numbers"}, of="evaluation")])
    assert files_in(root) == {**FILES, "evaluation/meta.csv": b"numbers"}


def test_a_failure_does_not_keep_the_others_from_being_completed(
    server, faults, fetched: Callable[..., None], archives: list[Archive], root: Path
) -> None:
    server.faults["/7/files/TAU-2021-development.audio.1.zip"] = faults(answers=[404])
    with pytest.raises(DataError, match=r"answers 404 .*audio\.1\.zip"):
        fetched(jobs=1)
    assert files_in(root) == {name: content for name, content in FILES.items() if name != "audio/a.wav"}
    fetched()
    assert files_in(root) == FILES


def test_several_failures_are_all_named(
    server, faults, fetched: Callable[..., None], root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("audio.1", "video.1"):
        server.faults[f"/7/files/TAU-2021-development.{name}.zip"] = faults(answers=[404])
    with pytest.raises(DataError, match=r"2 of 4 archives could not be fetched or unpacked"):
        fetched()
    assert "audio.1.zip" in caplog.text
    assert "video.1.zip" in caplog.text


def test_an_archive_that_would_leave_the_root_is_refused(
    publish: Callable[..., Archive], fetched: Callable[..., None], root: Path
) -> None:
    with pytest.raises(DataError, match=r"holds the member '\.\./\.\./outside'"):
        fetched([publish("audio.1", {"../../outside": b"x"})])
    assert files_in(root.parents[1]) == {}


@pytest.mark.parametrize(
    ("free", "options", "fits"),
    [
        (2_200_000, {}, True),
        (2_000_000, {}, False),
        (1_600_000, {"remove_archives": True, "jobs": 1}, True),
        (1_400_000, {"remove_archives": True, "jobs": 1}, False),
    ],
)
def test_space_is_checked_before_anything_is_fetched(
    server, fetched: Callable[..., None], monkeypatch: pytest.MonkeyPatch, free: int, options, fits: bool, root: Path
) -> None:
    # 1.0 MB of archives; 0.6 MB of audio is expected to grow by a fifth: 1.12 MB of files.
    root.mkdir(parents=True)
    usage = downloading.shutil.disk_usage(root)
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: usage._replace(free=free))
    if fits:
        fetched(**options)
        assert files_in(root) == FILES
    else:
        with pytest.raises(DataError, match=r"of free space.*of archives and about 1\.12MB of files would lie there"):
            fetched(**options)
        assert server.requests == []


def test_a_disk_that_fills_up_stops_the_other_archives(
    server, fetched: Callable[..., None], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_) -> None:
        raise DiskError("The disk is full", "It has room", "Make room")

    with monkeypatch.context() as context:
        context.setattr(downloading, "unpack", full)
        with pytest.raises(DiskError, match="The disk is full"):
            fetched(jobs=1)
    assert len(server.requests) == 1
    fetched()
    assert files_in(root) == FILES


def test_two_processes_do_not_meet(fetched: Callable[..., None], root: Path) -> None:
    (root / "archives").mkdir(parents=True)
    with (root / "archives" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="Another process is downloading"):
            fetched()
    fetched()


def test_records_name_the_files_and_their_sizes(
    fetched: Callable[..., None], archives: list[Archive], root: Path
) -> None:
    fetched()
    record = json.loads((root / "archives" / "TAU-2021-development.audio.1.json").read_text())
    assert record == {"md5": archives[1].md5, "files": {"audio/a.wav": 300_000}}


def test_a_root_that_cannot_be_made_is_named(archives: list[Archive], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/tau cannot be made or written to"):
        download(archives, tmp_path / "file" / "tau", "http://localhost")


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
        ("development", ["meta", "vidoe"], "only=vidoe.*'video'.*doc, meta, examples, audio, video"),
        ("evaluation", ["examples"], "only=examples.*set=evaluation has the parts doc, meta, audio, video"),
    ],
)
def test_other_names_are_refused(wanted: str, only: list[str] | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        select(ARCHIVES, wanted, only)

"""A real server with faults: what arrives is the published file, or nothing is taken for it."""

import errno
import hashlib
import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from sedcrnn.datasets import fetch
from sedcrnn.datasets.fetch import DiskError, Stopped, partial_path
from sedcrnn.errors import DataError

CONTENT = np.random.default_rng(0).bytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
NAME = "/7/files/a.zip"


class Fetched:
    """Fetches the file from a server; notes what was said and counted."""

    def __init__(self, server, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.url, self.path, self.part, self.caplog = server.url + NAME, path, partial_path(path), caplog
        self.counted = 0
        self.stop = threading.Event()

    def __call__(self, size: int = len(CONTENT), md5: str = MD5) -> None:
        def received(count: int) -> None:
            self.counted += count

        fetch.fetch(self.url, self.path, size, md5, received, self.stop)

    @property
    def said(self) -> list[str]:
        return self.caplog.messages


@pytest.fixture
def fetched(server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Fetched:
    server.files[NAME] = CONTENT
    return Fetched(server, tmp_path / "a.zip", caplog)


def assert_whole(fetched: Fetched) -> None:
    assert fetched.path.read_bytes() == CONTENT
    assert not fetched.part.exists()


def assert_nothing_taken_for_whole(fetched: Fetched) -> None:
    assert not fetched.path.exists()


def test_a_file_arrives(server, fetched: Fetched) -> None:
    fetched()
    assert_whole(fetched)
    assert fetched.counted == len(CONTENT)
    assert server.requests == [(NAME, None)]


def test_a_broken_connection_is_resumed_where_it_broke(server, faults, fetched: Fetched) -> None:
    server.faults[NAME] = faults(breaks=[1_000_000, 500_000, 0, 0, 700_000])
    fetched()
    assert_whole(fetched)
    ranges = [None, "bytes=1000000-", "bytes=1500000-", "bytes=1500000-", "bytes=1500000-", "bytes=2200000-"]
    assert server.ranges_of("a.zip") == ranges
    assert fetched.counted == len(CONTENT)
    assert "broke off after 1,000,000 of 3,000,000 bytes" in fetched.said[0]


def test_what_an_earlier_process_left_is_gone_on_with(server, fetched: Fetched) -> None:
    fetched.part.write_bytes(CONTENT[:2_500_000])
    fetched()
    assert_whole(fetched)
    assert server.ranges_of("a.zip") == ["bytes=2500000-"]
    assert fetched.counted == 500_000


def test_a_whole_part_is_verified_without_the_server(server, fetched: Fetched) -> None:
    fetched.part.write_bytes(CONTENT)
    fetched()
    assert_whole(fetched)
    assert server.requests == []


def test_without_ranges_the_download_starts_over_and_says_so(server, faults, fetched: Fetched) -> None:
    server.faults[NAME] = faults(ranges=False, breaks=[1_000_000])
    fetched()
    assert_whole(fetched)
    assert fetched.counted == len(CONTENT)
    assert "cannot go on after 1,000,000 bytes; starting over" in fetched.said[-1]


def test_a_server_without_ranges_that_keeps_breaking_is_given_up(server, faults, fetched: Fetched) -> None:
    server.faults[NAME] = faults(ranges=False, breaks=50 * [1_000_000])
    with pytest.raises(DataError, match=r"could not be fetched in 4 tries in a row.*1,000,000 of 3,000,000 bytes"):
        fetched()
    assert_nothing_taken_for_whole(fetched)


def test_a_wrong_md5_removes_the_file_and_the_next_call_fetches_it_anew(server, fetched: Fetched) -> None:
    server.files[NAME] = CONTENT[:-1] + b"?"
    with pytest.raises(DataError, match=f"has the MD5 .*published one is {MD5}"):
        fetched()
    assert_nothing_taken_for_whole(fetched)
    assert not fetched.part.exists()
    server.files[NAME] = CONTENT
    fetched()
    assert_whole(fetched)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_reported_at_once(server, faults, fetched: Fetched, status: int) -> None:
    server.faults[NAME] = faults(answers=[status])
    with pytest.raises(DataError, match=f"answers {status} .* for {fetched.url}"):
        fetched()
    assert len(server.requests) == 1
    assert_nothing_taken_for_whole(fetched)


def test_an_overloaded_server_is_asked_again(server, faults, fetched: Fetched) -> None:
    server.faults[NAME] = faults(answers=[503, 429, 500])
    fetched()
    assert_whole(fetched)
    assert "answers 503 Service Unavailable; trying again" in fetched.said[0]


def test_a_server_may_ask_for_patience(server, faults, fetched: Fetched) -> None:
    server.faults[NAME] = faults(answers=[503], retry_after="1")
    start = time.monotonic()
    fetched()
    assert time.monotonic() - start >= 1


def test_an_overloaded_server_is_given_up_and_what_has_arrived_is_kept(server, faults, fetched: Fetched) -> None:
    fetched.part.write_bytes(CONTENT[:1000])
    server.faults[NAME] = faults(answers=50 * [503])
    with pytest.raises(DataError, match=r"4 tries in a row: the server answers 503.*1,000 of 3,000,000 bytes"):
        fetched()
    assert fetched.part.read_bytes() == CONTENT[:1000]


def test_nobody_there(server, fetched: Fetched) -> None:
    server.close()
    with pytest.raises(DataError, match=r"could not be fetched in 4 tries in a row: .*refused"):
        fetched()


def test_a_silent_connection_is_taken_for_dead(
    server, faults, fetched: Fetched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    server.faults[NAME] = faults(stalls_after=1_000_000)
    fetched()
    assert_whole(fetched)
    assert server.ranges_of("a.zip") == [None, "bytes=1000000-", "bytes=2000000-"]
    assert [text for text in fetched.said if "timed out" in text]


def test_another_file_is_refused_before_anything_is_lost(server, faults, fetched: Fetched) -> None:
    fetched.part.write_bytes(CONTENT[:1_000_000])
    server.files[NAME] = b"<html>Please log in</html>"
    server.faults[NAME] = faults(ranges=False)
    with pytest.raises(DataError, match=r"announced with Content-Length 26.*3,000,000 bytes.*login page"):
        fetched()
    assert fetched.part.read_bytes() == CONTENT[:1_000_000]


def test_a_part_longer_than_the_file_starts_over(server, fetched: Fetched) -> None:
    fetched.part.write_bytes(CONTENT + b"more")
    fetched()
    assert_whole(fetched)


def test_a_full_disk_is_reported_and_what_has_arrived_is_gone_on_with(
    server, fetched: Fetched, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SmallDisk(io.FileIO):
        def write(self, data) -> int:
            room = 1_234_567 - self.tell()
            if room <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data[:room])

    with monkeypatch.context() as full:
        full.setattr(fetch, "FileIO", SmallDisk)
        with pytest.raises(DiskError, match=r"a\.zip\.part cannot be written: No space left on device.*Make room"):
            fetched()
    assert_nothing_taken_for_whole(fetched)
    assert fetched.part.read_bytes() == CONTENT[:1_234_567]
    fetched()
    assert_whole(fetched)
    assert server.ranges_of("a.zip")[-1] == "bytes=1234567-"


def test_a_stopped_download_keeps_what_has_arrived(
    server, faults, fetched: Fetched, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults[NAME] = faults(breaks=[1_000_000])
    monkeypatch.setattr(fetch.log, "warning", lambda _: fetched.stop.set())
    with pytest.raises(Stopped):
        fetched()
    assert fetched.part.read_bytes() == CONTENT[:1_000_000]


def test_progress_is_counted_once_wherever_the_connection_breaks(server, faults, fetched: Fetched) -> None:
    breaks = np.random.default_rng(1).integers(1, 300_000, 20)
    server.faults[NAME] = faults(breaks=[int(size) for size in breaks])
    fetched()
    assert_whole(fetched)
    assert fetched.counted == len(CONTENT)

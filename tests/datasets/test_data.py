"""The data command as a user types it: what it leaves on the disk, says, and exits with."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sedcrnn import data
from sedcrnn.config.checking import checked
from sedcrnn.config.composition import compose
from sedcrnn.config.targets import build
from sedcrnn.datasets.download import Archive
from sedcrnn.datasets.tau2021 import Tau2021
from tests.commands import exit_code

Command = Callable[..., int]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    return partial(exit_code, monkeypatch, data)


@pytest.fixture
def published(
    tau_root: Path,
    publish: Callable[..., Archive],
    write_list: Callable,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Path:
    """The small data set as archives on the server, in the layout of the real ones; the list that names them."""

    def members(*patterns: str) -> dict[str, bytes]:
        paths = [path for pattern in patterns for path in sorted(tau_root.glob(pattern))]
        return {str(path.relative_to(tau_root)): path.read_bytes() for path in paths}

    archives = [
        publish("meta", members("evaluation_setup/*")),
        publish("audio.1", members("audio/bus*")),
        publish("audio.2", members("audio/park*")),
        publish("video.1", members("video/*")),
        publish("meta", {"meta.csv": b"numbers"}, of="evaluation"),
    ]
    path: Path = write_list(tmp_path / "list.csv", archives)
    monkeypatch.setattr(Tau2021, "archives", path)
    return path


def paragraph(shown: str) -> str:
    assert "Traceback" not in shown
    return shown[shown.index("Error: ") :].strip()


def test_download_then_check(command: Command, published: Path, server, tmp_path: Path, capsys) -> None:
    root = tmp_path / "tau"
    assert command("download", "data=tau2021", f"data.root={root}", f"url={server.url}", "jobs=2") == 0
    shown = capsys.readouterr().out
    assert f"4 archive(s) are unpacked in {root}: meta, audio, video of the development set(s)." in shown
    assert shown.endswith(f"Next: sedcrnn data check data=tau2021 data.root='{root}'\n")
    assert len(list((root / "audio").glob("*.wav"))) == len(list((root / "video").glob("*.mp4"))) == 16
    assert not (root / "evaluation").exists()
    # Only two of the ten scenes are there.
    assert command("check", "data=tau2021", f"data.root={root}", "data.validation_fraction=0.3") == 1
    captured = capsys.readouterr()
    assert "16 readable" in captured.out
    assert "scenes without clips in the train fold: 8" in captured.out
    assert "cannot be used as it is" in paragraph(captured.err)


@pytest.mark.parametrize("only", ["only=meta,audio", "only=[meta,audio]"])
def test_parts_and_sets_are_selected(command: Command, published: Path, server, tmp_path: Path, only: str) -> None:
    root = tmp_path / "tau"
    assert command("download", f"data.root={root}", f"url={server.url}", only, "set=both", "remove_archives=true") == 0
    assert sorted(path.name for path in root.iterdir()) == ["archives", "audio", "evaluation", "evaluation_setup"]
    assert not list((root / "archives").glob("*.zip"))


def test_check_takes_any_data_set(command: Command, tau_root: Path, tmp_path: Path, capsys) -> None:
    assert command("check", "data=synthetic_tiny", f"data.root={tmp_path / 'none'}") == 1
    assert "does not exist" in paragraph(capsys.readouterr().err)
    assert not (tmp_path / "none").exists()
    options = ["data.source.cities=2", "data.source.locations=2", "data.source.test_locations=1"]
    size = ["data.source.clip_seconds=1", "data.source.height=32", "data.source.width=32", "data.source.workers=0"]
    render(f"data.root={tmp_path / 'made'}", *options, *size)
    assert command("check", "data=synthetic_tiny", f"data.root={tmp_path / 'made'}", *options, *size) == 0
    *_, verdict, following = capsys.readouterr().out.splitlines()
    assert verdict == "All is well."
    assert following.startswith(f"Next: sedcrnn extract data=synthetic_tiny data.root='{tmp_path / 'made'}'")


def render(*overrides: str) -> None:
    config = checked(compose("data", ["data=synthetic_tiny", "action=check", *overrides]), data.DataOptions)
    build(config.data.source, "data_source").prepare()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "'action' is not set"),
        (["chek"], "action is 'chek'. It should be 'download' or 'check'"),
        (["check", "download"], "The command line holds 'download'"),
        (["check"], "The folder of the data set is not given"),
        (["check", "data.rot=x"], "There is no config key 'data.rot'. The nearest valid key is 'data.root'"),
        (["download", "data.root=x", "only=vidoe"], "only=vidoe. The nearest is 'video'"),
        (["download", "data.root=x", "set=developmnt"], "set is 'developmnt'. It should be 'development',"),
        (["download", "data.root=x", "jobs=many"], "jobs is 'many'"),
        (["download", "data.root=x", "jobs=0"], "jobs is 0. It should be greater than or equal to 1"),
        (["check", "data.root=x", "jobs=0"], "jobs is 0. It should be greater than or equal to 1"),
        (["download", "data.root=x", "url=zenodo.org"], "url is 'zenodo.org'"),
        (["download", "data=synthetic", "data.root=x"], "Synthetic has no archives to download"),
    ],
)
def test_misuse_ends_with_one_paragraph(
    command: Command,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(*arguments) == 1
    shown = paragraph(capsys.readouterr().err)
    assert message in shown
    assert "\n" not in shown
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_fails_ends_with_one_paragraph(
    command: Command, published: Path, server, faults, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults["/7/files/TAU-2021-development.video.1.zip"] = faults(answers=[404])
    assert command("download", f"data.root={tmp_path / 'tau'}", f"url={server.url}") == 1
    assert "answers 404 Not Found for" in paragraph(capsys.readouterr().err)
    assert command("download", f"data.root={tmp_path / 'tau'}", f"url={server.url}") == 0


def test_a_label_in_another_case_is_named(command: Command, tmp_path: Path, capsys) -> None:
    (tmp_path / "evaluation_setup").mkdir()
    row = "audio/bus-lisbon-1-1.wav\tvideo/bus-lisbon-1-1.mp4\tBus"
    for name in ("fold1_train.csv", "fold1_evaluate.csv"):
        (tmp_path / "evaluation_setup" / name).write_text(f"filename_audio\tfilename_video\tscene_label\n{row}\n")
    assert command("check", f"data.root={tmp_path}") == 1
    assert "has the label 'Bus'" in paragraph(capsys.readouterr().err)


def started(published: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The command in a process of its own, with the list of archives of the test."""
    program = (
        "import sys; from pathlib import Path; from sedcrnn import data; from sedcrnn.datasets.tau2021 import Tau2021; "
        "Tau2021.archives = Path(sys.argv.pop(1)); data.main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, str(published), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_killed_download_goes_on_where_it_was(
    signum: signal.Signals, code: int, publish, write_list, server, faults, command: Command, tmp_path, monkeypatch
) -> None:
    files = {f"audio/{number}.wav": np.random.default_rng(number).bytes(1_000_000) for number in range(5)}
    archive = publish("audio.1", files)
    published = write_list(tmp_path / "list.csv", [archive])
    address = f"/7/files/{archive.name}"
    server.faults[address] = faults(stalls_after=3_000_000)
    root = tmp_path / "tau"
    part = root / "archives" / f"{archive.name}.part"
    arguments = ["download", f"data.root={root}", f"url={server.url}"]
    process = started(published, *arguments)
    wait_until(lambda: part.exists() and part.stat().st_size == 3_000_000)
    os.kill(process.pid, signum)
    if signum == signal.SIGINT:
        server.released.set()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"Traceback" not in errors
    assert part.stat().st_size == 3_000_000
    assert not (root / "audio").exists()

    del server.faults[address]
    monkeypatch.setattr(Tau2021, "archives", published)
    assert command(*arguments) == 0
    assert server.ranges_of(archive.name) == [None, "bytes=3000000-"]
    assert {str(path.relative_to(root)): path.read_bytes() for path in (root / "audio").iterdir()} == files
    assert not part.exists()

"""The extraction command on real media: what it says before, what it leaves behind, how it ends."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sedcrnn import extract as command
from sedcrnn.features.extraction_estimate import Cost
from sedcrnn.features.store import FeatureStore
from tests.commands import exit_code


@pytest.fixture
def run(
    tau_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Overrides -> exit code, standard output, the paragraph of an error."""

    def start(*overrides: str, root: Path = tau_root) -> tuple[int, str, str]:
        arguments = [
            "data=tau2021",
            f"data.root={root}",
            "data.extraction_workers=0",
            f"store={tmp_path / 'store'}",
        ]
        small = [
            "features.frames.storage=raw",
            "features.frames.height=32",
            "features.frames.width=32",
            "features.spectrogram.bank.bands=4",
        ]
        code = exit_code(monkeypatch, command, *arguments, *small, *overrides)
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return code, shown.out, shown.err.partition("Error: ")[2]

    return start


def test_everything_is_made_after_an_estimate_and_nothing_twice(
    run: Callable[..., tuple[int, str, str]], tau_root: Path, tmp_path: Path
) -> None:
    code, shown, _ = run()
    assert code == 0
    assert "spectrogram: 16 of 16 clips" in shown
    assert "frames: 16 of 16 clips" in shown
    # 50 columns a second of 3 channels and 4 bands at 2 bytes, and a header and a seal: 2,536 bytes for 2 s
    assert "spectrogram  here, 16 clips: about 0 s and 0.0 MB" in shown
    assert "frames       here, 16 clips: about 0 s and 0.5 MB" in shown  # 10 frames of 32 x 32 x 3
    assert "for TAU 2021, 12,291 clips of 10 s: about" in shown
    assert "32 files took" in shown
    assert shown.index("Estimate from 3 clips") < shown.index("files took")
    code, shown, _ = run()
    assert code == 0
    assert "spectrogram: 0 of 16 clips" in shown
    assert "Estimate" not in shown
    *_, made, following, hint = shown.strip().splitlines()
    assert made == f"All features are in {tmp_path / 'store'}: spectrogram and frames."
    words = ("train experiment=audio", f"data.root='{tau_root}'", "features.spectrogram.bank.bands=4", "store=")
    assert all(word in following for word in ("Next: sedcrnn", "data=tau2021", *words))
    assert "not the features that experiment=audio names itself" in hint


def test_only_one_feature(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    assert run("only=spectrogram")[0] == 0
    assert {path.name.partition("-")[0] for path in (tmp_path / "store").iterdir()} == {"known.sqlite", "spectrogram"}
    code, _, error = run("only=chroma")
    assert code == 1
    assert "only is 'chroma'" in error
    assert "'spectrogram' or 'frames'" in error


def test_frames_that_are_not_to_be_stored_are_passed_over(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, shown, _ = run("features.frames.storage=none")
    assert code == 0
    assert "frames: nothing to be made, since features.frames.storage=none" in shown
    assert {path.name.partition("-")[0] for path in (tmp_path / "store").iterdir()} == {"known.sqlite", "spectrogram"}


def test_bad_files_are_listed_at_the_end_and_all_others_made(
    run: Callable[..., tuple[int, str, str]], make_tau_root: Callable[[Path], Path], tmp_path: Path
) -> None:
    root = make_tau_root(tmp_path / "tau")
    (root / "audio" / "bus-lisbon-0-1000.wav").write_text("this is no audio")
    (root / "video" / "park-lisbon-15-1015.mp4").unlink()
    code, shown, error = run(root=root)
    assert code == 1
    listed = shown[shown.index("2 clip(s) could not be read:") :]
    assert f"bus-lisbon-0-1000: '{root / 'audio'}" in listed
    assert "park-lisbon-15-1015: The file" in listed
    assert "the features of all others are in" in error
    entries = list((tmp_path / "store").glob("*/[!.]*.npy"))
    assert len(entries) == 30
    assert all(FeatureStore(tmp_path / "store").verify(entry) for entry in entries)


def test_too_little_room_is_found_before_the_work(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    code, _, error = run()
    assert code == 1
    assert "0.0 GB left" in error
    assert len(list((tmp_path / "store").glob("*/[!.]*.npy"))) == 6  # the clips of the estimate


def test_costs_scale_with_clips_steps_and_processes() -> None:
    cost = Cost("spectrogram", seconds=0.002, size=3840.0, steps=50.0)
    assert cost.describe("TAU", 12_291, 50, 2) == "  spectrogram  TAU: about 10 min and 2.36 GB"
    assert cost.describe("few", 10, 50, 1) == "  spectrogram  few: about 1 s and 1.9 MB"

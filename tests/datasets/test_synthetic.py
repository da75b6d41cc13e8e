"""The rendered set: TAU's layout, real media, the same every time, resumable, and never mixed with another set."""

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from sedcrnn.config.checking import checked
from sedcrnn.config.composition import compose
from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.datasets.synthetic import Synthetic
from sedcrnn.datasets.synthetic import corpus as corpus_module
from sedcrnn.errors import ConfigError, DataError

SMALL = {
    "seed": 3,
    "cities": 2,
    "locations": 2,
    "test_locations": 1,
    "segments": 1,
    "clip_seconds": 1.0,
    "height": 48,
    "width": 64,
    "frame_rate": 10,
    "workers": 0,
}


def build(root: Path, **changes) -> Synthetic:
    return Synthetic(str(root), **{**SMALL, **changes})


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "set"
    build(folder).prepare()
    return folder


def rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines()]


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def media(folder: Path) -> list[Path]:
    return sorted(path for kind in ("audio", "video") for path in (folder / kind).iterdir())


def test_lists_are_those_of_tau_2021(root):
    meta, train, evaluate, test = (
        rows(root / name)
        for name in (
            "meta.csv",
            *(f"evaluation_setup/fold1_{fold}.csv" for fold in ("train", "evaluate", "test")),
        )
    )
    assert meta[0] == ["filename_audio", "filename_video", "scene_label", "identifier"]
    assert train[0] == evaluate[0] == ["filename_audio", "filename_video", "scene_label"]
    assert test[0] == ["filename_audio", "filename_video"]
    # Scene by scene; the first location of the second scene is the fourth of all, and one city further.
    assert meta[1] == ["audio/airport-barcelona-0-0.wav", "video/airport-barcelona-0-0.mp4", "airport", "barcelona-0"]
    assert meta[4] == ["audio/bus-helsinki-3-3.wav", "video/bus-helsinki-3-3.mp4", "bus", "helsinki-3"]
    assert (len(meta), len(train), len(evaluate)) == (1 + 30, 1 + 20, 1 + 10)
    assert [row[:2] for row in evaluate[1:]] == test[1:]
    assert sorted(row[:3] for row in meta[1:]) == sorted(train[1:] + evaluate[1:])
    assert [str(path.relative_to(root)) for path in media(root)] == sorted(name for row in meta[1:] for name in row[:2])


def test_folds_share_no_location_and_hold_every_scene(tmp_path):
    source = build(tmp_path, cities=3, locations=4, test_locations=2, segments=2)
    plans = source._plans()
    places = defaultdict(set)
    for plan in plans:
        places[plan.fold, plan.scene].add(plan.location)
    assert {key: len(value) for key, value in places.items()} == {
        (fold, scene): number for fold, number in (("train", 4), ("test", 2)) for scene in TAU_SCENES
    }
    # One location is one scene in one city, with all its segments in one fold.
    assert len({plan.location for plan in plans}) == len({(p.location, p.scene, p.city, p.fold) for p in plans}) == 60
    assert len({plan.segment for plan in plans}) == len(plans) == 120
    assert all(len({p.city for p in plans if p.scene == scene}) == 3 for scene in TAU_SCENES)


def test_manifest_reads_what_was_written(root):
    manifest = build(root).manifest()
    assert manifest.scenes == TAU_SCENES
    assert [len(manifest.fold(fold)) for fold in ("train", "test")] == [20, 10]
    assert {(clip.scene, clip.city, clip.location) for clip in manifest.clips} >= {("bus", "helsinki", "helsinki-3")}
    assert all(clip.audio.exists() and clip.video.exists() for clip in manifest.clips)


def test_audio_files_are_48_khz_24_bit_stereo_and_vary_by_a_sample(root):
    lengths = set()
    for path in (root / "audio").iterdir():
        info = soundfile.info(path)
        assert (info.samplerate, info.subtype, info.channels, info.format) == (48_000, "PCM_24", 2, "WAV")
        lengths.add(info.frames)
        wave, _ = soundfile.read(path)
        assert 0.09 < np.abs(wave).max() < 0.72  # the peak lies between -20 and -3 dB
    assert lengths == {47_999, 48_000, 48_001}


def test_videos_are_silent_h264_that_moves(root):
    for path in (root / "video").iterdir():
        with av.open(str(path)) as container:
            assert [stream.type for stream in container.streams] == ["video"]
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert (stream.height, stream.width, stream.average_rate) == (48, 64, 10)
        frames = decode(path).astype(int)
        assert len(frames) == 10
        assert np.abs(frames[5] - frames[0]).max() > 20


@pytest.mark.slow
def test_the_same_parameters_render_the_same_media_in_any_number_of_processes(root, tmp_path):
    build(tmp_path / "set", workers=2).prepare()
    for ours, other in zip(media(root), media(tmp_path / "set"), strict=True):
        assert ours.name == other.name
        if ours.suffix == ".wav":
            assert ours.read_bytes() == other.read_bytes()
        else:
            np.testing.assert_array_equal(decode(ours), decode(other))


def test_another_seed_renders_other_media(root, tmp_path):
    corpus_module.render(build(tmp_path, seed=4), build(root)._plans()[0])
    assert all(path.read_bytes() != (root / path.relative_to(tmp_path)).read_bytes() for path in media(tmp_path))


def test_an_interrupted_rendering_is_resumed(tmp_path, monkeypatch):
    source, rendered = build(tmp_path, locations=1), []
    real = corpus_module.render

    def killed(source, plan):
        if len(rendered) == 5:
            raise KeyboardInterrupt
        rendered.append(plan.id)
        real(source, plan)

    monkeypatch.setattr(corpus_module, "render", killed)
    with pytest.raises(KeyboardInterrupt):
        source.prepare()
    assert not (tmp_path / "corpus.json").exists()
    assert not (tmp_path / "meta.csv").exists()
    with pytest.raises(DataError, match="seed=3"):  # nor can another set be mixed in
        build(tmp_path, locations=1, seed=9).prepare()
    before = {path: path.stat().st_mtime_ns for path in media(tmp_path)}
    assert len(before) == 10

    monkeypatch.setattr(corpus_module, "render", real)
    source.prepare()
    assert json.loads((tmp_path / "corpus.json").read_text()) == {
        "renderer": corpus_module.RENDERER,
        **{key: value for key, value in SMALL.items() if key != "workers"},
        "locations": 1,
    }
    assert len(media(tmp_path)) == 40
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "audio",
        "corpus.json",
        "evaluation_setup",
        "meta.csv",
        "video",
    ]


def test_a_lost_file_or_list_is_made_again_and_a_complete_set_left_alone(root, monkeypatch):
    lost, table = root / "video/bus-helsinki-3-3.mp4", root / "meta.csv"
    frames, text = decode(lost), table.read_text()
    lost.unlink()
    table.unlink()
    build(root).prepare()
    np.testing.assert_array_equal(decode(lost), frames)
    assert table.read_text() == text

    def refuse(*arguments):
        raise AssertionError("a complete set must not be rendered")

    monkeypatch.setattr(corpus_module, "render", refuse)
    build(root).prepare()


def test_jobs_at_the_same_time_render_one_set_together(root, tmp_path):
    code = (
        f"from sedcrnn.datasets.synthetic import Synthetic; Synthetic({str(tmp_path / 'set')!r}, **{SMALL}).prepare()"
    )
    jobs = [
        subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "SEDCRNN_JOB_SHARE": f"{job}/3"})
        for job in range(3)
    ]
    assert [job.wait(timeout=300) for job in jobs] == [0, 0, 0]

    def content(folder):
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert content(tmp_path / "set") == content(root)


def test_a_folder_of_another_set_is_refused(root, tmp_path):
    with pytest.raises(DataError, match=r"segments=1\. This run asks for segments=2\. Choose another data.root"):
        build(root, segments=2).prepare()
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"no corpus\.json"):
        build(tmp_path).prepare()
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize(
    "wrong",
    ["cities=11", "segments=0", "clip_seconds=0.5", "workers=-1", "frame_rate=0", "height=47", "width=30"],
)
def test_parameters_that_cannot_be_rendered_are_refused_by_the_config(wrong):
    key, _, value = wrong.partition("=")
    with pytest.raises(ConfigError, match=rf"data\.source\.{key} is {value}.*(than or equal|multiple of 2)"):
        checked(compose("train", ["experiment=audio", "data=synthetic_tiny", f"data.source.{wrong}"]))


@pytest.mark.parametrize("content", [b"", b"{half", b"\xff\xfe", b"[1]"])
def test_a_broken_mark_and_broken_lists_are_made_again(root, tmp_path, content, caplog):
    folder = tmp_path / "set"
    shutil.copytree(root, folder)
    whole = {name: (folder / name).read_bytes() for name in ("corpus.json", "meta.csv")}
    for name in whole:
        (folder / name).write_bytes(content)
    before = {path: path.stat().st_mtime_ns for path in media(folder)}
    build(folder).prepare()
    assert {name: (folder / name).read_bytes() for name in whole} == whole
    assert {path: path.stat().st_mtime_ns for path in media(folder)} == before
    assert "corpus.json cannot be read" in caplog.text
    (folder / "corpus.json").write_bytes(content)
    with pytest.raises(DataError, match=r"corpus.json cannot be read, and the clips beside it are not those"):
        build(folder, seed=4).prepare()

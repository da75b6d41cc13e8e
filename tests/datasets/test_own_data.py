"""Your own recordings through the whole suite: any number of scenes, clips of any length, folders that move."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import pytest
import soundfile
import torch

from sedcrnn import train as train_command
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.datamodule import SceneDataModule
from sedcrnn.errors import CheckpointError
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.reporting.run_grids import heads_grid
from sedcrnn.training.stage import make_datamodule, train
from tests.commands import exit_code
from tests.conftest import write_sound, write_video

Stage = Callable[..., TrainConfig]
SCENES = ["beach", "bus", "park"]
WINDOWS = (1, 2, 7, 2, 2)  # of the clips 0 to 4 of each scene; the last has 4 s of sound, but 2 s of picture
SECONDS_OF_SOUND = (1, 2, 7, 2, 4)


def prepared(config: TrainConfig) -> SceneDataModule:
    datamodule = make_datamodule(config)
    datamodule.prepare_data()
    datamodule.setup()
    return datamodule


def manifest_of(root: Path, path: Path) -> Path:
    lines = ["video,audio,label"]
    lines += [f"{scene}/{n}.mp4,{scene}/{n}.wav,{scene}" for scene in SCENES for n in range(5)]
    path.write_text("\n".join(lines))
    return path


def test_every_whole_second_that_audio_and_video_share_is_a_window(own_stage: Stage, own_root: Path) -> None:
    data = prepared(own_stage("fusion", "data=folder", f"data.root={own_root}"))
    assert data.manifest.scenes == tuple(SCENES)
    seen: Counter[str] = Counter()
    for fold in ("train", "validation", "test"):
        clips = data.dataset(fold).clips
        assert {clip.scene for clip in clips} == set(SCENES)
        for loaded in data.evaluation_loader(fold):
            batch = data.on_after_batch_transfer(loaded, 0)
            assert batch["spectrogram"].shape[1:] == (3, 64, 50)
            assert batch["frames"].shape[1:] == (5, 3, 32, 32)
            seen.update(clips[clip].id for clip in batch["clip"].tolist())
    assert seen == {f"{scene}/{n}": WINDOWS[n] for scene in SCENES for n in range(5)}
    # training draws one window of each clip and epoch, within what sound and picture share
    steps = data.dataset("train").steps
    sampler = data.train_dataloader().batch_sampler
    ends = set()
    for epoch in range(100):
        sampler.set_epoch(epoch)
        windows = [window for batch in sampler for window in batch]
        assert sorted(window.clip for window in windows) == list(range(len(steps)))
        ends.update((window.clip, window.step + 5) for window in windows)
    assert [max(end for clip, end in ends if clip == place) for place in range(len(steps))] == steps


def put_together(sound: Path, picture: Path, path: Path) -> None:
    """A video file with the sound in it, sample for sample, and the picture as it is encoded."""
    waveform, rate = soundfile.read(sound, dtype="int32", always_2d=True)
    with av.open(str(picture)) as source, av.open(str(path), "w") as target:
        film = target.add_stream_from_template(source.streams.video[0])
        track = target.add_stream("pcm_s32le", rate=rate, layout="stereo")
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = film
                target.mux(packet)
        frame = av.AudioFrame.from_ndarray(waveform.reshape(1, -1), format="s32", layout="stereo")
        frame.rate, frame.pts = rate, 0
        target.mux(track.encode(frame))
        target.mux(track.encode(None))


def test_audio_inside_the_video_is_the_audio_beside_it(own_stage: Stage, own_root: Path, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    for path in sorted(own_root.rglob("*.mp4")):
        (inside / path.parent.name).mkdir(parents=True, exist_ok=True)
        put_together(path.with_suffix(".wav"), path, inside / path.parent.name / f"{path.stem}.mkv")
    beside, within = (prepared(own_stage("fusion", "data=folder", f"data.root={root}")) for root in (own_root, inside))
    for one, two in zip(beside.evaluation_loader("train"), within.evaluation_loader("train"), strict=True):
        assert one.keys() == two.keys()
        for name in one:
            assert torch.equal(one[name], two[name]), name
    run = train(own_stage("audio", "data=folder", f"data.root={inside}", "trainer.max_epochs=1"))
    assert json.loads(evaluate(str(run), "test", store=str(within.store.root)).read_text())["clips"] > 0


def test_the_same_recordings_as_folder_and_as_manifest_move_and_stay_the_same(
    own_stage: Stage, own_root: Path, tmp_path: Path
) -> None:
    folder = ["data=folder", f"data.root={own_root}"]
    manifest = ["data=manifest", f"data.root={own_root}"]
    manifest += [f"data.source.manifest={manifest_of(own_root, tmp_path / 'clips.csv')}"]
    by_folder, by_manifest = (prepared(own_stage("audio", *data)) for data in (folder, manifest))
    assert by_folder.manifest.scenes == by_manifest.manifest.scenes
    assert [clip.audio for clip in by_folder.manifest.clips] == [clip.audio for clip in by_manifest.manifest.clips]
    moved = shutil.copytree(own_root, tmp_path / "moved")
    manifest_of(moved, moved / "renamed.csv")
    there = [
        ["data=folder", f"data.root={moved}"],
        ["data=manifest", f"data.root={moved}", "data.source.manifest=renamed.csv"],
    ]
    for here, data in zip((folder, manifest), there, strict=True):
        run = train(own_stage("audio", *here, "trainer.max_epochs=1"))
        assert train(own_stage("audio", *data, "trainer.max_epochs=1")) == run


def test_three_scenes_from_training_to_the_table(
    own_stage: Stage, own_root: Path, shared_store: Path, tmp_path: Path
) -> None:
    data = ["data=folder", f"data.root={own_root}", "trainer.max_epochs=2"]
    starts = [f"init_from.{kind}={train(own_stage(kind, *data))}" for kind in ("audio", "visual")]
    run = train(own_stage("fusion", *data, *starts))
    metrics = evaluate(str(run), extraction_workers=0, store=str(shared_store))
    report = json.loads(metrics.read_text())
    tested = prepared(own_stage("audio", *data)).folds.test
    for head in ("audio", "visual", "early", "late"):
        window = report["heads"][head]["window"]
        assert list(window["class_wise"]) == SCENES
        assert len(window["confusion"]) == 3
        # windows that both have, also of the heads that take one of them: all heads are scored on the same windows
        assert window["examples"] == sum(WINDOWS[int(clip.id[-1])] for clip in tested)
        assert report["heads"][head]["clip"]["examples"] == len(tested)
    with metrics.with_name("predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["clip", "location", "window", "label", "head", *SCENES]
    assert {row["clip"] for row in rows} == {clip.id for clip in tested}
    table = heads_grid([[metrics]]).text()
    assert table.startswith("folder, test fold")
    assert "ublished" not in table
    # the data set lies elsewhere now
    moved = shutil.copytree(own_root, tmp_path / "moved")
    again = evaluate(
        str(run / "checkpoints" / "best.ckpt"), root=str(moved), extraction_workers=0, store=str(shared_store)
    )
    assert json.loads(again.read_text())["of"] == report["of"]


@pytest.mark.slow
def test_a_set_that_has_grown_is_not_scored_by_what_has_seen_its_new_test_fold(
    own_stage: Stage, own_root: Path, shared_store: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(own_root, tmp_path / "growing")
    data = ["data=folder", f"data.root={root}", "trainer.max_epochs=1"]
    audio, visual = train(own_stage("audio", *data)), train(own_stage("visual", *data))
    evaluate(str(audio), extraction_workers=0, store=str(shared_store))
    for number, scene in enumerate(SCENES):
        write_sound(root / scene / "00.wav", scene == "bus", 100 + number)
        write_video(root / scene / "00.mp4", (40, 40, 40), 100 + number)
    # another clip of a scene, another draw
    with pytest.raises(CheckpointError, match=r"has learnt from \d of the locations that are to make the test fold: "):
        evaluate(str(audio), extraction_workers=0, store=str(shared_store))
    with pytest.raises(CheckpointError, match=r"the locations that are to select this stage's checkpoint: "):
        train(own_stage("fusion", *data, f"init_from.audio={audio}", f"init_from.visual={visual}"))
    evaluate(str(train(own_stage("audio", *data))), extraction_workers=0, store=str(shared_store))


def test_audio_alone_is_enough_for_the_audio_subnetwork(
    own_stage: Stage, own_root: Path, shared_store: Path, tmp_path: Path
) -> None:
    for scene in SCENES:
        for sound in (own_root / scene).glob("*.wav"):
            (tmp_path / "sound" / scene).mkdir(parents=True, exist_ok=True)
            shutil.copy(sound, tmp_path / "sound" / scene)
    run = train(own_stage("audio", "data=folder", f"data.root={tmp_path / 'sound'}", "trainer.max_epochs=1"))
    report = json.loads(evaluate(str(run), extraction_workers=0, store=str(shared_store)).read_text())
    with (run / "evaluation" / "test" / "predictions.csv").open(newline="") as file:
        tested = {row["clip"] for row in csv.DictReader(file)}
    assert len(tested) == 6
    assert report["heads"]["audio"]["window"]["examples"] == sum(SECONDS_OF_SOUND[int(name[-1])] for name in tested)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["data=folder"], ["The folder of the data set is not given"]),
        (["data=folder", "data.root=nowhere"], ["does not exist: nowhere", "Set data.root=<folder>"]),
        (["data=folder", "data.source.rot=x"], ["'data.source.rot'", "'data.source.root'"]),
        (["data=folder", "data.root={own}", "data.source.scenes=[bus,Park,beach]"], ["names Park"]),
        (["data=manifest", "data.root={own}"], ["manifest.csv does not exist", "data.source.manifest=<file>"]),
        (["data=manifest", "data.root={own}", "data.source.lable_column=x"], ["data.source.label_column"]),
    ],
)
def test_misuse_ends_the_command_with_one_paragraph(
    arguments: list[str],
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    smaller: list[str],
    own_root: Path,
) -> None:
    given = [argument.format(own=own_root) for argument in arguments]
    assert exit_code(monkeypatch, train_command, "experiment=audio", *smaller, *given) == 1
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    paragraph = shown[shown.index("Error: ") :]
    assert "\n" not in paragraph.strip()
    assert all(words in paragraph for words in expected), paragraph

"""Clips without audio or without video: trained on, evaluated and predicted with what they have."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sedcrnn
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.windows import Window
from sedcrnn.errors import ClipError, ConfigError, DataError
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.evaluation.robustness_scores import robustness
from sedcrnn.networks import SceneNetwork
from sedcrnn.reporting.examples import _pictures
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.training.checks import check_takes_incomplete
from sedcrnn.training.frozen_cache import FrozenEncoder
from sedcrnn.training.showcase import _example
from sedcrnn.training.stage import make_datamodule, train, with_used_features
from tests.conftest import write_sound, write_video

Stage = Callable[..., TrainConfig]
SCENES = {"bus": (180, 40, 40), "park": (40, 160, 40)}
CLIPS = 8  # of each scene; the first has no video, the second no audio, and so have the last two


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with a given test fold: in each fold and scene, a clip without video and one without audio."""
    root = tmp_path_factory.mktemp("incomplete")
    for place, (scene, colour) in enumerate(SCENES.items()):
        for number in range(CLIPS):
            folder = root / ("test" if number >= CLIPS - 3 else "train") / scene / f"g{number}"
            folder.mkdir(parents=True)
            if number not in (1, CLIPS - 1):
                write_sound(folder / "clip.wav", scene == "bus", 10 * place + number, 2 + number % 2)
            if number not in (0, CLIPS - 2):
                write_video(folder / "clip.mp4", colour, 10 * place + number, 2 + number % 2)
    return root


@pytest.fixture
def incomplete(own_stage: Stage, root: Path) -> Stage:
    return lambda kind, *more: own_stage(kind, "data=folder", f"data.root={root}", "data.incomplete=use", *more)


def set_up(config: TrainConfig) -> Any:
    data = make_datamodule(with_used_features(config))
    data.prepare_data()
    data.setup()
    return data


def trained(incomplete: Stage, *overrides: str) -> Path:
    parts = [f"init_from.{kind}={train(incomplete(kind, 'trainer.max_epochs=1'))}" for kind in ("audio", "visual")]
    run = train(incomplete("fusion", *parts, "trainer.max_epochs=2", *overrides))
    assert run is not None
    return run


def test_they_are_refused_unless_the_config_says_so(own_stage: Stage, root: Path) -> None:
    with pytest.raises(ClipError, match=r"has no (audio|video).*data\.unreadable=skip.*data\.incomplete=use"):
        set_up(own_stage("fusion", "data=folder", f"data.root={root}"))
    data = set_up(own_stage("fusion", "data=folder", f"data.root={root}", "data.unreadable=skip"))
    assert len(data.manifest.clips) == 2 * (CLIPS - 4)


def test_folds_are_the_same_for_networks_of_audio_of_video_and_of_both(incomplete: Stage) -> None:
    folds = {kind: set_up(incomplete(kind)) for kind in ("audio", "visual", "fusion")}
    both = folds["fusion"]
    assert (len(both.manifest.clips), both.skipped) == (2 * CLIPS, ())
    for kind, lacking in (("audio", (1, CLIPS - 1)), ("visual", (0, CLIPS - 2))):
        data = folds[kind]
        assert len(data.skipped) == 4
        assert "the network takes nothing else" in data.skipped[0].message
        for fold in ("train", "validation", "test"):
            expected = [c for c in getattr(both.folds, fold) if c.location[-1] not in map(str, lacking)]
            assert list(getattr(data.folds, fold)) == expected


def test_batches_say_what_there_is_and_hold_what_is_there(incomplete: Stage) -> None:
    data = set_up(incomplete("fusion"))
    dataset = data.dataset("test")
    names = {clip.id: number for number, clip in enumerate(dataset.clips)}
    order = [names[f"test/bus/g{number}/clip"] for number in range(CLIPS - 3, CLIPS)]
    batch = dataset.network_inputs(dataset.batch([Window(clip, 2) for clip in order]))
    assert batch["present"].tolist() == [[True, True], [True, False], [False, True]]
    for kind, row in (("audio", 1), ("visual", 2)):
        alone = set_up(incomplete(kind)).dataset("test")
        number = [clip.id for clip in alone.clips].index(dataset.clips[order[row]].id)
        (name,) = alone.features
        assert torch.equal(alone.network_inputs(alone.batch([Window(number, 2)]))[name][0], batch[name][row])


def test_frames_need_not_be_stored(incomplete: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = f"store={tmp_path / 'store'}"
    plain, unstored = set_up(incomplete("fusion")), incomplete("fusion", "features.frames.storage=none", store)
    assert {name: len(ids) for name, ids in plain.incomplete.lacking.items()} == {"spectrogram": 4, "frames": 4}
    assert set_up(unstored).incomplete == plain.incomplete
    monkeypatch.setattr("sedcrnn.features.frames.Frames.stream", None)  # what is known is not looked for again
    assert set_up(unstored).incomplete == plain.incomplete


@pytest.mark.parametrize("missing", ["subnetwork", "zero", "learned"])
def test_kept_values_give_what_the_network_makes_of_the_windows(incomplete: Stage, missing: str) -> None:
    run = trained(incomplete, f"model.network.missing={missing}", f"runs={incomplete('fusion').runs}/{missing}")
    checkpoint = load_checkpoint(str(run))
    network, data = checkpoint.build().eval(), set_up(incomplete("fusion"))
    encoder = FrozenEncoder(network, checkpoint.network, data.features, incomplete=data.incomplete)
    kept, plain = data.encoded_by(encoder).dataset("train"), data.dataset("train")
    windows = [Window(clip, step) for clip, steps in enumerate(plain.steps) for step in range(steps - 4)]
    assert kept.steps == plain.steps
    with torch.no_grad():
        heads = network.heads_of(plain.network_inputs(plain.batch(windows)))
        for head, logits in network.heads_of(kept.batch(windows)).items():
            torch.testing.assert_close(logits, heads[head], atol=1e-4, rtol=1e-4)


def test_what_is_learnt_for_a_missing_modality_is_used_by_evaluation_prediction_and_robustness(
    incomplete: Stage, root: Path, shared_store: Path
) -> None:
    run = trained(incomplete, "model.network.missing=learned", "recipe.modality_dropout=0.5")
    network = load_checkpoint(str(run)).build()
    learnt = dict(network.absent["audio"].named_parameters())
    assert learnt.keys() == {"steps", "logits"}
    assert all(values.abs().sum() > 0 for values in learnt.values())
    metrics = evaluate(str(run), extraction_workers=0, store=str(shared_store))
    assert json.loads(metrics.read_text())["clips"] == 6
    found: dict[tuple[str, str], list[list[float]]] = {}
    with (metrics.parent / "predictions.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault((row["clip"], row["head"]), []).append([float(row[scene]) for scene in SCENES])
    predictor = sedcrnn.load(run, calibrated=False)
    for number, file, lacks in ((CLIPS - 2, "clip.wav", "visual"), (CLIPS - 1, "clip.mp4", "audio")):
        clip = f"test/bus/g{number}"
        answer = predictor.predict(root / clip / file)
        assert answer.head == "late"
        assert list(answer.probabilities) == [head for head in ("audio", "visual", "early", "late") if head != lacks]
        for head, values in answer.probabilities.items():
            np.testing.assert_allclose(values, found[f"{clip}/clip", head], atol=1e-5)
        assert found[f"{clip}/clip", lacks][0] == pytest.approx([0.5, 0.5])  # equal probabilities
    report = json.loads(robustness(str(run), extraction_workers=0, store=str(shared_store)).read_text())
    missing, complete = (report["conditions"][name]["late"] for name in ("audio missing", "complete"))
    assert missing != complete
    assert missing != report["conditions"]["complete"]["visual"]


def test_a_training_on_complete_clips_does_not_depend_on_the_choice(
    stage: Stage, fusion_parts: dict[str, Path]
) -> None:
    starts = [f"init_from.{kind}={run}" for kind, run in fusion_parts.items()]
    runs = [
        train(stage("fusion", *starts, "trainer.max_epochs=1", *more))
        for more in ([], ["data.incomplete=use"], ["data.incomplete=use", "model.network.missing=zero"])
    ]
    tables = [(run / "metrics.csv").read_text() for run in runs if run is not None]
    assert len(tables) == 3
    assert tables[0] == tables[1] == tables[2]


def test_a_killed_training_on_incomplete_clips_goes_on_as_if_it_had_not_been(
    incomplete: Stage, killed_at: Callable[..., None], tmp_path: Path
) -> None:
    parts = [f"init_from.{kind}={train(incomplete(kind, 'trainer.max_epochs=1'))}" for kind in ("audio", "visual")]
    overrides = [*parts, "model.network.missing=learned", "recipe.modality_dropout=0.5"]
    whole = train(incomplete("fusion", *overrides, f"runs={tmp_path}/whole"))
    killed_at(incomplete("fusion", *overrides, f"runs={tmp_path}/killed"), epoch=1, batch=0)
    resumed = train(incomplete("fusion", *overrides, f"runs={tmp_path}/killed"))
    assert whole is not None
    assert resumed is not None
    assert (whole / "metrics.csv").read_text() == (resumed / "metrics.csv").read_text()


def test_a_data_set_without_any_audio_is_for_the_visual_network(own_stage: Stage, tmp_path: Path) -> None:
    for place, (scene, colour) in enumerate(SCENES.items()):
        for number in range(4):
            folder = tmp_path / "silent" / scene / f"g{number}"
            folder.mkdir(parents=True)
            write_video(folder / "clip.mp4", colour, 10 * place + number)
    overrides = ["data=folder", f"data.root={tmp_path}/silent", "data.incomplete=use"]
    with pytest.raises(DataError, match=r"No clip of the data set has audio.*model=visual"):
        set_up(own_stage("fusion", *overrides))
    assert len(set_up(own_stage("visual", *overrides)).manifest.clips) == 8


class Both(SceneNetwork):
    kind, inputs, head_names = "own", ("spectrogram", "frames"), ("own",)


def test_a_network_that_needs_both_is_refused(incomplete: Stage) -> None:
    with pytest.raises(ConfigError, match=r"a Both takes spectrogram and frames of every window.*takes_incomplete"):
        check_takes_incomplete(incomplete("fusion").data, Both)


def test_pictures_of_examples_show_what_there_is(incomplete: Stage) -> None:
    data = set_up(incomplete("fusion"))
    clips = {clip.id: clip for clip in data.folds.test}
    for number, shown in ((CLIPS - 3, ["spectrogram", "frame"]), (CLIPS - 2, ["spectrogram"]), (CLIPS - 1, ["frame"])):
        clip = clips[f"test/bus/g{number}/clip"]
        assert [picture.what for picture in _pictures(clip, 1, data.features)] == shown
        example = _example(data, clip, 1, "bus")
        assert (example.audio is not None) == ("spectrogram" in shown)

"""Clips with any number of labels from the first stage to the answers for a file, on media of their own."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sedcrnn
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.clips import NO_SCENE
from sedcrnn.errors import CheckpointError, ConfigError
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.evaluation.pooling import pool
from sedcrnn.evaluation.predictions import read_predictions
from sedcrnn.evaluation.robustness_scores import robustness
from sedcrnn.evaluation.scores import score
from sedcrnn.evaluation.thresholds import choose_thresholds
from sedcrnn.inference.file_prediction import summary, table, write_predictions_csv, write_predictions_json
from sedcrnn.inference.onnx_export import export
from sedcrnn.inference.web_answers import answer_in_words, describe_answer
from sedcrnn.reporting.conclusion import conclusion
from sedcrnn.reporting.report_files import write_report
from sedcrnn.reporting.run_grids import heads_grid
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.submission.challenge import submit
from sedcrnn.training.stage import train
from tests.conftest import SMALL_NETWORKS, compose_stage, small_overrides, write_sound, write_video

Stage = Callable[..., TrainConfig]

SCENES = ("red", "rumble")  # what is seen and what is heard, independent of each other
GROUPS = 6
TABLES = """tables:
  - title: Labels
    reference: fusion
    chance: true
    rows:
      - {experiment: audio, label: Audio}
      - {experiment: visual, label: Visual}
      - {experiment: fusion, label: Fusion}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with both labels, either or none; a table of them."""
    root = tmp_path_factory.mktemp("labels")
    rows = ["video,audio,label,group,fold"]
    for group in range(GROUPS):
        for number, (red, rumbles) in enumerate([(False, False), (True, False), (False, True), (True, True)]):
            name, seed = f"g{group}-{number}", 10 * group + number
            write_sound(root / f"{name}.wav", rumbles, seed)
            write_video(root / f"{name}.mp4", (180, 40, 40) if red else (40, 160, 40), seed)
            labels = "; ".join(name for name, there in zip(SCENES, (red, rumbles), strict=True) if there)
            rows.append(f"{name}.mp4,{name}.wav,{labels},g{group},{'test' if group >= GROUPS - 2 else 'train'}")
    (root / "manifest.csv").write_text("\n".join([*rows, ""]))
    return root


@pytest.fixture(scope="module")
def labelled(root: Path, shared_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    words = small_overrides(shared_store, tmp_path_factory.mktemp("labelled") / "runs")
    words += ["data=manifest", f"data.root={root}", "data.source.label_separator=';'"]
    words += ["recipe.steps=40", "trainer.max_epochs=null"]
    return partial(compose_stage, words)


def trained(labelled: Stage, kind: str, *overrides: str) -> Path:
    run = train(labelled(kind, *overrides))
    assert run is not None
    return run


@pytest.fixture(scope="module")
def runs(labelled: Stage) -> dict[str, Path]:
    found = {kind: trained(labelled, kind) for kind in ("audio", "visual")}
    parts = [f"init_from.{kind}={run}" for kind, run in found.items()]
    return {**found, "fusion": trained(labelled, "fusion", *parts, "model.network.missing=zero")}


def scored(run: Path, fold: str, store: Path) -> tuple[Path, dict[str, Any]]:
    metrics = evaluate(str(run), fold=fold, extraction_workers=0, store=str(store))
    return metrics, json.loads(metrics.read_text())


def test_each_network_learns_what_its_track_tells(
    runs: dict[str, Path], shared_store: Path, root: Path, tmp_path: Path
) -> None:
    reports = {kind: scored(run, "test", shared_store) for kind, run in runs.items()}
    own = {kind: list(report["heads"].values())[-1]["window"] for kind, (_, report) in reports.items()}
    assert own["audio"]["class_wise"]["rumble"]["average_precision"] == 1
    assert own["visual"]["class_wise"]["red"]["average_precision"] == 1
    assert own["fusion"]["mean_average_precision"] == 1
    for kind, other in (("audio", "red"), ("visual", "rumble")):  # of which it knows nothing
        assert own[kind]["class_wise"][other]["average_precision"] < 0.9

    # What is stored is what was predicted, and scores follow from it.
    metrics, report = reports["fusion"]
    stored = read_predictions(metrics.with_name("predictions.csv"))
    assert stored.predictions.scene.shape == (16, 2)
    clips = dict(zip(stored.clips, range(8), strict=True))
    with (root / "manifest.csv").open() as file:
        labels = {row["video"]: row["label"] for row in csv.DictReader(file)}
    for name, number in clips.items():
        rows = stored.predictions.scene[stored.predictions.clip == number].tolist()
        assert rows == [[scene in labels[name] for scene in SCENES]] * 2
    _, validation = scored(runs["fusion"], "validation", shared_store)
    on_validation = read_predictions(metrics.parents[1] / "validation" / "predictions.csv").predictions
    checkpoint = load_checkpoint(str(runs["fusion"]))
    assert list(on_validation.log_probabilities) == ["audio", "visual", "early", "late"]
    for head, values in on_validation.log_probabilities.items():
        assert checkpoint.thresholds[head] == pytest.approx(choose_thresholds(values, on_validation.scene), abs=1e-6)
        found = report["heads"][head]
        assert found["thresholds"] == validation["heads"][head]["thresholds"] == checkpoint.thresholds[head]
        own_score = score(stored.predictions.log_probabilities[head], stored.predictions.scene,
                          torch.tensor(found["thresholds"])).report(SCENES)  # fmt: skip
        for name in ("mean_average_precision", "log_loss", "macro_f1", "micro_f1"):
            assert found["window"][name] == pytest.approx(own_score[name], rel=1e-6)
        assert found["window"]["confusion"] == own_score["confusion"]

    # The report and the sentences of `sedcrnn evaluate`.
    told = conclusion(metrics)
    assert "mean average precision of 1.000 on 8 clips, over 2 scenes; guessing gives 0.500" in told
    assert "all groups are answered alike" in told
    assert "2 groups of recordings, 2 of them of red, which has fewest" in told
    assert "with fewer than 5 groups of each scene, the interval is too narrow" in told
    text = heads_grid([[metrics]]).text()
    assert "1.000 / 1.000" in text
    for kind in ("audio", "visual"):
        scored(runs[kind], "validation", shared_store)
    conditions = json.loads(robustness(str(runs["fusion"]), extraction_workers=0, store=str(shared_store)).read_text())
    late = conditions["conditions"]["audio missing"]["late"]
    assert late.keys() == {"mean_average_precision", "macro_log_loss"}
    (tmp_path / "tables.yaml").write_text(TABLES)
    (page,) = write_report(runs["fusion"].parent, tmp_path / "tables.yaml", None, [], False, tmp_path / "page.html")
    html = page.read_text()
    assert "Fusion" in html
    for expected in ("Average precision by scene", "F1 at the thresholds", "mean average precision"):
        assert expected in html
    for absent in ("Confusion matri", "accuracy %", ">nan", "nan-"):
        assert absent not in html


def test_a_file_is_answered_with_all_scenes_that_reach_their_thresholds(
    runs: dict[str, Path], root: Path, tmp_path: Path
) -> None:
    predictor = sedcrnn.load(runs["fusion"], "cpu")
    bounds = load_checkpoint(str(runs["fusion"])).thresholds["late"]
    predictions = []
    for number, expected in enumerate([[], ["red"], ["rumble"], ["red", "rumble"]]):
        found = predictor.predict(root / f"g5-{number}.mp4", root / f"g5-{number}.wav", reasons=True)
        assert sorted(scene for scene, _ in found.answers()) == expected
        assert sorted(scene for scene, _ in found.answers(second=1)) == expected
        assert summary(found).startswith(NO_SCENE if not expected else found.answers()[0][0])
        lines = list(table(found, "clip", 3))
        assert lines[-1].split()[1::2][: len(expected)] == [scene for scene, _ in found.answers()]
        shares = found.shares("red")
        total = found.probabilities["late"][:, 0] - 0.5  # as likely as not, without any track
        np.testing.assert_allclose(sum(shares.values()), total, atol=1e-12)
        headline, _ = answer_in_words(found)
        assert headline == (" + ".join(scene for scene, _ in found.answers()) or NO_SCENE)
        assert describe_answer(predictor, found)["heads"][0]["scene"] == headline
        predictions.append(found)
    # Calibrated probabilities have the same answers as the network's own.
    raw = sedcrnn.load(runs["fusion"], "cpu", calibrated=False).predict(root / "g5-3.mp4", root / "g5-3.wav")
    assert raw.thresholds["late"] == bounds
    own, after = raw.probabilities["late"], predictions[3].probabilities["late"]
    assert ((own >= bounds) == (after >= predictions[3].thresholds["late"])).all()
    temperature = predictor.model.temperatures["late"]
    np.testing.assert_allclose(np.log(after / (1 - after)), np.log(own / (1 - own)) / temperature, rtol=1e-5)

    write_predictions_csv(tmp_path / "out.csv", predictions, predictor.scenes)
    with (tmp_path / "out.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["head"] == "late" and row["second"] == "0"]
    assert [sorted(json.loads(row["answers"])) for row in rows] == [[], ["red"], ["rumble"], ["red", "rumble"]]
    write_predictions_json(tmp_path / "out.json", predictions, predictor.scenes)
    content = json.loads((tmp_path / "out.json").read_text())["files"][1]
    assert content["answers"] == {"clip": ["red"], "seconds": [["red"], ["red"]]}
    assert content["thresholds"]["late"] == dict(zip(SCENES, predictions[1].thresholds["late"], strict=True))

    # A file without audio: the fused head goes on, as likely as not for what nothing tells.
    alone = predictor.predict(root / "g5-1.mp4")
    assert (alone.head, alone.absent) == ("late", ("audio",))
    np.testing.assert_allclose(alone.probabilities["late"], predictions[1].alone["video"])


@pytest.mark.slow
def test_an_onnx_file_answers_alike(runs: dict[str, Path], root: Path, tmp_path: Path) -> None:
    export(str(runs["fusion"]), str(tmp_path / "network.onnx"))
    clip = root / "g4-3.mp4", root / "g4-3.wav"
    ours, theirs = (sedcrnn.load(path, "cpu").predict(*clip) for path in (runs["fusion"], tmp_path / "network.onnx"))
    assert theirs.thresholds == ours.thresholds
    assert sorted(scene for scene, _ in ours.answers()) == ["red", "rumble"]
    assert theirs.answers() == [(scene, pytest.approx(value, abs=1e-4)) for scene, value in ours.answers()]
    for head, values in ours.probabilities.items():
        np.testing.assert_allclose(theirs.probabilities[head], values, atol=1e-4)


@pytest.mark.slow
def test_scores_of_two_processes_are_those_of_one_that_evaluates_their_checkpoint(
    root: Path, shared_store: Path, tmp_path: Path
) -> None:
    words = [*small_overrides(shared_store, tmp_path / "runs"), *SMALL_NETWORKS["audio"]]
    words += ["data=manifest", f"data.root={root}", "data.source.label_separator=;"]
    words += ["trainer=ddp_cpu", "trainer.devices=2"]
    words.remove("trainer=cpu")
    command = [sys.executable, "-m", "sedcrnn", "train", "experiment=audio", *words]
    subprocess.run(command, cwd=Path(__file__).parents[2], env=os.environ, check=True)
    (run,) = (tmp_path / "runs").glob("audio-s0-*")
    best = json.loads((run / "record.json").read_text())["best"]
    _, report = scored(run, "validation", shared_store)
    for name in ("mean_average_precision", "log_loss"):
        assert report["heads"]["audio"]["window"][name] == pytest.approx(best[f"validation/{name}"], abs=1e-6)


def test_recipes_and_stored_values_take_part(labelled: Stage, runs: dict[str, Path]) -> None:
    parts = [f"init_from.{kind}={runs[kind]}" for kind in ("audio", "visual")]
    recipe = ["recipe.mixup_embeddings=0.4", "recipe.loss.class_weights=balanced", "recipe.loss.focal_gamma=1.0",
              "recipe.loss.label_smoothing=0.05", "recipe.averaging=ema"]  # fmt: skip
    run = trained(labelled, "fusion", *parts, "recipe.cache_frozen=true", *recipe)
    checkpoint = load_checkpoint(str(run))
    assert checkpoint.multi_label
    assert checkpoint.recipe["loss"]["class_weights"] == {"red": 1.0, "rumble": 1.0}  # half of the clips have either
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert float(rows[-1]["train/loss"]) < float(rows[0]["train/loss"])
    assert float(rows[-1]["validation/mean_average_precision"]) > 0.9


def test_folds_are_pooled_with_the_thresholds_of_each(labelled: Stage, shared_store: Path) -> None:
    folded = [trained(labelled, "visual", "data.folds=2", f"data.held_out={number}") for number in (1, 2)]
    for run in folded:
        for fold in ("validation", "test"):
            scored(run, fold, shared_store)
    report = json.loads(pool(folded).read_text())
    own = report["heads"]["visual"]["window"]
    counts = [scored(run, "test", shared_store)[1]["heads"]["visual"]["window"]["confusion"] for run in folded]
    assert own["confusion"] == np.sum(counts, 0).tolist()
    assert own["examples"] == 2 * 4 * GROUPS
    assert own["class_wise"]["red"]["average_precision"] == 1


def test_what_only_one_label_to_a_clip_makes_sense_for_is_refused(
    labelled: Stage, stage: Stage, runs: dict[str, Path], root: Path, tmp_path: Path
) -> None:
    for override in ("recipe.sampling=balanced", "recipe.select_by=window_accuracy"):
        with pytest.raises(ConfigError, match=f"{override}, and the data are multi-label"):
            train(labelled("audio", override))
    watching = "callbacks.device.monitor=validation/macro_accuracy"
    target = "callbacks.device._target_=pytorch_lightning.callbacks.EarlyStopping"
    with pytest.raises(ConfigError, match=r"EarlyStopping watches '.*macro_accuracy', and the data are multi-label"):
        train(labelled("audio", f"+{target}", f"+{watching}"))
    one_label = [f"init_from.{kind}={runs[kind]}" for kind in ("audio", "visual")]
    with pytest.raises(CheckpointError, match="trained for the scenes red, rumble, any number to a clip"):
        train(stage("fusion", *one_label))
    with pytest.raises(CheckpointError, match=r"was trained for the scenes red, rumble"):
        submit(str(runs["audio"]), str(root), tmp_path / "out.csv")


def test_loggers_get_scores_by_scene_and_no_confusion(labelled: Stage) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = trained(labelled, "audio", "logger=tensorboard", "recipe.steps=60")
    found = EventAccumulator(str(run / "tensorboard"), {"scalars": 0, "images": 0, "audio": 0, "tensors": 0})
    found.Reload()
    tags = found.Tags()
    assert {"validation/mean_average_precision", "validation/macro_f1", "validation/log_loss"} <= {*tags["scalars"]}
    assert not [tag for tag in (*tags["scalars"], *tags["images"]) if "accuracy" in tag or "confusion" in tag]
    (text,) = [one.tensor_proto.string_val[0].decode() for tag in tags["tensors"] for one in found.Tensors(tag)]
    head, _, *rows = text.splitlines()
    assert head == "| head | scene | average_precision | log_loss | f1 | examples |"
    assert [row.split(" | ")[1] for row in rows] == list(SCENES)
    assert float(rows[1].split(" | ")[2]) == 1  # what rumbles is heard

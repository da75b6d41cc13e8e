"""Evaluation from a checkpoint alone: files, values, and independence from batches and places."""

import csv
import json
import math
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from sedcrnn.config.composition import compose
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.synthetic import Synthetic
from sedcrnn.errors import CheckpointError, ConfigError, DataError, TrustError
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.evaluation.metrics import SceneScores
from sedcrnn.evaluation.predictions import read_predictions
from sedcrnn.networks.profile import count_multiply_accumulates
from sedcrnn.reporting.collection import collect
from sedcrnn.reporting.page import build_page
from sedcrnn.reporting.run_grids import heads_grid
from sedcrnn.reporting.tables import RowSpec, TableSpec, make_tables
from sedcrnn.runs.checkpoints import BEST, load_checkpoint, write_checkpoint
from sedcrnn.training.stage import train

Stage = Callable[..., TrainConfig]


@pytest.fixture
def fusion_run(trained_fusion: tuple[Path, TrainConfig]) -> Path:
    return trained_fusion[0]


@pytest.fixture
def audio_run(fusion_parts: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of a trained audio network's run, not evaluated yet."""
    run = tmp_path / "runs" / fusion_parts["audio"].name
    shutil.copytree(fusion_parts["audio"], run, ignore=shutil.ignore_patterns("evaluation"))
    return run


def test_evaluation_writes_every_head_and_scores_agree_with_the_predictions(
    fusion_run: Path, shared_store: Path, tmp_path: Path
) -> None:
    metrics = evaluate(str(fusion_run), extraction_workers=0, store=str(shared_store))
    assert metrics == fusion_run / "evaluation" / "test" / "metrics.json"
    report = json.loads(metrics.read_text())
    assert list(report["heads"]) == ["audio", "visual", "early", "late"]
    assert (report["of"]["fold"], report["selection"], report["clips"]) == ("test", "location_disjoint", 4)
    with metrics.with_name("predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 4 * 2  # heads, clips of 2 s, windows
    scenes = list(rows[0])[5:]
    assert scenes[:2] == ["airport", "bus"]
    for head in report["heads"]:
        losses, hits, means = defaultdict(list), defaultdict(list), defaultdict(list)
        for row in (row for row in rows if row["head"] == head):
            probabilities = [float(row[scene]) for scene in scenes]
            assert sum(probabilities) == pytest.approx(1, abs=1e-4)
            losses[row["label"]].append(-math.log(float(row[row["label"]])))
            hits[row["label"]].append(scenes[probabilities.index(max(probabilities))] == row["label"])
            means[row["clip"], row["label"]].append(float(row[row["label"]]))
        window, clip = report["heads"][head]["window"], report["heads"][head]["clip"]
        macro = [sum(values) / len(values) for values in losses.values()]
        assert window["macro_log_loss"] == pytest.approx(sum(macro) / 2, rel=1e-4)
        assert window["macro_accuracy"] == pytest.approx(sum(sum(h) / len(h) for h in hits.values()) / 2)
        assert (window["examples"], clip["examples"]) == (8, 4)
        expected = sum(-math.log(sum(values) / 2) for values in means.values()) / 4
        assert clip["log_loss"] == pytest.approx(expected, rel=1e-4)
        assert clip["aggregator"] == "mean of the windows' probabilities"
        for level in (window, clip):
            drawn, published = level["intervals"]["locations"], level["intervals"]["published"]
            assert drawn["locations"] == 4
            for name in ("macro_accuracy", "macro_log_loss"):
                assert drawn[name][0] <= level[name] <= drawn[name][1]
            assert published["accuracy"][0] <= level["accuracy"] <= published["accuracy"][1]
    grid = heads_grid([[metrics]])
    assert "published, other data: accuracy %" not in grid.columns  # whose scenes are not TAU's ten
    assert [row[0] for row in grid.rows] == ["audio", "visual", "early fusion", "late fusion"]
    assert grid.rows[-1][1].startswith(f"{100 * report['heads']['late']['window']['macro_accuracy']:.1f}\n")


def test_cost_and_latency_are_recorded_and_predictions_can_be_read_back(stage: Stage, shared_store: Path) -> None:
    run = train(stage("visual", "recipe.frozen=[encoder]", "trainer.max_epochs=1"))
    metrics = evaluate(str(run), extraction_workers=0, store=str(shared_store))
    report = json.loads(metrics.read_text())
    cost, parameters = report["cost"], report["heads"]["visual"]["parameters"]
    network = load_checkpoint(str(run)).build()
    assert cost["parameters"] == parameters
    assert cost["trainable_parameters"] == sum(
        weight.numel() for name, weight in network.named_parameters() if not name.startswith("encoder.")
    )
    assert 0 < cost["trainable_parameters"] < parameters
    frames = {"frames": torch.zeros(1, 5, 3, 32, 32)}
    assert cost["multiply_accumulates_per_second"] == count_multiply_accumulates(network, frames) > 0
    latency = json.loads((run / "evaluation" / "latency.json").read_text())
    assert latency["milliseconds"] > 0
    assert latency["device"]
    assert (latency["batch_size"], latency["threads"]) == (1, torch.get_num_threads())
    stored = read_predictions(metrics.with_name("predictions.csv"))
    assert stored.locations == tuple(f"lisbon-{number}" for number in range(12, 16))
    assert stored.predictions.clip.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert stored.predictions.window.tolist() == [0, 1] * 4
    scores = SceneScores(len(stored.scenes))
    scores.update(stored.predictions.log_probabilities["visual"], stored.predictions.scene)
    window = report["heads"]["visual"]["window"]
    assert scores.confusion.tolist() == window["confusion"]
    assert scores.compute()["macro_log_loss"].item() == pytest.approx(window["macro_log_loss"], rel=1e-7)


def test_what_evaluation_writes_is_what_the_report_reads(audio_run: Path, shared_store: Path) -> None:
    run = audio_run
    for fold in ("validation", "test"):
        evaluate(str(run), fold=fold, extraction_workers=0, store=str(shared_store))
    runs = collect(run.parent)
    (table,) = make_tables(runs, [TableSpec(title="Networks", rows=[RowSpec("audio", "Audio")])])
    (scored,) = table.rows[0].runs.values()
    stored = json.loads((run / "evaluation" / "test" / "metrics.json").read_text())["heads"]["audio"]
    for level in ("window", "clip"):
        assert scored.levels[level].scores["macro_accuracy"] == pytest.approx(stored[level]["macro_accuracy"])
        interval = stored[level]["intervals"]["locations"]["macro_accuracy"]
        assert table.rows[0].interval(level, "macro_accuracy") == pytest.approx(interval)
    assert scored.temperature is not None
    assert "4 clips from 4 locations" in build_page([table], runs, run.parent)


def test_a_checkpoint_alone_gives_the_same_predictions_at_any_batch_size(
    fusion_run: Path, shared_store: Path, tau_root: Path, tmp_path: Path
) -> None:
    first = evaluate(str(fusion_run), extraction_workers=0, store=str(shared_store))
    alone = tmp_path / "moved.ckpt"
    shutil.copy(fusion_run / BEST, alone)
    root = shutil.copytree(tau_root, tmp_path / "other")
    second = evaluate(str(alone), root=str(root), batch_size=3, extraction_workers=0, store=str(tmp_path / "store"))
    assert second == tmp_path / "moved" / "evaluation" / "test" / "metrics.json"

    def probabilities(metrics: Path) -> list[float]:
        with metrics.with_name("predictions.csv").open(newline="") as file:
            return [float(value) for row in csv.DictReader(file) for value in list(row.values())[5:]]

    assert probabilities(second) == pytest.approx(probabilities(first), abs=2e-6)


def test_scores_are_reused_until_the_weights_or_the_data_change(audio_run: Path, shared_store: Path) -> None:
    run = audio_run
    metrics = evaluate(str(run), extraction_workers=0, store=str(shared_store))
    written = metrics.stat().st_mtime_ns
    assert evaluate(str(run), extraction_workers=0, store=str(shared_store)).stat().st_mtime_ns == written
    report = json.loads(metrics.read_text())
    metrics.write_text(json.dumps({**report, "of": {**report["of"], "schema_version": 3}}))
    assert json.loads(evaluate(str(run), extraction_workers=0, store=str(shared_store)).read_text()) == report
    other = evaluate(str(run), fold="validation", extraction_workers=0, store=str(shared_store))
    assert json.loads(other.read_text())["of"]["fold"] == "validation"


def test_a_set_is_generated_again_only_where_the_user_says(
    trained_fusion: tuple[Path, TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[str] = []
    monkeypatch.setattr(Synthetic, "prepare", lambda source: prepared.append(source.root))  # it would take minutes
    data = compose("train", ["experiment=audio", "data=synthetic_tiny", f"data.root={tmp_path / 'gone'}"]).data
    checkpoint = torch.load(trained_fusion[0] / BEST, weights_only=True)
    source = OmegaConf.to_container(data.source, resolve=True)
    checkpoint["hyper_parameters"]["data"]["source"] = {**source, "workers": 1000}
    write_checkpoint(checkpoint, tmp_path / "moved.ckpt")
    arguments = {"run": str(tmp_path / "moved.ckpt"), "extraction_workers": 0, "store": str(tmp_path / "store")}
    with pytest.raises(CheckpointError, match=r"gone, is missing.*Give data\.root=<folder>"):
        evaluate(**arguments)
    assert prepared == []
    with pytest.raises(DataError):  # nothing was rendered
        evaluate(**arguments, root=str(tmp_path / "here"))
    assert prepared == [str(tmp_path / "here")]


def test_data_sources_of_packages_that_are_not_trusted_are_refused(
    trained_fusion: tuple[Path, TrainConfig], tmp_path: Path
) -> None:
    checkpoint = torch.load(trained_fusion[0] / BEST, weights_only=True)
    checkpoint["hyper_parameters"]["data"]["source"] = {"_target_": "stranger.Source"}
    write_checkpoint(checkpoint, tmp_path / "strange.ckpt")
    with pytest.raises(TrustError, match="stranger"):
        evaluate(str(tmp_path / "strange.ckpt"))


def test_what_cannot_be_evaluated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="gone"):
        evaluate(str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match="The fold is 'tset'"):
        evaluate(str(tmp_path), fold="tset")
    with pytest.raises(ConfigError, match="cuda:99"):
        evaluate(str(tmp_path), device="cuda:99")

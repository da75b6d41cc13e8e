"""Evaluated runs of one stage, of which each held out another part of a data set -> one result of all their predictions
(docs/cross_validation.md). It lies beside the run folders, in a folder that reads like one, but for a network.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from sedcrnn.config.checking import digest
from sedcrnn.datasets.folds import TEST_FOLD_AS_AUTHORS, city_in_name
from sedcrnn.errors import CheckpointError
from sedcrnn.evaluation.calibration import fit_temperature
from sedcrnn.evaluation.fold_scores import is_done, score_heads
from sedcrnn.evaluation.predictions import read_predictions
from sedcrnn.evaluation.result_names import (
    EVALUATION,
    LATENCY,
    MACRO_LOG_LOSS,
    METRICS,
    POOL,
    PREDICTIONS,
    SCHEMA_VERSION,
    main_score,
)
from sedcrnn.runs.files import atomic, write_json, write_text
from sedcrnn.runs.records import CONFIG, read_config, read_json, read_record


def pool(runs: Sequence[Path]) -> Path:
    """Score the held-out predictions of all runs together, unless that was done before.

    Args:
        runs: run folders of one stage and seed, one for each part of the data set; all are evaluated.

    Returns:
        metrics.json of the whole, with predictions.csv beside it; folds.json above says of which runs it is.

    Raises:
        CheckpointError: parts that are not those of one data set, each held out once.
    """
    records = [read_record(run) or {} for run in runs]
    configs = [read_config(run) for run in runs]
    evaluated = [_metrics(run, "test") for run in runs]
    named = [held_out(config) for config in configs]
    kind = "cities" if configs[0]["data"]["leave_out_city"] else "folds"
    title = f"{len(runs)} {kind}"
    first, config, report = records[0], configs[0], evaluated[0]
    whole = digest([record["key"] for record in records])
    folder = runs[0].parent / f"{first['name'].replace('/', '-')}-s{first['seed']}-{len(runs)}-{kind}-{whole[:8]}"
    data = {
        "name": first["inputs"]["data"]["name"].removesuffix(city_in_name(named[0])),
        "clips": sum(one["clips"] for one in evaluated),
        "digest": digest([one["of"]["data"] for one in evaluated]),
    }
    of = {
        "checkpoint": digest([one["of"]["checkpoint"] for one in evaluated]),
        "data": data,
        "fold": "test",
        "schema_version": SCHEMA_VERSION,
    }
    results = folder / EVALUATION / "test"
    if is_done(results / METRICS, of) and (folder / POOL).is_file():
        return results / METRICS
    _write_together([run / EVALUATION / "test" / PREDICTIONS for run in runs], results / PREDICTIONS)
    stored = read_predictions(results / PREDICTIONS)
    listed = {one["of"]["data"]["clips"] for one in evaluated}
    if listed != {len(stored.clips)} or len(stored.clips) != data["clips"]:
        raise CheckpointError(
            f"{title} of {first['name']} hold out {data['clips']} clips, {len(stored.clips)} different ones, of data "
            f"sets of {' and '.join(map(str, sorted(listed)))} clips",
            "Every clip of one data set is held out once",
            "The data set has changed between the folds: remove their run folders, and give the command again",
        )
    parameters = {head: scores["parameters"] for head, scores in report["heads"].items()}
    by_fold = [
        {"name": name, "run": run.name, "clips": one["clips"], "heads": _plain_scores(one)}
        for name, run, one in zip(named, runs, evaluated, strict=True)
    ]
    temperatures = [_temperatures(run, record["selection"]) for run, record in zip(runs, records, strict=True)]
    if latency := read_json(runs[0] / EVALUATION / LATENCY):
        write_json(folder / EVALUATION / LATENCY, latency)
    counts = torch.tensor([one["clips"] for one in evaluated])  # of which each fold has its own thresholds
    by_clip = {
        head: torch.tensor(
            [one["heads"][head]["thresholds"] for one in evaluated], dtype=torch.float64
        ).repeat_interleave(counts, 0)
        for head, scores in report["heads"].items()
        if "thresholds" in scores
    }
    heads = score_heads(parameters, stored.predictions, stored.scenes, stored.locations, by_clip)
    whole_report = {**report, "of": of, "clips": data["clips"], "heads": heads, "folds": by_fold, "pooled": title}
    write_json(results / METRICS, whole_report)
    every = {"leave_out_city": "all"} if kind == "cities" else {"held_out": None}
    write_text(folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create({**config, "data": {**config["data"], **every}})))
    record = {
        **{key: first[key] for key in ("status", "name", "seed", "selection", "versions", "git_commit")},
        "inputs": {**first["inputs"], "data": data},
        "finished": max(record["finished"] for record in records),
        "pooled": title,
        "folds": [
            {"name": name, "run": run.name, "key": record["key"], "clips": one["clips"], "temperatures": found}
            for name, run, record, one, found in zip(named, runs, records, evaluated, temperatures, strict=True)
        ],
    }
    write_json(folder / POOL, record)  # last: with it the folder is whole
    return results / METRICS


def held_out(config: dict[str, Any]) -> str:
    """What a run's config holds out: a city, or the number of a fold; empty: the data set's own test fold."""
    data = config["data"]
    return str(data.get("leave_out_city") or data.get("held_out") or "")


def _metrics(run: Path, fold: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((run / EVALUATION / fold / METRICS).read_text(encoding="utf-8"))
    return report


def _write_together(files: Sequence[Path], path: Path) -> None:
    """All predictions in one file, as they were written."""
    parts = [file.read_bytes().partition(b"\n") for file in files]
    if len({header for header, *_ in parts}) > 1:
        raise CheckpointError(
            f"{files[0]} and others of its folds have different columns",
            "All folds have the same scenes",
            "Remove the run folders of these folds, and give the command again",
        )
    with atomic(path) as temporary:
        temporary.write_bytes(b"".join([*parts[0][:2], *(rows for *_, rows in parts)]))


def _plain_scores(report: dict[str, Any]) -> dict[str, Any]:
    """The two scores of every head and level, and its thresholds, if any."""
    return {
        head: {
            level: {score: scores[level][score] for score in (main_score(scores[level]), MACRO_LOG_LOSS)}
            for level in ("window", "clip")
        }
        | ({"thresholds": scores["thresholds"]} if "thresholds" in scores else {})
        for head, scores in report["heads"].items()
    }


def _temperatures(run: Path, selection: str) -> dict[str, float] | None:
    """The temperature of each head, fitted on the run's own validation fold; None where nothing is left to fit on."""
    if selection == TEST_FOLD_AS_AUTHORS:
        return None
    found = read_predictions(run / EVALUATION / "validation" / PREDICTIONS).predictions
    return {head: fit_temperature(found, head) for head in found.log_probabilities}

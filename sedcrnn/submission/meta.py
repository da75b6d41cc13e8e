"""A network, its development results and its authors' words -> meta.yaml; and meta.yaml -> which rules it breaks."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from sedcrnn.evaluation.metrics import ACCURACY, LOG_LOSS, MACRO_ACCURACY, MACRO_LOG_LOSS
from sedcrnn.files import write_text
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.summary import count_by_modality, count_parameters
from sedcrnn.submission.form import META, deviations

# What the form asks of a modality, and therefore is null in a system without it.
OF_SOUND = ("input_channels", "input_sampling_rate", "acoustic_features", "audio_embeddings")
OF_PICTURE = ("visual_embeddings",)

# Of overall values, which are means of class values that may have been rounded too.
TOLERANCES = {"logloss": 0.011, "accuracy": 0.11}


def describe(
    submission: Mapping[str, Any],
    system: Mapping[str, Any],
    network: SceneNetwork,
    head: str,
    scores: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of meta.yaml.

    Args:
        submission: label, name, abbreviation and authors, in the official form.
        system: description, external_datasets and source_code, in the official form.
        network: the system's network.
        head: whose predictions are submitted.
        scores: that head's scores on 1-s windows of the development set's test fold, from metrics.json.
    """
    modalities = count_by_modality(network, head)
    absent = {
        *(OF_SOUND if not modalities["audio"] else ()),
        *(OF_PICTURE if not modalities["visual"] else ()),
        *(("modality_combination",) if not all(modalities.values()) else ()),
    }
    stated = system["description"] or {}
    description = {key: None if key in absent else value for key, value in stated.items()}
    return {
        "submission": dict(submission),
        "system": {
            **system,
            "description": description,
            "complexity": {
                "total_parameters": count_parameters(*network.parts_of(head)).keras,
                "total_parameters_audio": modalities["audio"],
                "total_parameters_visual": modalities["visual"],
            },
        },
        "results": {
            "development_dataset": {
                "overall": _results(scores[MACRO_LOG_LOSS], scores[MACRO_ACCURACY]),
                "class_wise": {
                    scene: _results(of_scene[LOG_LOSS], of_scene[ACCURACY])
                    for scene, of_scene in scores["class_wise"].items()
                },
            }
        },
    }


def write_meta(path: Path, meta: Mapping[str, Any]) -> None:
    """Write meta.yaml, keys in the order of the form."""
    write_text(path, yaml.safe_dump(dict(meta), sort_keys=False, allow_unicode=True))


def check_meta_file(path: Path, label: str) -> Iterator[str]:
    """Every rule that a meta.yaml breaks; see `check_meta`."""
    if not path.is_file():
        yield "the file is missing"
        return
    try:
        meta = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        yield f"it cannot be read as YAML: {error}"
        return
    yield from check_meta(meta, label)


def check_meta(meta: Any, label: str) -> Iterator[str]:
    """Every rule that the content of a meta.yaml breaks.

    Args:
        meta: plain data.
        label: of the submission, as its folder and files are named.
    """
    broken = list(deviations(meta, META))
    yield from broken
    if broken:  # the rest compares values that fit the form
        return
    submission, results = meta["submission"], meta["results"]["development_dataset"]
    if submission["label"] != label:
        yield f"submission.label is '{submission['label']}', but the submission's folder is '{label}'"
    corresponding = sum(author.get("corresponding") is True for author in submission["authors"])
    if corresponding != 1:
        yield f"{corresponding} authors have corresponding: true, but exactly one has"
    if results["overall"]["accuracy"] <= 1:
        yield f"the overall accuracy is {results['overall']['accuracy']}, but accuracies are in percent"
    for score, tolerance in TOLERANCES.items():
        overall, classes = results["overall"][score], mean(of[score] for of in results["class_wise"].values())
        if abs(overall - classes) > tolerance:
            yield f"the overall {score} is {overall}, but it is the mean of the class-wise values, {classes:.4g}"


def _results(log_loss: float | None, accuracy: float | None) -> dict[str, float | None]:
    """Scores in the units of the form; None, of a scene without examples, stays, and breaks a rule."""
    return {
        "logloss": None if log_loss is None else round(log_loss, 4),
        "accuracy": None if accuracy is None else round(100 * accuracy, 2),
    }

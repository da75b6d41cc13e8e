"""The description of a system: one broken meta.yaml for each rule, and what is filled in."""

import copy
import re
from pathlib import Path

import pytest
import yaml

from sedcrnn.errors import SubmissionError
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.visual import VisualNetwork
from sedcrnn.submission.check import check_submission, meta_file
from sedcrnn.submission.meta import check_meta, check_meta_file, describe

LABEL = "Naranjo-Alcazar_ITI_task1b_2"
WRONG_LABEL = "submission.label is .* Lastname_Inst_task1b_N with N from 1 to 4"


def all_keys(node, path=()):
    """Every key of the form as a path, lists by their first item."""
    if isinstance(node, list) and node and isinstance(node[0], dict):
        yield from all_keys(node[0], (*path, 0))
    for key, value in node.items() if isinstance(node, dict) else ():
        yield (*path, key)
        yield from all_keys(value, (*path, key))


def test_a_description_that_keeps_the_rules_survives_the_file(folder: Path, meta) -> None:
    assert list(check_meta(meta, LABEL)) == []
    assert yaml.safe_load(meta_file(folder).read_text(encoding="utf-8")) == meta
    check_submission(folder, 12)


def test_every_key_is_required_and_every_other_is_refused(meta) -> None:
    required = [path for path in all_keys(meta) if path[-1] != "corresponding"]
    assert len(required) == 70
    for path in required:
        for spelling in (None, f"{path[-1]}_"):
            changed = copy.deepcopy(meta)
            node = changed
            for step in path[:-1]:
                node = node[step]
            value = node.pop(path[-1])
            if spelling:
                node[spelling] = value
            broken = list(check_meta(changed, LABEL))
            assert sum(f"{path[-1]} is missing" in problem for problem in broken) == 1
            assert len(broken) == (2 if spelling else 1)
            if spelling:
                assert f"{spelling} is no key of the form; the nearest is '{path[-1]}'" in broken[0]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("submission.label", "Naranjo-Alcazar_ITI_task1b_5", WRONG_LABEL),
        ("submission.label", "Naranjo-Alcazar_ITI_task1b_0", WRONG_LABEL),
        ("submission.label", "Naranjo-Alcazar_ITI_task1a_2", WRONG_LABEL),
        ("submission.label", "Naranjo-Alcazar_task1b_2", WRONG_LABEL),
        ("submission.label", "Naranjo-Alcazar_ITI_task1b_2 ", WRONG_LABEL),
        ("submission.label", "../Naranjo_ITI_task1b_2", WRONG_LABEL),
        ("submission.label", "Naranjo-Alcazar_ITI_task1b_3", "submission.label .* submission's folder is"),
        ("submission.name", "", "submission.name is '', but it is a text"),
        ("submission.abbreviation", "elevenchars", "submission.abbreviation is .* at most 10 characters"),
        ("submission.abbreviation", None, "submission.abbreviation is None, .* at most 10 characters"),
        ("submission.authors", [], "0 authors have corresponding: true, but exactly one has"),
        ("submission.authors", "Naranjo", "submission.authors is 'Naranjo', but it is a list"),
        ("submission.authors.0.corresponding", False, "0 authors have corresponding: true, but exactly one has"),
        ("submission.authors.1.corresponding", True, "2 authors have corresponding: true, but exactly one has"),
        ("submission.authors.0.corresponding", "yes", r"submission.authors\[0\].corresponding is 'yes', .* or false"),
        ("submission.authors.1.email", "sergi.example.org", r"submission.authors\[1\].email is .* an address"),
        ("submission.authors.1.affiliation", "A company", r"submission.authors\[1\].affiliation is .* it has the keys"),
        ("system.description.input_channels", {}, "system.description.input_channels is .* a text, a number, a list"),
        ("system.description.ensemble_method_subsystem_count", "two", ".*_count is 'two', but it is a whole number or"),
        ("system.complexity.total_parameters", None, "system.complexity.total_parameters is None, .* a whole number"),
        ("system.complexity.total_parameters", "15M", "system.complexity.total_parameters is '15M', .* a whole number"),
        ("system.complexity.total_parameters_audio", 3.5, ".*total_parameters_audio is 3.5, .* a whole number"),
        ("system.complexity.total_parameters_visual", -1, ".*total_parameters_visual is -1, .* a whole number"),
        ("system.external_datasets", None, "system.external_datasets is None, but it is a list"),
        ("system.external_datasets.0.url", None, r"system.external_datasets\[0\].url is None, but it is a text"),
        ("system.source_code", 7, "system.source_code is 7, but it is an address or null"),
        ("results.development_dataset.class_wise.park.logloss", None, ".*park.logloss is None, .* of 0 or more"),
        ("results.development_dataset.class_wise.park.logloss", float("nan"), ".*park.logloss is nan, .* of 0 or more"),
        ("results.development_dataset.class_wise.park.accuracy", 101.0, ".*park.accuracy is 101.0, .* in percent"),
        ("results.development_dataset.overall.accuracy", True, ".*overall.accuracy is True, .* in percent"),
        ("results.development_dataset.overall.accuracy", 78.2, "the overall accuracy is 78.2, .* values, 77.02"),
        ("results.development_dataset.overall.logloss", 0.7, "the overall logloss is 0.7, .* values, 0.6578"),
    ],
)  # fmt: skip
def test_each_rule_by_a_value_that_breaks_only_it(meta, path: str, value, message: str) -> None:
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("."))
    node = meta
    for step in steps:
        node = node[step]
    node[last] = value
    (broken,) = check_meta(meta, LABEL)
    assert re.match(message, broken)


def test_accuracies_are_in_percent(meta) -> None:
    results = meta["results"]["development_dataset"]
    for scores in (results["overall"], *results["class_wise"].values()):
        scores["accuracy"] /= 100
    (broken,) = check_meta(meta, LABEL)
    assert broken == "the overall accuracy is 0.77, but accuracies are in percent"


def test_files_that_are_no_yaml_or_not_there(folder: Path) -> None:
    path = meta_file(folder)
    path.write_text("submission: [")
    (broken,) = check_meta_file(path, LABEL)
    assert broken.startswith("it cannot be read as YAML: ")
    path.write_text("just words")
    (broken,) = check_meta_file(path, LABEL)
    assert broken == "the content is 'just words', but it has the keys submission, system, results"
    path.unlink()
    assert list(check_meta_file(path, LABEL)) == ["the file is missing"]


def test_all_broken_rules_of_both_files_are_told_in_one_paragraph(folder: Path, tmp_path: Path, meta) -> None:
    other = folder.rename(folder.with_name("Perez_V_task1b_1"))
    with pytest.raises(
        SubmissionError, match=r"breaks 2 rules .*\(1\) Perez_V_task1b_1.output.csv: the file is missing; "
    ):
        check_submission(other, 12)
    for file in other.iterdir():
        file.rename(other / f"Perez_V_task1b_1.{file.name.split('.', 1)[1]}")
    with pytest.raises(SubmissionError, match=r"breaks 1 rule .*but the submission's folder is 'Perez_V_task1b_1'"):
        check_submission(other, 12)
    with pytest.raises(SubmissionError, match=r"There is no folder .*task1/<label>"):
        check_submission(tmp_path / "nowhere", 12)


@pytest.mark.parametrize(
    ("head", "absent"),
    [
        ("late", set()),
        ("early", set()),
        ("audio", {"visual_embeddings", "modality_combination"}),
        (
            "visual",
            {"input_channels", "input_sampling_rate", "acoustic_features", "modality_combination"},
        ),
    ],
)
def test_what_the_network_and_its_evaluation_know_is_filled_in(meta, head: str, absent: set[str]) -> None:
    audio = AudioNetwork(filters=(4, 4, 8))
    network = FusionNetwork(audio, VisualNetwork(backbone="test_resnet", hidden=4), hidden=4)
    system = {key: value for key, value in meta["system"].items() if key != "complexity"}
    scores = {
        "macro_accuracy": 0.770149,
        "macro_log_loss": 0.65784,
        "class_wise": {
            scene: {"accuracy": of["accuracy"] / 100, "log_loss": of["logloss"], "examples": 10}
            for scene, of in meta["results"]["development_dataset"]["class_wise"].items()
        },
    }
    described = describe(meta["submission"], system, network, head, scores)
    assert list(check_meta(described, LABEL)) == []
    stated = meta["system"]["description"]
    assert {key for key, value in described["system"]["description"].items() if value != stated[key]} == absent
    counts = described["system"]["complexity"]
    assert (counts["total_parameters_audio"] > 0, counts["total_parameters_visual"] > 0) == (
        head != "visual",
        head != "audio",
    )
    added = counts["total_parameters"] - counts["total_parameters_audio"] - counts["total_parameters_visual"]
    assert (added > 0) == (head in ("early", "late"))
    results = described["results"]["development_dataset"]
    assert results["overall"] == {"logloss": 0.6578, "accuracy": 77.01}
    assert results["class_wise"] == meta["results"]["development_dataset"]["class_wise"]

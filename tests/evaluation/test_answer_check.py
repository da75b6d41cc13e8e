"""Where an answer is worse than others by the validation fold, it is said with both figures; noise is not."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sedcrnn.evaluation.answer_check import answer_warnings

SCENES = ("bus", "park")
Evaluated = Callable[..., Path]


@pytest.fixture
def evaluated(tmp_path: Path) -> Evaluated:
    """Name, kind and, per head, the probability of the true scene in clips of one window -> metrics.json of the test
    fold of a run that is evaluated on validation too."""

    def write(
        name: str, kind: str, heads: Mapping[str, list[float]], locations: int = 8, checkpoint: str = "c"
    ) -> Path:
        for fold in ("validation", "test"):
            folder = tmp_path / name / "evaluation" / fold
            folder.mkdir(parents=True)
            of = {"checkpoint": checkpoint if fold == "validation" else "c", "data": "d", "fold": fold}
            (folder / "metrics.json").write_text(json.dumps({"of": of, "stage": kind}))
        with (tmp_path / name / "evaluation" / "validation" / "predictions.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["clip", "location", "window", "label", "head", *SCENES])
            for head, values in heads.items():
                for clip, value in enumerate(values):
                    both = (value, 1 - value) if clip % 2 == 0 else (1 - value, value)
                    writer.writerow([f"c{clip}", f"l{clip % locations}", 0, SCENES[clip % 2], head, *both])
        return tmp_path / name / "evaluation" / "test" / "metrics.json"

    return write


def test_a_worse_answer_is_named_with_both_figures_and_a_remedy(evaluated: Evaluated) -> None:
    heads = {"audio": [0.4] * 16, "early": [0.9, 0.8] * 8, "late": [0.6] * 12 + [0.4] * 4}
    assert answer_warnings(evaluated("fusion-s0", "fusion", heads)) == [
        "By the validation fold, the answer of fusion-s0 is worse than others: accuracy 75.0 %, but 100.0 % of its "
        "head 'early'; log loss 0.612, but 0.164 of its head 'early'. Train it longer (recipe.steps), or start its "
        "late layer as an average of both networks (model.network.late_start=average)."
    ]


def test_a_network_of_one_modality_counts_once(evaluated: Evaluated) -> None:
    visual = evaluated("visual-s0", "visual", {"visual": [0.95] * 16})
    elsewhere = evaluated("audio-s0", "audio", {"audio": [0.99] * 14})  # other clips
    plain = evaluated("fusion-s0", "fusion", {"early": [0.7] * 16, "late": [0.7] * 16})
    (told,) = answer_warnings(plain, [visual, elsewhere])
    assert "worse than others: log loss 0.357, but 0.051 of visual-s0 alone. Train" in told
    same = evaluated("fusion-s1", "fusion", {"visual": [0.95] * 16, "late": [0.7] * 16})
    (told,) = answer_warnings(same, [visual])
    assert "0.051 of its head 'visual'. Train" in told


def test_noise_few_locations_and_other_weights_are_no_reason(evaluated: Evaluated) -> None:
    noise = {"early": [0.9, 0.9, 0.4, 0.4] * 4, "late": [0.4, 0.4, 0.9, 0.9] * 3 + [0.4, 0.4, 0.9, 0.8]}
    assert answer_warnings(evaluated("a", "fusion", noise)) == []
    worse = {"early": [0.9] * 16, "late": [0.6] * 16}
    assert answer_warnings(evaluated("b", "fusion", worse, locations=4)) == []
    assert answer_warnings(evaluated("c", "fusion", worse, checkpoint="other")) == []
    assert len(answer_warnings(evaluated("d", "fusion", worse))) == 1
    better = {"early": [0.6] * 16, "late": [0.9] * 16}
    assert answer_warnings(evaluated("e", "fusion", better)) == []

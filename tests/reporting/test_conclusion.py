"""What is said of an evaluated run: how good it is, how sure that is, and whether more recordings are needed."""

import csv
import json
from pathlib import Path

from sedcrnn.reporting.conclusion import conclusion

SCENES = ("bus", "metro_station", "park")


def evaluated(
    folder: Path, groups: dict[str, int], clips: int, wrong: int, interval: tuple[float, float], selection: str = "x"
) -> Path:
    """metrics.json and predictions.csv of so many groups of each scene with so many clips each; the first bus clips are
    taken for parks."""
    folder.mkdir(parents=True, exist_ok=True)
    confusion = [[0] * 3 for _ in SCENES]
    with (folder / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "location", "window", "label", "head", *SCENES])
        for true, scene in enumerate(SCENES):
            for number in range(groups[scene] * clips):
                group = number % groups[scene]
                for window in range(2):
                    writer.writerow([f"{scene}{number}", f"{scene}-{group}", window, scene, "late", 0.2, 0.3, 0.5])
                confusion[true][2 if scene == "bus" and number < wrong else true] += 1
    accuracy = sum(row[true] / sum(row) for true, row in enumerate(confusion)) / 3
    clip = {
        "macro_accuracy": accuracy,
        "examples": clips * sum(groups.values()),
        "class_wise": dict.fromkeys(SCENES),
        "confusion": confusion,
        "intervals": {"locations": {"macro_accuracy": interval, "locations": sum(groups.values())}},
    }
    report = {"selection": selection, "heads": {"early": {}, "late": {"clip": clip}}}
    (folder / "metrics.json").write_text(json.dumps(report))
    return folder / "metrics.json"


def test_with_enough_groups(tmp_path: Path) -> None:
    metrics = evaluated(tmp_path, {"bus": 6, "metro_station": 5, "park": 6}, 2, wrong=3, interval=(0.82, 0.98))
    assert conclusion(metrics).splitlines() == [
        "How good it is: the late head is right on 31 of 34 clips of the test fold, 91.7 % as the mean over 3 scenes; "
        "guessing gives 33.3 %.",
        "How sure that is: elsewhere it may be 82 to 98 % (95 % interval). It rests on 17 groups of recordings, 5 of "
        "them of metro station, which has fewest.",
    ]
    wide = evaluated(tmp_path, {"bus": 6, "metro_station": 5, "park": 6}, 2, wrong=3, interval=(0.3, 0.98))
    assert conclusion(wide).splitlines()[2:4] == [
        "So far it cannot be told from guessing.",
        "More groups in the test fold would make the interval narrower.",
    ]


def test_with_few_groups_that_are_all_right(tmp_path: Path) -> None:
    selection = "test_fold_as_the_authors_did"
    metrics = evaluated(tmp_path, {"bus": 2, "metro_station": 1, "park": 2}, 3, 0, (1.0, 1.0), selection)
    lines = conclusion(metrics).splitlines()
    assert lines[1].startswith("How sure that is: elsewhere it may be 48 to 100 %")  # 0.025 ** (1 / 5)
    assert lines[2] == "The checkpoint was selected on this very fold, so both figures are too good."
    assert lines[3] == (
        "More recordings are needed: with fewer than 5 groups of each scene in the test fold, the interval is too "
        "narrow. Record every scene in more places."
    )

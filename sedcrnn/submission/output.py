"""Predictions of the evaluation set -> output.csv; and output.csv -> which rules it breaks."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from sedcrnn.datasets.scenes import TAU_SCENES
from sedcrnn.runs.files import atomic

HEADER = ["filename", "scene_label", *TAU_SCENES]
TOLERANCE = 1e-3  # of a row's sum, for rounded probabilities


def write_output(path: Path, names: Sequence[str], probabilities: Tensor) -> None:
    """Write the official table: one row per file, separated by tabs.

    Args:
        path: the file.
        names: of the clips, without suffix; the official one is `.wav`, even for a system that only looks.
        probabilities: (clip, scene), in the order of `TAU_SCENES`.
    """
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(HEADER)
        best = probabilities.argmax(-1).tolist()
        for name, scene, row in zip(names, best, probabilities.tolist(), strict=True):
            writer.writerow([f"{name}.wav", TAU_SCENES[scene], *(f"{probability:.6g}" for probability in row)])


class Row(NamedTuple):
    """A row of the table; probabilities in the order of `TAU_SCENES`, None if they are no numbers."""

    name: str
    scene: str
    probabilities: list[float] | None


def check_output(path: Path, files: int) -> Iterator[str]:
    """Every rule that a table breaks, each once, with the first row that does.

    Args:
        path: the file.
        files: how many files the evaluation set has.
    """
    if not path.is_file():
        yield "the file is missing"
        return
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        header, *cells = [row for row in csv.reader(file, delimiter="\t") if row] or [[]]
    if header != HEADER:
        yield f"the header is '{' '.join(header)}', but it is '{' '.join(HEADER)}', separated by tabs"
        return
    odd = [row for row in cells if len(row) != len(HEADER)]
    if odd:
        yield f"{_rows(odd)} not of {len(HEADER)} columns: '{' '.join(odd[0])}'"
    rows = [Row(row[0], row[1], _numbers(row[2:])) for row in cells if len(row) == len(HEADER)]
    yield from _check_names([row[0] for row in cells], files)
    yield from _check_probabilities(rows)
    yield from _check_scenes(rows)


def _check_names(names: Sequence[str], files: int) -> Iterator[str]:
    expected = dict.fromkeys(f"{number}.wav" for number in range(files))
    found = Counter(names)
    numbers = {name.split(".")[0] for name in found}  # one with another suffix is not missing as well
    problems = {
        "with another suffix than .wav": [name for name in found if not name.endswith(".wav")],
        "not in the evaluation set": [name for name in found if name.endswith(".wav") and name not in expected],
        "more than once": [name for name, times in found.items() if times > 1],
        "missing": [name for name in expected if name.removesuffix(".wav") not in numbers],
    }
    for problem, concerned in problems.items():
        if concerned:
            number = f"{len(concerned):,} file names are" if len(concerned) > 1 else "a file name is"
            yield f"{number} {problem}, but there are exactly 0.wav to {files - 1}.wav: '{concerned[0]}'"


def _check_probabilities(rows: Sequence[Row]) -> Iterator[str]:
    wrong = [row for row in rows if row.probabilities is None]
    if wrong:
        yield f"{_rows(wrong)} not of numbers: '{wrong[0].name}'"
    outside = [row for row in rows if row.probabilities and not _are_shares(row.probabilities)]
    if outside:
        yield f"{_rows(outside)} not of probabilities, which lie in [0, 1]: '{outside[0].name}'"
    uneven = [
        row
        for row in rows
        if row.probabilities and _are_shares(row.probabilities) and abs(sum(row.probabilities) - 1) > TOLERANCE
    ]
    if uneven:
        yield f"{_rows(uneven)} not of probabilities with the sum 1: '{uneven[0].name}'"


def _check_scenes(rows: Sequence[Row]) -> Iterator[str]:
    unknown = [row for row in rows if row.scene not in TAU_SCENES]
    if unknown:
        yield f"{_rows(unknown)} labelled with none of the ten scenes: '{unknown[0].name}' with '{unknown[0].scene}'"
    lesser = [
        row
        for row in rows
        if row.probabilities and row.scene in TAU_SCENES
        if row.probabilities[TAU_SCENES.index(row.scene)] < max(row.probabilities)
    ]
    if lesser:
        yield f"{_rows(lesser)} not labelled with the most probable scene: '{lesser[0].name}'"


def _numbers(cells: Sequence[str]) -> list[float] | None:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return None


def _are_shares(values: Sequence[float]) -> bool:
    return all(0 <= value <= 1 for value in values)  # NaN compares as false with everything, so it is none


def _rows(concerned: Sequence[object]) -> str:
    return f"{len(concerned):,} rows are" if len(concerned) > 1 else "a row is"

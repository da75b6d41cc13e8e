"""Predictions of the evaluation set -> the challenge's table; and such a table -> which rules it breaks."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.errors import SubmissionError
from sedcrnn.runs.files import atomic

HEADER = ["filename", "scene_label", *TAU_SCENES]
TOLERANCE = 1e-3  # of a row's sum, for rounded probabilities


def write_output(path: Path, names: Sequence[str], probabilities: Tensor) -> None:
    """Write the official table: one row per file, separated by tabs, with (clip, scene) probabilities in the order of
    `TAU_SCENES`; clips are named without suffix, and the official one is `.wav`, even for a system of the video alone.
    """
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(HEADER)
        best = probabilities.argmax(-1).tolist()
        for name, scene, row in zip(names, best, probabilities.tolist(), strict=True):
            writer.writerow([f"{name}.wav", TAU_SCENES[scene], *(f"{probability:.6g}" for probability in row)])


def check_output(path: Path, files: int) -> None:
    """Check a table of a number of files against the challenge's rules.

    Raises:
        SubmissionError: naming every rule that it breaks.
    """
    if broken := list(broken_rules(path, files)):
        listed = "; ".join(f"({number}) {problem}" for number, problem in enumerate(broken, start=1))
        raise SubmissionError(
            f"{path} breaks {len(broken)} rule{'s' * (len(broken) > 1)} of the challenge: {listed}",
            "A table of predictions keeps the official form of DCASE 2021 Task 1B",
            "Correct these values",
        )


def broken_rules(path: Path, files: int) -> Iterator[str]:
    """Every rule that a table breaks, each once, with the first row that does; parameters as `check_output`."""
    if not path.is_file():
        yield "the file is missing"
        return
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        header, *rows = [row for row in csv.reader(file, delimiter="\t") if row] or [[]]
    if header != HEADER:
        yield f"the header is '{' '.join(header)}', but it is '{' '.join(HEADER)}', separated by tabs"
        return
    if odd := [row for row in rows if len(row) != len(HEADER)]:
        yield f"{_rows(odd)} not of {len(HEADER)} columns: '{' '.join(odd[0])}'"
    yield from _check_names([row[0] for row in rows], files)
    broken: dict[str, list[str]] = {}
    for row in rows:
        for problem in _problems(row) if len(row) == len(HEADER) else []:
            label = f" with '{row[1]}'" if problem.startswith("labelled") else ""
            broken.setdefault(problem, []).append(f"'{row[0]}'{label}")
    for problem, concerned in broken.items():
        yield f"{_rows(concerned)} {problem}: {concerned[0]}"


def _problems(row: Sequence[str]) -> Iterator[str]:
    """What a row may not be and is; none breaks two of the rules on probabilities."""
    _, scene, *cells = row
    if scene not in TAU_SCENES:
        yield "labelled with none of the ten scenes"
    try:
        probabilities = [float(cell) for cell in cells]
    except ValueError:
        yield "not of numbers"
        return
    if not all(0 <= value <= 1 for value in probabilities):  # NaN does not either
        yield "not of probabilities, which lie in [0, 1]"
    elif abs(sum(probabilities) - 1) > TOLERANCE:
        yield "not of probabilities with the sum 1"
    if scene in TAU_SCENES and probabilities[TAU_SCENES.index(scene)] < max(probabilities):
        yield "not labelled with the most probable scene"


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


def _rows(concerned: Sequence[object]) -> str:
    return f"{len(concerned):,} rows are" if len(concerned) > 1 else "a row is"

"""The folder of a submission -> nothing, or an error that names every rule of the challenge that it breaks."""

from collections.abc import Iterable
from pathlib import Path

from sedcrnn.errors import SubmissionError
from sedcrnn.submission.meta import check_meta_file
from sedcrnn.submission.output import check_output


def output_file(folder: Path) -> Path:
    """Where the predictions of the submission in a folder lie; the folder bears its label."""
    return folder / f"{folder.name}.output.csv"


def meta_file(folder: Path) -> Path:
    """Where the description of the submission in a folder lies; the folder bears its label."""
    return folder / f"{folder.name}.meta.yaml"


def check_submission(folder: Path, files: int) -> None:
    """Check both files of a submission.

    Args:
        folder: `task1/<label>`.
        files: how many files the evaluation set has.

    Raises:
        SubmissionError: there is no such folder, or it breaks rules.
    """
    if not folder.is_dir():
        raise SubmissionError(
            f"There is no folder {folder}",
            "A submission is a folder task1/<label> with <label>.output.csv and <label>.meta.yaml",
            "Check the path",
        )
    folder = folder.resolve()  # its name is the label, which a path like `.` does not tell
    output, meta = output_file(folder), meta_file(folder)
    broken = [f"{output.name}: {problem}" for problem in check_output(output, files)]
    broken += [f"{meta.name}: {problem}" for problem in check_meta_file(meta, folder.name)]
    refuse(broken, str(folder))


def refuse(broken: Iterable[str], what: str) -> None:
    """Raise an error of all broken rules, if there are any.

    Raises:
        SubmissionError: naming each.
    """
    told = [f"({number}) {problem}" for number, problem in enumerate(broken, start=1)]
    if told:
        raise SubmissionError(
            f"{what} breaks {len(told)} rule{'s' * (len(told) > 1)} of the challenge: {'; '.join(told)}",
            "A submission keeps the official form of DCASE 2021 Task 1B",
            "Correct these values",
        )

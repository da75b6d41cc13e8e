"""Predictions of DCASE 2021 Task 1B's evaluation set as the challenge's table, checked; or a check of such a table.

sedcrnn submit fusion data.root=<evaluation set> output=submission.output.csv
sedcrnn submit check=submission.output.csv
"""

from dataclasses import field
from pathlib import Path
from typing import Annotated

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.checking import missing
from sedcrnn.config.command_options import Calibrated, DataFolder, Device, RunName
from sedcrnn.config.values import CHECKED, Count, Name, PathName, Workers


@dataclass(config=CHECKED, kw_only=True)
class SubmitOptions:
    """Which network predicts what, or which table is checked."""

    run: RunName | None = None
    data: DataFolder = field(default_factory=DataFolder)
    output: Annotated[PathName, "The table that is written."] = "submission.output.csv"
    head: Annotated[Name | None, "Which head answers; null: the network's answer."] = None
    calibrated: Calibrated = False
    files: Annotated[Count, "Files in the evaluation set."] = 72_000
    batch_size: Annotated[Count, "Windows at a time."] = 32
    extraction_workers: Annotated[Workers, "Processes that make features."] = 2
    store: Annotated[PathName, "Where features are kept."] = "data/store"
    device: Device = "auto"
    check: Annotated[PathName | None, "A table to check; nothing else is done then."] = None


@command(SubmitOptions, words=["run"])
def main(options: SubmitOptions) -> None:
    """Make the table, or check a finished one."""
    if options.check is None:
        if options.run is None or options.data.root is None:
            raise missing("run" if options.run is None else "data.root")
        from sedcrnn.runs.outputs import check_place
        from sedcrnn.submission.challenge import submit

        check_place("output", options.output)
        submit(
            options.run,
            options.data.root,
            Path(options.output),
            options.head,
            options.calibrated,
            options.files,
            options.batch_size,
            options.extraction_workers,
            options.store,
            options.device,
        )
    else:
        from sedcrnn.submission.output import check_output

        check_output(Path(options.check), options.files)
    print(f"{options.check or options.output} keeps the rules of DCASE 2021 Task 1B, for {options.files:,} files.")


if __name__ == "__main__":
    main()

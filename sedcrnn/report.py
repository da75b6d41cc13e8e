"""What evaluated runs say, over seeds, as one HTML page; and, to publish them, as the tables of experiments/.

sedcrnn report
sedcrnn report seeds=0,1,2,3,4 publish=true
sedcrnn report wandb=sedcrnn
"""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.values import CHECKED, Flag, Name, PathName, Project, Seed


@dataclass(config=CHECKED, kw_only=True)
class ReportOptions:
    """Which runs are reported, and where."""

    runs: Annotated[PathName, "Folder of run folders."] = "runs"
    tables: Annotated[PathName | None, "Which experiments are rows of which table; null: experiments/tables.yaml."] = (
        None
    )
    seeds: Annotated[list[Seed] | None, "Seeds that every row should have; null: those that are there."] = None
    leave_out: Annotated[list[Name], "Names of run folders to ignore."] = field(default_factory=list)
    publish: Annotated[
        Flag | Literal["overwrite"],
        "Renew experiments/results.csv and the tables of experiments/README.md; overwrite: even if some are lost.",
    ] = False
    page: Annotated[PathName, "Written: the page."] = "runs/report.html"
    wandb: Annotated[
        Project | None, "Project of W&B that gets the page and results.csv as an artifact; null: none does."
    ] = None
    wandb_offline: Annotated[Flag, "Write files for `wandb sync`; false: send them now, which needs a key."] = True


@command(ReportOptions, words=["runs"])
def main(options: ReportOptions) -> None:
    """Report the runs, and list what was written."""
    from sedcrnn.reporting.report_files import write_report
    from sedcrnn.reporting.wandb_artifact import WandbReport
    from sedcrnn.runs.outputs import check_place

    check_place("page", options.page)
    written = write_report(
        Path(options.runs),
        Path(options.tables) if options.tables else None,
        options.seeds,
        options.leave_out,
        options.publish,
        Path(options.page),
        WandbReport(options.wandb, options.wandb_offline) if options.wandb else None,
    )
    print(*written, sep="\n")
    print(f"Next: open {options.page} in a browser")


if __name__ == "__main__":
    main()

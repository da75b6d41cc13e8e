"""The report on Weights & Biases: its page and results.csv, as an artifact of a run of their own."""

from pathlib import Path
from shutil import copyfile

from sedcrnn.errors import import_extra
from sedcrnn.runs.files import write_text
from sedcrnn.training.wandb_workspace import check_key

REPORT = "report"  # name of the W&B run and of the artifact, and what kind they are


class WandbReport:
    """Sends reports to a project; made before the report, so that what is lacking is known before the work.

    Raises:
        MissingExtraError: wandb is not installed.
        ConfigError: it has no key, and reports are to be sent at once.
    """

    def __init__(self, project: str, offline: bool) -> None:
        self.project, self.offline = project, offline
        self.wandb = import_extra("wandb", "wandb", "report wandb=<project> needs")
        if not offline:
            check_key(self.wandb, "leave wandb_offline=false out")

    def send(self, page: Path, results: str) -> None:
        """The page and the text of results.csv; offline, `wandb/` beside the page holds them for `wandb sync`."""
        mode = "offline" if self.offline else "online"
        own = {"dir": str(page.parent), "project": self.project, "mode": mode, "name": REPORT, "job_type": REPORT}
        with self.wandb.init(**own) as run:
            # Copies, so that they are sent as they are now, whenever that is.
            folder = Path(run.dir).with_name(REPORT)
            folder.mkdir()
            copyfile(page, folder / "report.html")
            write_text(folder / "results.csv", results)
            artifact = self.wandb.Artifact(REPORT, type=REPORT)
            artifact.add_dir(str(folder), policy="immutable", skip_cache=True)
            run.log_artifact(artifact)

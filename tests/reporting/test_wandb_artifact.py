"""The report as an artifact of a W&B run, offline: what is sent is the page and the table, to the byte."""

import base64
import hashlib
import sys
from pathlib import Path

import pytest

from sedcrnn import report as report_command
from sedcrnn.reporting.report_files import write_report
from sedcrnn.reporting.wandb_artifact import WandbReport
from tests.commands import exit_code
from tests.training.wandb_files import read_wandb

TABLES = Path(__file__).parent / "tables.yaml"


def digest(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content).digest()).decode()


def test_page_and_results_are_an_artifact_that_stays_as_it_was(
    runs: Path,
) -> None:
    pytest.importorskip("wandb")
    page = runs / "report.html"
    written = write_report(runs, TABLES, None, [], False, page, WandbReport("mine", offline=True))
    assert written == [page]
    (folder,) = (runs / "wandb").glob("offline-run-*")
    records = read_wandb(folder)
    begun = next(record.run for record in records if record.WhichOneof("record_type") == "run")
    assert (begun.project, begun.display_name, begun.job_type) == ("mine", "report", "report")
    (artifact,) = (one.artifact for one in records if one.WhichOneof("record_type") == "artifact")
    assert (artifact.name, artifact.type, list(artifact.aliases)) == ("report", "report", ["latest"])
    sent = {entry.path: entry for entry in artifact.manifest.contents}
    assert set(sent) == {"report.html", "results.csv"}
    assert sent["report.html"].digest == digest(page.read_bytes())
    assert sent["results.csv"].digest == digest((folder / "report" / "results.csv").read_bytes())
    lines = (folder / "report" / "results.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 5  # windows and clips of two audio, one visual and two fusion networks
    page.write_text("another")
    assert digest(Path(sent["report.html"].local_path).read_bytes()) == sent["report.html"].digest


def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command says when it refuses, in one line; nothing is written."""
    assert exit_code(monkeypatch, report_command, *words) != 0
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("project", ["me/mine", "a:b", "x" * 129])
def test_a_project_that_wandb_would_not_take_is_refused_with_what_it_takes(
    project: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(monkeypatch, capsys, f"wandb='{project}'")
    assert "The config value wandb is '" in said
    assert "the name of a W&B project: 1 to 128 characters, and none of / \\ # ? % :" in said


def test_without_the_package_the_extra_is_named_and_without_a_key_the_way_without_one(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = [f"runs={runs}", f"tables={TABLES}", f"page={tmp_path / 'page.html'}", "wandb=mine"]
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "wandb", None)
        said = refusal(without, capsys, *words)
    assert "report wandb=<project> needs the extra 'wandb' of sedcrnn" in said
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    said = refusal(monkeypatch, capsys, *words, "wandb_offline=false")
    assert "Weights & Biases has no API key" in said
    assert "leave wandb_offline=false out" in said
    assert not (tmp_path / "page.html").exists()

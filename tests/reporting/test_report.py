"""The command on run folders whose scores are known: its files to the letter, and nothing lost or half written."""

import csv
import shutil
from pathlib import Path

import pytest

from sedcrnn import report as report_command
from sedcrnn.errors import ConfigError
from sedcrnn.reporting.publishing import README, RESULTS, describe_changes, refuse_losses, standing
from sedcrnn.reporting.report_files import BEGIN, END
from sedcrnn.reporting.tables import project_tables, read_tables
from tests.commands import exit_code
from tests.reporting.conftest import AUDIO

HERE = Path(__file__).parent

# By hand, e.g. audio's log loss: (0.542099 + 0.474147) / 2, and their standard deviation. Its interval's ends are the
# means over scenes of the best and of the worst location of each.
TABLE = """\
### Networks

Data: toys, test fold, 8 windows of 1 s in 4 clips from 4 locations, 2 scenes. Checkpoints were selected on a part of \
the training fold that shares no location with the rest. A sentence.

|  | seeds | accuracy %, 1-s window | log loss, 1-s window | accuracy %, clip | log loss, clip |
|---|---:|---:|---:|---:|---:|
| Audio | 2 | 68.8 ± 8.8<br>37.5-100.0 | 0.508 ± 0.048<br>0.268-0.748 | 75.0 ± 0.0<br>50.0-100.0 \
| 0.494 ± 0.035<br>0.263-0.725 |
| Visual | 1 | 62.5<br>25.0-100.0 | 0.507<br>0.198-0.816 | 75.0<br>50.0-100.0 \
| 0.487<br>0.198-0.775 |
| Fusion | 2 | 93.8 ± 8.8<br>87.5-100.0 | 0.183 ± 0.110<br>0.105-0.261 | 100.0 ± 0.0<br>100.0-100.0 \
| 0.160 ± 0.078<br>0.105-0.215 |

Mean ± standard deviation over training seeds, where there are several.
Under each figure its 95 % interval from a bootstrap over locations (1000 times), which is about other places and not \
about other seeds.
Accuracy and log loss are means over scenes. A clip's prediction is the mean of the windows' probabilities.
Log losses are raw, of probabilities as the networks give them; the report's page has calibrated ones, too.
"""


@pytest.fixture
def arguments(tmp_path, monkeypatch) -> list[str]:
    """Of the command, for tables of audio, visual and fusion; the README in experiments/ has a table already."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    (tmp_path / README).write_text(f"Before.\n{BEGIN}\nold\n{END}\nAfter.\n")
    return [f"tables={HERE / 'tables.yaml'}", "page=report.html"]


def run(monkeypatch, arguments: list[str]) -> int:
    return exit_code(monkeypatch, report_command, *arguments)


def test_results_and_readme_are_to_the_letter(runs, arguments, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, [*arguments, "publish=true"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Networks: none before, 3 rows of 1 to 2 seeds now",
        *(str(RESULTS), str(README), "report.html"),
        "Next: open report.html in a browser",
    ]
    assert (tmp_path / RESULTS).read_text() == (HERE / "expected_results.csv").read_text()
    assert (tmp_path / README).read_text() == f"Before.\n{BEGIN}\n\n{TABLE}\n{END}\nAfter.\n"


def test_the_page_alone_is_written_unless_publishing_is_asked_for(runs, arguments, tmp_path, monkeypatch, capsys):
    before = (tmp_path / README).read_text()
    assert run(monkeypatch, arguments) == 0
    assert capsys.readouterr().out.splitlines() == ["report.html", "Next: open report.html in a browser"]
    assert (tmp_path / README).read_text() == before
    assert not (tmp_path / RESULTS).exists()


def test_the_same_runs_give_the_same_files(runs, arguments, tmp_path, monkeypatch):
    assert run(monkeypatch, [*arguments, "publish=true"]) == 0
    files = [tmp_path / name for name in (RESULTS, README, "report.html")]
    before = [file.read_bytes() for file in files]
    assert run(monkeypatch, [*arguments, "publish=true"]) == 0
    assert [file.read_bytes() for file in files] == before


def test_seeds_that_are_asked_for_are_lines_of_the_results(runs, arguments, tmp_path, monkeypatch):
    assert run(monkeypatch, [*arguments, "seeds=[0,5]", "publish=true"]) == 0
    with (tmp_path / RESULTS).open(newline="") as file:
        lines = [(line["row"], line["seed"], line["level"], line["state"]) for line in csv.DictReader(file)]
    assert lines[:4] == [
        ("Audio", "0", "window", "evaluated"),
        ("Audio", "0", "clip", "evaluated"),
        ("Audio", "5", "window", "missing"),
        ("Audio", "5", "clip", "missing"),
    ]
    assert len(lines) == 3 * 2 * 2


def test_what_was_published_is_not_lost_unless_that_is_asked_for(runs, arguments, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, [*arguments, "publish=true"]) == 0
    files = [tmp_path / name for name in (RESULTS, README)]
    before = [file.read_bytes() for file in files]
    (tmp_path / "report.html").unlink()
    shutil.rmtree(runs / "visual-s0-abcd")
    shutil.rmtree(runs / "fusion-s1-abcd")
    assert run(monkeypatch, [*arguments, "publish=true"]) == 1
    told = capsys.readouterr().err
    assert "would lose the row 'Visual' of 'Networks'; seed 1 of 'Fusion' in 'Networks'." in told
    assert "publish=overwrite" in told
    assert [file.read_bytes() for file in files] == before
    assert not (tmp_path / "report.html").exists()
    assert run(monkeypatch, [*arguments, "publish=overwrite"]) == 0
    assert "Networks: 3 rows of 1 to 2 seeds before, 2 rows of 1 to 2 seeds now" in capsys.readouterr().out
    assert b"Visual" not in files[0].read_bytes()


def test_a_table_that_would_be_gone_is_named_once():
    five = {label: {0, 1, 2, 3, 4} for label in ("Audio", "Fusion")}
    before, after = {"The paper's networks": five}, {"The demo": {"Audio": {0}}}
    with pytest.raises(ConfigError, match=r"would lose the table 'The paper's networks' \(2 rows of 5 seeds\)\. What"):
        refuse_losses(before, after)
    assert describe_changes(before, after) == [
        "The paper's networks: 2 rows of 5 seeds before, none now",
        "The demo: none before, 1 row of 1 seed now",
    ]
    refuse_losses(before, {**after, **before})
    refuse_losses({}, after)


def test_results_of_another_form_are_refused():
    with pytest.raises(ConfigError, match="is not what an earlier report published: KeyError 'state'"):
        standing("a,b\n1,2\n")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["runs=nowhere"], "There are no run folders in nowhere"),
        (["tables=nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["leave_out=[audio-s9]"], "leave_out names 'audio-s9'"),
        (["seeds=[7]"], "None of the 6 runs in"),
        (["sedes=[7]"], "nearest valid key is 'seeds'"),
        (["publish=overwite"], "publish"),
    ],
)
def test_mistakes_end_the_command_with_one_paragraph_and_write_nothing(
    more, expected, runs, arguments, tmp_path, monkeypatch, capsys
):
    before = (tmp_path / README).read_text()
    assert run(monkeypatch, [*arguments, "publish=true", *more]) == 1
    told = capsys.readouterr().err
    assert expected in told
    assert "Traceback" not in told
    assert not (tmp_path / RESULTS).exists()
    assert not (tmp_path / "report.html").exists()
    assert (tmp_path / README).read_text() == before


def test_a_readme_without_markers_is_refused(write_run, arguments, tmp_path, monkeypatch, capsys):
    write_run("audio", 0, AUDIO)
    (tmp_path / README).write_text("No markers.\n")
    assert run(monkeypatch, [*arguments, "publish=true"]) == 1
    assert "has no place for the tables" in capsys.readouterr().err
    (tmp_path / README).unlink()
    assert run(monkeypatch, [*arguments, "publish=true"]) == 1
    assert f"{README} does not exist" in capsys.readouterr().err
    assert not (tmp_path / RESULTS).exists()


def test_the_repository_has_a_place_for_the_table_and_names_experiments_that_exist():
    experiments = HERE.parents[1] / "experiments"
    assert (experiments / "README.md").read_text().count(BEGIN) == 1
    assert (experiments / "README.md").read_text().count(END) == 1
    assert project_tables() == experiments / "tables.yaml"
    specs = read_tables(experiments / "tables.yaml")
    listed = {row.experiment for spec in specs for row in spec.rows}
    assert {"audio", "visual_finetune", "fusion", "demo_audio", "demo_visual", "demo_fusion"} <= listed

"""Which runs share a row and a table, and how what is missing shows."""

import json
import math

import pytest

from sedcrnn.errors import CheckpointError, ConfigError
from sedcrnn.reporting.collection import collect
from sedcrnn.reporting.naming import name_variants
from sedcrnn.reporting.page import describe_data, find_warnings
from sedcrnn.reporting.table_grids import calibration_grid, cost_grid, gain_grid, results_grid
from sedcrnn.reporting.tables import RowSpec, TableSpec, read_tables
from tests.reporting.conftest import AUDIO, AUDIO_AGAIN, LATE, SPECS, VISUAL, score


def cells(grid, label: str) -> list[str]:
    (found,) = [row[1:] for row in grid.rows if row[0] == label]
    return list(found)


def test_scores_are_those_of_the_plainest_means(runs, tables_of):
    (table,) = tables_of(runs)
    for row, windows in zip(table.rows, (AUDIO, VISUAL, LATE), strict=True):
        for level in ("window", "clip"):
            expected, found = score(windows, level), row.runs[0].levels[level]
            assert found.scores["macro_accuracy"] == pytest.approx(expected["macro_accuracy"])
            assert found.scores["macro_log_loss"] == pytest.approx(expected["macro_log_loss"], rel=1e-7)
            assert found.confusion == expected["confusion"]
    audio = table.rows[0].runs[0]
    # 2 (1 - p)^2 of the windows: two of 0.36 at one clip, one at another, one of 0.62, four of 0.82
    assert audio.levels["window"].scores["brier_score"] == pytest.approx(2 * (3 * 0.64**2 + 0.38**2 + 4 * 0.18**2) / 8)
    # At temperature 2 an odds ratio becomes its square root.
    root = {p: math.sqrt(p / (1 - p)) for p in (0.36, 0.62, 0.82)}
    losses = {p: -math.log(odds / (1 + odds)) for p, odds in root.items()}
    expected = (3 * losses[0.36] + losses[0.62] + 4 * losses[0.82]) / 8
    assert audio.temperature == pytest.approx(2)
    assert audio.levels["window"].scores["scaled_macro_log_loss"] == pytest.approx(expected)


def test_missing_seeds_show_as_missing_and_n_is_told(runs, tables_of):
    (table,) = tables_of(runs, seeds=[0, 1, 2])
    grid = results_grid(table)
    assert cells(grid, "Visual")[0] == "1 of 3\nmissing: 1, 2"
    assert cells(grid, "Audio")[0] == "2 of 3\nmissing: 2"
    assert cells(grid, "Visual")[1].startswith("62.5\n")  # one seed: no spread
    assert cells(grid, "Audio")[1].startswith("68.8 ± 8.8\n")  # 62.5 and 75.0
    assert cells(gain_grid(table), "Fusion") == ["+25.0", "missing", "missing", "+25.0", "1"]
    assert "Seeds are missing in: Networks (3 of 3 rows)." in find_warnings([table])


def test_rows_are_evaluated_runs_and_nothing_else_asks_for_seeds(write_run, tables_of, tmp_path):
    write_run("audio", 0, AUDIO)
    write_run("audio", 1, None)
    write_run("visual", 2, None, status="running", config={"recipe": {"mixup_alpha": 0.0}})
    write_run("fusion", 3, LATE)
    old = write_run("audio", 4, AUDIO) / "evaluation" / "test" / "metrics.json"
    told = json.loads(old.read_text())
    old.write_text(json.dumps({**told, "of": {**told["of"], "schema_version": 3}}))
    (table,) = tables_of(tmp_path / "runs")
    assert [(row.label, list(row.runs), row.missing) for row in table.rows] == [
        ("Audio", [0], ()),
        ("Fusion", [3], ()),
    ]
    assert [row[1] for row in results_grid(table).rows] == ["1", "1"]
    assert find_warnings([table]) == []
    assert {run.folder.name: run.state for run in collect(tmp_path / "runs") if run.state != "evaluated"} == {
        "audio-s1-abcd": "not evaluated on the test fold",
        "audio-s4-abcd": "evaluated by another version; evaluate it again",
        "visual-s2-abcd": "unfinished",
    }


def test_only_seeds_that_are_asked_for_are_averaged(runs, tables_of):
    (table,) = tables_of(runs, seeds=[1])
    assert [(row.label, list(row.runs)) for row in table.rows] == [("Audio", [1]), ("Fusion", [1])]


def test_other_configs_are_rows_of_their_own_named_by_what_differs(write_run, tables_of, tmp_path):
    write_run("audio", 0, AUDIO)
    write_run("audio", 0, VISUAL, "audio-s0-other", config={"recipe": {"mixup_alpha": 0.0}})
    (table,) = tables_of(tmp_path / "runs")
    assert [(row.label, list(row.runs)) for row in table.rows][:2] == [
        ("Audio [mixup_alpha=0.0]", [0]),
        ("Audio [mixup_alpha=0.4]", [0]),
    ]
    assert table.rows[0].variant == "recipe.mixup_alpha=0.0"


def test_two_runs_of_one_config_and_seed_are_an_error_that_names_both(write_run, tables_of, tmp_path):
    write_run("audio", 0, AUDIO)
    write_run("audio", 0, AUDIO_AGAIN, "audio-s0-later")
    with pytest.raises(CheckpointError, match=r"audio-s0-abcd and .*audio-s0-later are both 'audio' with seed 0"):
        tables_of(tmp_path / "runs")
    (table,) = tables_of(tmp_path / "runs", leave_out=["audio-s0-later"])
    assert table.rows[0].runs[0].run.folder.name == "audio-s0-abcd"


def test_an_unfinished_run_beside_an_evaluated_one_changes_nothing(write_run, tables_of, tmp_path):
    write_run("audio", 0, AUDIO)
    write_run("audio", 0, None, "audio-s0-later", status="running")
    (table,) = tables_of(tmp_path / "runs")
    assert (list(table.rows[0].runs), table.rows[0].missing) == ([0], ())


def test_other_data_or_another_protocol_is_another_table(write_run, tables_of, tmp_path):
    authors = {"source": {"_target_": "Toys"}, "selection": "test_fold_as_the_authors_did", "validation_fraction": 0.15}
    write_run("audio", 0, AUDIO)
    write_run("fusion", 0, LATE, config={"data": authors})
    tables = tables_of(tmp_path / "runs")
    assert [table.title for table in tables] == [
        "Networks, toys, location disjoint",
        "Networks, toys, test fold as the authors did",
    ]
    (selected,) = [table for table in tables if table.data["selection"] != "location_disjoint"]
    grid = calibration_grid(selected)
    assert cells(grid, "Fusion")[0] == "-\nn = 0"  # of one run
    assert "Fusion, seed 0: its validation fold is the test fold" in grid.notes[-1]
    assert any("selected on the test fold" in line and "fusion-s0-abcd" in line for line in find_warnings(tables))


def test_another_fold_is_another_table(write_run, tables_of, tmp_path):
    write_run("audio", 0, AUDIO)
    moved = write_run("fusion", 0, LATE) / "evaluation" / "test" / "predictions.csv"
    moved.write_text(moved.read_text().replace("rome-2", "rome-3"))
    tables = tables_of(tmp_path / "runs")
    assert sorted([row.label for row in table.rows] for table in tables) == [["Audio"], ["Fusion"]]
    assert [table.title[:-1] for table in tables] == 2 * ["Networks, toys, location disjoint, 4 test clips, "]


def test_experiments_that_no_table_lists_have_a_table_of_their_own(write_run, tables_of, tmp_path):
    write_run("audio", 0, AUDIO)
    write_run("fusion", 0, LATE, "new-s0-abcd", name="new")
    listed, rest = tables_of(tmp_path / "runs")
    assert (listed.title, rest.title) == ("Networks", "Other runs")
    assert [row.label for row in rest.rows] == ["new"]


def test_a_row_may_be_a_head_that_is_not_the_answer(write_run, tables_of, tmp_path):
    write_run("fusion", 0, LATE)
    spec = TableSpec(title="Heads", rows=[RowSpec("fusion", "Early", head="early"), RowSpec("fusion", "Late")])
    (table,) = tables_of(tmp_path / "runs", [spec])
    grid = cost_grid(table)
    assert cells(grid, "Early") == ["3,000", "-", "-", "-"]
    assert cells(grid, "Late") == ["4,000", "900", "0.00", "1.5"]
    with pytest.raises(ConfigError, match=r"has no head 'erly'.*nearest is 'early'"):
        tables_of(tmp_path / "runs", [TableSpec(title="Heads", rows=[RowSpec("fusion", "Early", head="erly")])])


def test_without_validation_there_is_no_temperature_and_it_says_so(write_run, tables_of, tmp_path):
    run = write_run("audio", 0, AUDIO)
    (run / "evaluation" / "validation" / "metrics.json").unlink()
    (table,) = tables_of(tmp_path / "runs")
    assert cells(calibration_grid(table), "Audio")[2] == "-"
    assert "Audio, seed 0: its validation fold is not evaluated" in calibration_grid(table).notes[-1]
    assert "scaled_macro_log_loss" not in table.rows[0].runs[0].levels["window"].scores


def test_validation_of_other_weights_is_not_taken(write_run, tables_of, tmp_path):
    run = write_run("audio", 0, AUDIO)
    path = run / "evaluation" / "validation" / "metrics.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "of": {**told["of"], "checkpoint": "others"}}))
    (table,) = tables_of(tmp_path / "runs")
    assert table.rows[0].runs[0].temperature is None


def test_chance_is_shown_where_a_table_asks_for_it(write_run, tables_of, tmp_path):
    write_run("audio", 0, AUDIO)
    spec = TableSpec(title="Control", rows=[RowSpec("audio", "Shuffled")], chance=True)
    (table,) = tables_of(tmp_path / "runs", [spec])
    assert cells(results_grid(table), "Chance") == ["-", "50.0", "0.693", "50.0", "0.693"]


def test_warnings_name_commits_changes_and_versions(write_run, tables_of, tmp_path):
    write_run("audio", 0, AUDIO)
    write_run("audio", 1, AUDIO, git_commit="fedcba9876543210-dirty", versions={"torch": "2.12.0"})
    write_run("audio", 2, AUDIO, git_commit=None)
    write_run("audio", 3, None, status="running")
    told = "\n".join(find_warnings(tables_of(tmp_path / "runs")))
    assert "different commits: 0123456789, None, fedcba9876-dirty." in told
    assert "Files differed from the commit when these were trained: audio-s1-abcd." in told
    assert "outside a git checkout, so the commit is not known: audio-s2-abcd." in told
    assert "different versions of torch: 2.12.0, 2.13.0." in told
    assert "audio-s3" not in told


def test_runs_of_one_commit_and_whole_seeds_need_no_warning(write_run, tables_of, tmp_path):
    for kind, windows in (("audio", AUDIO), ("visual", VISUAL), ("fusion", LATE)):
        write_run(kind, 0, windows)
    assert find_warnings(tables_of(tmp_path / "runs")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tables: [{title: A, rows: [{experiment: a, label: A}], reference: b}]", "names 'b'.*nearest is 'a'"),
        ("tables: [{title: A, rows: [{experiment: a, label: A}], single_modality: [c]}]", "names 'c'"),
        (
            "tables: [{title: A, rows: [{experiment: a, label: A, published: lat}]}]",
            "published is 'lat'.*nearest is 'late'",
        ),
        ("tables: [{title: A, rows: [{experiment: a, labl: A}]}]", "'labl'.*'label'"),
        ("tables: [{title: A, rows: [{experiment: a, label: A}], refrence: a}]", "'refrence'.*'reference'"),
        ("tables: [{title: A, rows: [{experiment: a, label: A}], chance: 3}]", "chance is 3"),
        ("tables: [{title: A, rows: [{experiment: a}]}]", "label"),
        ("tables: [{title: A", "cannot be read"),
        ("- title: A", "does not list tables"),
    ],
)
def test_mistakes_in_tables_yaml_are_errors_that_name_them(text, expected, tmp_path):
    path = tmp_path / "tables.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=expected):
        read_tables(path)


def test_a_missing_tables_yaml_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="tables=<file>"):
        read_tables(tmp_path / "tables.yaml")


def test_own_recordings_go_by_the_name_of_their_folder(write_run, tables_of, tmp_path):
    own = {"data": {"name": "folder", "digest": "d"}, "init_from": {}}
    data = {"source": {"_target_": "Folder"}, "selection": "location_disjoint", "root": str(tmp_path / "my kitchen")}
    write_run("audio", 0, AUDIO, "audio-s0-own", config={"data": data}, inputs=own, metrics=None)
    write_run("audio", 0, AUDIO)
    tables = tables_of(tmp_path / "runs")
    assert sorted(table.title for table in tables) == ["Networks", "my kitchen"]
    (found,) = [table for table in tables if table.title != "Networks"]
    assert describe_data(found).startswith("Data: my kitchen, test fold")
    twice = tables_of(tmp_path / "runs", [*SPECS, TableSpec("Choices", [RowSpec("audio", "Audio")])])
    assert sorted(table.title for table in twice) == [
        "Choices",
        "Networks",
        "my kitchen: Choices",
        "my kitchen: Networks",
    ]


def test_a_city_that_is_held_out_stands_in_titles_after_the_name_as_pooled_cities_do(write_run, tables_of, tmp_path):
    data = {"source": {"_target_": "Manifest"}, "selection": "location_disjoint", "root": str(tmp_path / "my kitchen")}
    for city, name in (("oslo", "manifest, oslo held out"), ("rome", "manifest, rome held out"), ("all", "manifest")):
        about = {"data": {"name": name, "digest": city}, "init_from": {}}
        config = {"data": {**data, "folds_seed": 0, "leave_out_city": city}}
        pooled = {"pooled": "2 cities"} if city == "all" else {}
        write_run("audio", 0, AUDIO, f"audio-s0-{city}", config=config, inputs=about, **pooled)
    of_others = {"data": {"name": "tau2021, oslo held out", "digest": "d"}, "init_from": {}}
    write_run("audio", 0, AUDIO, "audio-s0-tau", config={"data": {**data, "leave_out_city": "oslo"}}, inputs=of_others)
    tables = tables_of(tmp_path / "runs")
    own = ["my kitchen, 2 cities", "my kitchen, oslo held out", "my kitchen, rome held out"]
    assert sorted(table.title for table in tables) == ["Networks", *own]
    described = sorted(describe_data(table).partition(", test fold")[0] for table in tables)
    assert described == [*(f"Data: {title}" for title in own), "Data: tau2021, oslo held out"]


def test_names_are_short_and_distinguish():
    plain = {"a.b.lr": "0.1", "a.b.size": "8", "init_from.encoder": "/far/away/vgg16.safetensors", "same": "1"}
    other = {**plain, "a.b.lr": "0.2", "a.b.size": "16"}
    third = {**other, "a.b.early._target_": "my.fusion.Gated", "init_from.encoder": "/far/off/resnet.safetensors"}
    assert [name for name, _ in name_variants([plain])] == [""]
    assert name_variants([plain, other]) == [
        ("lr=0.1", "a.b.lr=0.1, a.b.size=8"),
        ("lr=0.2", "a.b.lr=0.2, a.b.size=16"),
    ]
    names = [name for name, _ in name_variants([plain, other, third])]
    assert names == [
        "lr=0.1, encoder=vgg16.safetensors",
        "lr=0.2, encoder=vgg16.safetensors",
        "lr=0.2, encoder=resnet.safetensors",
    ]
    gated = {**plain, "a.b.early._target_": "my.fusion.Gated"}
    assert [name for name, _ in name_variants([plain, gated])] == ["early=absent", "early=Gated"]
    # Ends of paths that are alike do not distinguish.
    moved = {**plain, "init_from.encoder": "/other/vgg16.safetensors"}
    assert name_variants([plain, moved])[1][0] == "init_from.encoder=/other/vgg16.safetensors"

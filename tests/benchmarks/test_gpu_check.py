"""The check of a GPU in its smallest form, on the CPU: every figure is made, and what fails is recorded."""

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sedcrnn.benchmarks import gpu_check
from sedcrnn.benchmarks.gpu_check import RESULTS, Check, table
from sedcrnn.benchmarks.gpu_figures import FIGURES
from sedcrnn.benchmarks.gpu_worker import Worker


def run(out: Path, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sedcrnn.benchmarks.gpu_check", "--out", str(out), "--no-tests", "--tiny"]
    given = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    return subprocess.run([*command, *arguments], env=given, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_figure_is_made_and_positive(tmp_path: Path) -> None:
    done = run(tmp_path, "--budget", "800")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads((tmp_path / RESULTS).read_text())
    assert report["figures"].keys() == FIGURES.keys()
    numbers = 0
    for name, figure in report["figures"].items():
        assert figure["status"] == "done", name
        assert figure["rows"], name
        for row in figure["rows"]:
            values = [value for value in row.values() if not isinstance(value, str)]
            assert values
            assert all(value > 0 for value in values), row
            numbers += len(values)
    assert numbers > 150
    text = (tmp_path / RESULTS).with_suffix(".md").read_text()
    assert text in done.stdout
    for figure in report["figures"].values():
        assert f"### {figure['title']}\n" in text


def test_what_has_no_time_is_not_run_and_no_failure(tmp_path: Path) -> None:
    done = run(tmp_path, "--budget", "1", "--only", "step: audio, ")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / RESULTS).read_text())
    assert [figure["status"] for figure in report["figures"].values()] == ["not run"] * 3


class Told(Worker):
    """Says what it is told to instead of measuring."""

    answers: dict[str, list[tuple[str, Any]]] = {}  # noqa: RUF012
    started = 0

    def __init__(self) -> None:
        Told.started += 1

    def describe(self) -> tuple[dict[str, Any], dict[str, tuple[str, float]]]:
        return {"gpu": "", "torch": "torch 2"}, dict.fromkeys(self.answers, ("Speed", 9.0))

    def make(self, name: str, tiny: bool, seconds: float) -> list[tuple[str, Any]]:
        return self.answers[name]

    def stop(self) -> None:
        pass


def test_a_failure_costs_no_other_figure_and_stands_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {"status": "failed: OutOfMemoryError: CUDA", "traceback": "line 3"}
    monkeypatch.setattr(gpu_check, "Worker", Told)
    monkeypatch.setattr(Told, "started", 0)
    monkeypatch.setattr(
        Told,
        "answers",
        {
            "first": [("row", {"stage": "a", "ms": 1.5}), ("end", {"status": "done"})],
            "second": [("row", {"stage": "b", "ms": 2500.0}), ("end", failed)],
            "third": [("row", {"stage": "c", "ms": 0.5, "GB": 3}), ("end", {"status": "done"})],
        },
    )
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--out", str(tmp_path), "--no-tests"])
    with pytest.raises(SystemExit) as ended:
        gpu_check.main()
    assert ended.value.code == 1
    assert Told.started == 2  # a new process after the failure
    report = json.loads((tmp_path / RESULTS).read_text())
    assert [figure["status"] for figure in report["figures"].values()] == ["done", failed["status"], "done"]
    assert report["figures"]["second"]["traceback"] == "line 3"
    assert report["figures"]["second"]["rows"] == [{"stage": "b", "ms": 2500.0}]
    assert (tmp_path / RESULTS).with_suffix(".md").read_text().splitlines()[3:] == [
        "### Speed",
        "",
        "| stage | ms | GB |",
        "| --- | ---: | ---: |",
        "| a | 1.5 |  |",
        "| b | 2,500 |  |",
        "| c | 0.5 | 3 |",
        "",
        f"- second: {failed['status']}",
    ]


def test_a_process_that_dies_or_hangs_is_a_failure_and_errors_come_with_their_traceback() -> None:
    worker = Worker()
    machine, figures = worker.describe()
    assert machine["torch"].startswith("torch 2.")
    assert machine["start"] == f"processes by {multiprocessing.get_start_method()}"  # which load as those of `train`
    assert figures["front end"][0].startswith("Gammatone banks")
    ((kind, ended),) = worker.make("no such figure", True, 60)
    assert (kind, ended["status"]) == ("end", "failed: KeyError: 'no such figure'")
    assert "Traceback" in ended["traceback"]
    ((_, ended),) = worker.make("compiled: audio, 256", False, 0.1)
    assert ended["status"] == "failed: not done after 0 s"
    worker.process.kill()
    worker.process.join()
    died = list(worker.make("ceilings", True, 60))
    assert died == [("end", {"status": "failed: the process ended with -9"})]
    worker.stop()


def test_what_tests_measured_is_read_from_their_report(tmp_path: Path) -> None:
    test = tmp_path / "test_one.py"
    test.write_text("def test_a_bank(record_property):\n    record_property('largest error in dB', 1.5e-3)\n")
    command = [sys.executable, "-m", "pytest", str(test), "-p", "no:cacheprovider", "-o", "junit_family=xunit1"]
    subprocess.run([*command, f"--junitxml={tmp_path / 'tests.xml'}"], cwd=tmp_path, check=True, capture_output=True)
    found = gpu_check.measured(tmp_path / "tests.xml")
    assert found == [{"test": "test a bank", "measured": "largest error in dB", "value": 1.5e-3}]
    assert gpu_check.measured(tmp_path / "absent.xml") == []


def test_a_table_has_a_column_for_every_key() -> None:
    assert table([{"bank": "a", "ms": 12345.6}, {"bank": "b", "s": 2}]).splitlines() == [
        "| bank | ms | s |",
        "| --- | ---: | ---: |",
        "| a | 12,346 |  |",
        "| b |  | 2 |",
    ]


def test_tests_that_ran_are_recorded_even_when_time_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    passed, failed = "PASSED tests/gpu/test_a.py::test_one[audio, x] ", "FAILED tests/gpu/test_a.py::test_b"
    lines = [f"[gw0] [ 50%] {passed}", f"[gw1] [ 99%] {failed}"]
    script.write_text("\n".join(["#!/bin/sh", *(f"echo '{line}'" for line in lines), "exec sleep 60"]))
    script.chmod(0o755)
    monkeypatch.setattr(gpu_check, "Worker", Told)
    monkeypatch.setattr(sys, "executable", str(script))
    check = Check(tmp_path, tiny=True, budget=100)
    check.run_tests(2)
    tests = check.report["tests"]
    assert tests["status"] == "failed: not done after 2 s"
    assert tests["results"] == {
        "tests/gpu/test_a.py::test_one[audio, x]": "passed",
        "tests/gpu/test_a.py::test_b": "failed",
    }
    assert check.failures() == ["tests"]
    assert "1 failed, 1 passed" in check.tables()
    assert "- tests/gpu/test_a.py::test_b" in check.tables()

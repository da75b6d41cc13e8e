"""Everything that only a GPU can answer, in one command: the tests marked `gpu`, then figures of its speed.

python -m sedcrnn.benchmarks.gpu_check --out <folder>     (make check-gpu; docs/gpu.md)

Writes results.json, anew after every figure, and the same as tables in Markdown beside it. A figure that fails, hangs
or takes the process with it is recorded as failed, and the others are made all the same. Without a GPU it runs at the
smallest size, on the CPU.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import sedcrnn
from sedcrnn.benchmarks.gpu_worker import Report, Worker
from sedcrnn.runs.files import write_json, write_text

RESULTS = "results.json"
PROJECT = Path(sedcrnn.__file__).parents[1]

# A result of `pytest --verbose` under xdist: there as soon as the test has ended.
_RESULT = re.compile(r"^\[gw\d+\].*? (PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS) (tests/.*?)\s*$", re.MULTILINE)


def main() -> None:
    """Run, print what is going on, and exit with 1 if anything failed."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    check = Check(options.out, options.tiny, options.budget)
    if options.tests:
        check.run_tests(options.test_seconds)
    check.make_figures(options.only)
    print(check.tables(), flush=True)
    sys.exit(1 if check.failures() else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sedcrnn.benchmarks.gpu_check", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu-check"), help="folder of what is written")
    parser.add_argument(
        "--budget", type=float, default=660, help="seconds; figures that have not begun then are left out"
    )
    parser.add_argument("--test-seconds", type=float, default=170, help="of the budget, for the tests")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, once, as without a GPU")
    parser.add_argument("--no-tests", dest="tests", action="store_false", help="figures alone")
    parser.add_argument(
        "--only", action="append", default=[], help="figures whose names contain this; may be given again for others"
    )
    return parser.parse_args()


class Check:
    """What has been found so far, in memory and in the folder."""

    def __init__(self, out: Path, tiny: bool, budget: float) -> None:
        self.out, self.started, self.budget = out, time.monotonic(), budget
        self.worker = Worker()
        self.about, self.names = self.worker.describe()
        self.tiny = tiny or not self.about["gpu"]
        self.report: Report = {"machine": self.about, "tiny": self.tiny, "tests": {}, "figures": {}}
        print(f"{self._machine()}{'. No GPU: the smallest sizes' if not self.about['gpu'] else ''}", flush=True)

    @property
    def left(self) -> float:
        """Seconds of the budget."""
        return self.budget - (time.monotonic() - self.started)

    def run_tests(self, seconds: float) -> None:
        """Run the tests marked `gpu` in several processes, and record the result of each."""
        log, junit = self.out / "tests.log", self.out / "tests.xml"
        junit.unlink(missing_ok=True)
        processes = max(1, min(8, (os.cpu_count() or 1) // 2))
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/gpu", "--verbose", f"--numprocesses={processes}"]
        command += ["--dist=worksteal", "--timeout=120", "--durations=15", "--color=no", "-p", "no:cacheprovider"]
        command += [f"--junitxml={junit.resolve()}", "-o", "junit_family=xunit1"]
        started = time.monotonic()
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "2",
            "TORCHINDUCTOR_COMPILE_THREADS": "4",
            "PYTHONUNBUFFERED": "1",
        }
        with log.open("w") as file:
            process = subprocess.Popen(
                command, cwd=PROJECT, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                code = process.wait(timeout=max(1, min(seconds, self.left)))
                status = "done" if code == 0 else f"failed: pytest exits with {code}"
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)  # upon which it reports what it has
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=10)
                status = f"failed: not done after {seconds:.0f} s"
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what is left of its processes
            process.wait()
        text = log.read_text()
        results = {name: outcome.lower() for outcome, name in _RESULT.findall(text)}
        taken = time.monotonic() - started
        _, _, ending = text.rpartition("= FAILURES =")
        self.report["tests"] = {"status": status, "seconds": taken, "results": results, "log": ending[-30_000:]}
        self.report["tests"]["measured"] = measured(junit)
        self._save(f"tests: {status}, {len(results)} results")

    def make_figures(self, only: Sequence[str]) -> None:
        """Make the figures in their order, as long as there is time: all, or those whose names contain one of these."""
        figures = self.report["figures"]
        chosen = {name: about for name, about in self.names.items() if any(map(name.__contains__, only or [""]))}
        for name, (title, _) in chosen.items():
            figures[name] = {"title": title, "status": "not run", "rows": []}
        for name, (_, seconds) in chosen.items():
            own = seconds * (5 if self.tiny else 1)  # a CPU takes its time
            limit = min(own, self.left)
            if limit < 5:
                continue
            started = time.monotonic()
            for kind, value in self.worker.make(name, self.tiny, limit):
                if kind == "row":
                    figures[name]["rows"].append(value)
                else:
                    figures[name] |= value
            figures[name]["seconds"] = time.monotonic() - started
            failed = figures[name]["status"].startswith("failed")
            if failed and self.left <= 0 and limit < own:  # it may have had too little time
                figures[name]["status"] = f"not done in the {limit:.0f} s that were left"
            self._save(f"{name}: {figures[name]['status']}")
            if failed:
                self.worker.stop()  # whatever state the device is in goes with it
                self.worker = Worker()
        self._save("all done" if not self.failures() else f"failed: {', '.join(self.failures())}")
        self.worker.stop()

    def failures(self) -> list[str]:
        """Names of what failed."""
        parts = {"tests": self.report["tests"], **self.report["figures"]}
        return [name for name, part in parts.items() if part.get("status", "").startswith("failed")]

    def _save(self, said: str) -> None:
        write_json(self.out / RESULTS, self.report | {"seconds": time.monotonic() - self.started})
        write_text((self.out / RESULTS).with_suffix(".md"), self.tables())
        print(f"[{time.monotonic() - self.started:4.0f} s, {self.left:4.0f} s left] {said}", flush=True)

    def _machine(self) -> str:
        return ", ".join(str(value) for value in self.about.values() if value)

    def tables(self) -> str:
        """What was found as Markdown."""
        parts = [f"{self._machine()}.\n"]
        if tests := self.report["tests"]:
            outcomes = list(tests["results"].values())
            counted = ", ".join(f"{outcomes.count(one)} {one}" for one in sorted(set(outcomes)))
            wrong = [name for name, outcome in tests["results"].items() if outcome in ("failed", "error")]
            parts.append(f"Tests marked `gpu`: {counted or 'none'} in {tests['seconds']:.0f} s ({tests['status']}).\n")
            parts += [f"- {name}\n" for name in wrong]
            parts += ["\n### What the tests measured\n", table(tests["measured"])] if tests["measured"] else []
        for title, group in groupby(self.report["figures"].items(), lambda item: item[1]["title"]):
            figures = dict(group)
            rows = [row for figure in figures.values() for row in figure["rows"]]
            parts.append(f"\n### {title}\n")
            parts += [table(rows)] if rows else []
            parts += [f"- {name}: {one['status']}\n" for name, one in figures.items() if one["status"] != "done"]
        return "\n".join(parts)


def measured(file: Path) -> list[dict[str, Any]]:
    """What tests recorded as their properties, from pytest's report, which is there if pytest came to its end."""
    if not file.is_file():
        return []
    cases = ElementTree.parse(file).getroot().iter("testcase")
    found = [
        (case.get("name", ""), one.get("name"), one.get("value", "")) for case in cases for one in case.iter("property")
    ]
    return [{"test": test.replace("_", " "), "measured": name, "value": float(value)} for test, name, value in found]


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown, with a column for every key."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    numbers = [any(isinstance(row.get(column), float | int) for row in rows) for column in columns]
    lines = [columns, ["---:" if number else "---" for number in numbers]]
    lines += [[_cell(row.get(column, "")) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(value: str | int | float) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    main()

"""Random overrides and edits of small files through the real commands: each is answered in words, or works.

python -m tests.fuzz.configs [number] [seed] [kind]     (make fuzz)

Stages are trained up to their first step. What ends in a traceback is a fault, and so is what a stage tells only after
it has touched its data, though it could have been known before. Both are printed with what leads to them.
"""

import importlib
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

from sedcrnn.config.checking import dotted_keys
from sedcrnn.config.composition import CONF, choices, compose
from tests.fuzz.in_process import run
from tests.fuzz.small_set import NETWORKS, SmallSet, make_small_set

Case = tuple[str, list[str]]  # a command, and its arguments

# Keys whose values decide where is written and how many processes start, or take hours to be right.
LEFT_OUT = ("data.root", "data.source.root", "store", "runs", "page", "trainer.devices", "trainer.num_nodes")
NUMBERS = """-1 0 1 2 3 0.5 -0.5 1.0 1.5 nan inf -inf 1e400 1e-400 1e30 99999999999999999999999 1_000 0x10 1e3 +1 .5
5.""".split()  # noqa: SIM905 - nobody could read the list
OTHERS = """abc null [] [a,b] [1,2] [null] {} {a:1} {a:{b:c}} true false '' "x" 'x "[1, ${ ${nope} ${oc.env:NOPE}
${nope:1} a,b é 日本 ??? yes ~ - = == % # !a 00 [[1]] [nan] a=b a:b (a) choice(1,2) range(1) \\ \\' $x /tmp ../.. . adam
float64 cuda tpu""".split()  # noqa: SIM905
OTHERS += ["", " ", "a b", "x" * 5000, "9" * 5000, "[" * 300, "\udcff", "\t", "a\nb"]
GROUPS = ("model", "recipe", "data", "features", "logger", "callbacks", "debug", "network")
ENDS = (b"\ndefaults: 3\n", b"\n? [a]\n: b\n", b"\n1: 2\n", b"\n<<: 3\n", b"\n...\nx", b"\n---\na: 1\n")
WHOLES = (b"", b"[1, 2]", b"a", b"3", b"null", b"{}", b"- a\n- b\n", b"\xff\xfe", b"[" * 3000, b"{" * 500, b"\0" * 99)


def value(rng: random.Random) -> str:
    """A value that is seldom right."""
    return rng.choice(NUMBERS if rng.random() < 0.5 else OTHERS)


def override(rng: random.Random, small: SmallSet) -> Case:
    """A stage with one or two random overrides."""
    arguments = small.stage(rng.choice([*NETWORKS]))
    keys = [key for key in dotted_keys(compose("train", arguments)) if key not in LEFT_OUT]
    for _ in range(rng.choice((1, 1, 2))):
        key, one, kind = rng.choice(keys), value(rng), rng.randrange(12)
        if kind < 8:
            arguments.append(f"{key}={one}")
        elif kind == 8:
            arguments.append(rng.choice((f"~{key}", f"+{key}.new={one}", f"++{key}={one}", f"{key[:-1]}={one}")))
        elif kind == 9:
            group = rng.choice(GROUPS)
            arguments.append(f"{group}={rng.choice([*choices(group), one])}")
        elif kind == 10:
            arguments.append(rng.choice((one, f"--{one}", f"{one}=1", f"={one}", f"hydra.{one}=1", f"{key}@{one}")))
        else:
            target = rng.choice(("os.system", "abc", "torch.nn.Linear", "a.b", one))
            arguments.append(f"{rng.choice(keys)}._target_={target}")
    return "train", arguments


def other_command(rng: random.Random, small: SmallSet) -> Case:
    """Another command with a random value."""
    folder = small.folder
    trained = f"run={min((folder / 'runs').glob('audio-s0-*'))}"
    given = {
        "evaluate": [trained, f"store={folder}/store"],
        "report": [f"runs={folder}/runs", f"page={folder}/page.html"],
        "predict": [trained, small.clip],
        "data": ["check", *small.data],
        "extract": [*small.data, "features=small", "only=spectrogram", f"store={folder}/store"],
        "inspect": [small.clip, f"output={folder}/a.png", "features=small"],
        "summary": ["model=audio"],
        "submit": [trained, f"data.root={folder}/data", f"output={folder}/submission.csv", "files=3"],
        "weights": ["list"],
    }
    command = rng.choice([*given])
    importlib.import_module(f"sedcrnn.{command}")  # which registers its options
    kept = ("output", "store", "page")  # what is written stays in the folder
    keys = [key for key in (*dotted_keys(compose(command)), "files", "x") if key not in kept]
    return command, [*given[command], f"{rng.choice(keys)}={value(rng)}"]


def edited(rng: random.Random, content: bytes) -> bytes:
    """A small file with a random edit."""
    lines, at = content.splitlines(keepends=True) or [b""], rng.randrange(len(content) + 1)
    place = rng.randrange(len(lines))
    match rng.randrange(12):
        case 0:
            return content[:at]
        case 1:
            del lines[place]
        case 2:
            lines.insert(place, lines[place])
        case 3:
            lines[place] = rng.choice((b" ", b"  ", b"\t")) + lines[place]
        case 4:
            lines[place] = lines[place].lstrip()
        case 5:
            lines[place] = lines[place].partition(b":")[0] + b": " + value(rng).encode(errors="replace") + b"\n"
        case 6:
            return content[:at] + bytes([rng.choice(b":[]{}&*!|>'\"%@#\t,-?\x00\xff\xc3")]) + content[at + 1 :]
        case 7:
            return bytes(rng.randrange(256) for _ in range(200))
        case 8:
            return rng.choice(WHOLES)
        case 9:
            return b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n")
        case 10:
            return content + rng.choice(ENDS)
        case _:
            rng.shuffle(lines)
    return b"".join(lines)


def edit(rng: random.Random, small: SmallSet) -> Case:
    """A stage with an edited file in a folder of the user's: an experiment, a recipe, a data set, this machine's."""
    own, experiment = small.folder / "own", rng.choice([*NETWORKS])
    shutil.rmtree(own, ignore_errors=True)
    arguments = small.stage(experiment)
    here = b"# @package _global_\nstore: data/store\nruns: runs\ntrainer:\n  max_epochs: 3\nseed: 1\n"
    files = {"experiment": experiment, "recipe": "default", "data": "tau2021", "local": ""}
    group = rng.choice([*files])
    content = (CONF / group / f"{files[group]}.yaml").read_bytes() if files[group] else here
    file = own / group / ("mine.yaml" if files[group] else "default.yaml")
    file.parent.mkdir(parents=True)
    file.write_bytes(edited(rng, content))
    if files[group]:
        arguments = [one for one in arguments if not one.startswith(f"{group}=")] + [f"{group}=mine"]
    return "train", ["--config-dir", str(own), *arguments]


def damaged_run(rng: random.Random, small: SmallSet) -> Case:
    """A command among runs, one of which has an edited file."""
    runs = small.folder / "damaged"
    shutil.rmtree(runs, ignore_errors=True)
    shutil.copytree(small.folder / "runs", runs)
    chosen = rng.choice(sorted(run.parent for run in runs.glob("*/evaluation")))
    names = ("config.yaml", "record.json", "record.json", "metrics.csv", "test/metrics.json", "latency.json")
    name = rng.choice(names)
    file = chosen / name if (chosen / name).is_file() else chosen / "evaluation" / name
    file.write_bytes(edited(rng, file.read_bytes()))
    cases: list[Case] = [
        ("report", [f"runs={runs}", f"page={small.folder}/page.html"]),
        ("evaluate", [f"run={chosen}", f"store={small.folder}/store"]),
        ("train", [*small.stage("audio"), f"runs={runs}", f"seed={rng.randrange(2)}"]),
        ("predict", [f"run={runs}/audio", small.clip]),
    ]
    return rng.choice(cases)


def manifest(rng: random.Random, small: SmallSet) -> Case:
    """A check of a data set with an edited list."""
    root = small.folder / "data"
    videos = sorted(file.name for file in (root / "video").iterdir())
    rows = [f"video/{name},{name.partition('-')[0]},g{number}" for number, name in enumerate(videos)]
    (root / "list.csv").write_bytes(edited(rng, "\n".join(["video,label,group", *rows]).encode()))
    return "data", ["check", "data=manifest", f"data.root={root}", "data.source.manifest=list.csv"]


# Kind -> how many of a hundred.
KINDS: dict[Callable[[random.Random, SmallSet], Case], int] = {
    override: 40, edit: 25, damaged_run: 15, other_command: 12, manifest: 8,
}  # fmt: skip


def cases(number: int, seed: int, small: SmallSet, only: str = "") -> Iterator[tuple[str, str, list[str]]]:
    """Kind, command and arguments; files are written as each is asked for."""
    rng = random.Random(seed)
    kinds = {kind: weight for kind, weight in KINDS.items() if kind.__name__.startswith(only)}
    for _ in range(number):
        kind = rng.choices([*kinds], [*kinds.values()])[0]
        yield (kind.__name__, *kind(rng, small))


def main(words: list[str]) -> int:
    """Print the faults; exit code 1 where there are any."""
    number, seed, only, *_ = [*words, *("500", "0", "")[len(words) :]]
    started, faults, ends = time.monotonic(), 0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        small = make_small_set(Path(folder))
        for kind, command, arguments in cases(int(number), int(seed), small, only):
            outcome = run(command, arguments)
            ends[f"{kind}: {outcome.code}"] += 1
            if outcome.fault:
                faults += 1
                own = [one for one in arguments if one not in small.stage("audio")]
                print(f"{kind}: {command} {own}\n  {outcome.fault}".encode(errors="replace").decode(), flush=True)
    print(f"{number} in {time.monotonic() - started:.0f} s, {faults} faults; kinds and exit codes: {dict(ends)}")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

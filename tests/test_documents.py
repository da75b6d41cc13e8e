"""What documents, configs and code cite exists: documents, links, commands, config keys, choices and make's targets."""

import csv
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from omegaconf import DictConfig

from sedcrnn.__main__ import commands
from sedcrnn.config.checking import dotted_keys
from sedcrnn.config.composition import CONF, choices, compose

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "experiments" / "README.md"])
CITING = [
    *DOCUMENTS,
    *(path for folder in ("sedcrnn", "conf", "experiments") for path in sorted((ROOT / folder).rglob("*.*"))),
    *(path for path in sorted((ROOT / "tests").rglob("*.py")) if path != Path(__file__)),
    ROOT / "Makefile",
    ROOT / "pyproject.toml",
]
# Choices that documents show the files of, as in `# my_conf/data/named.yaml`.
SHOWN = {
    shown
    for path in DOCUMENTS
    for shown in re.findall(r"^# my_conf/([\w/]+)\.yaml$", path.read_text(encoding="utf-8"), re.MULTILINE)
}
MANDATORY = {"train": ("experiment=audio",)}  # what a command cannot do without
OLD_NAMES = {"CHANGELOG.md"}  # it names keys that are no more


class Written(NamedTuple):
    """A command as a document gives it."""

    place: str
    name: str
    arguments: tuple[str, ...]


def lines_of_code(text: str) -> Iterator[str]:
    """Code of a document: fenced and indented lines, with their continuations, and spans between backticks."""
    fenced = False
    joined = re.sub(r"\\\n\s*", "", text)
    for line in joined.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()
        else:
            yield from re.findall(r"`([^`]+)`", line)


def words_of(line: str) -> list[str]:
    """Words of a shell command, without the comment after it."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # not shell
        return line.split()


def written_commands() -> list[Written]:
    """All commands that documents, the commands' own pages and configs show."""
    found = []
    texts = [(path, list(lines_of_code(path.read_text(encoding="utf-8")))) for path in DOCUMENTS]
    for path in sorted((ROOT / "sedcrnn").glob("*.py")):
        texts.append((path, re.findall(r"^(sedcrnn [a-z]+ .*)$", path.read_text(encoding="utf-8"), re.MULTILINE)))
    for path in sorted((ROOT / "conf").rglob("*.yaml")):
        texts.append((path, re.findall(r"^#.*: (sedcrnn [a-z]+ .*)$", path.read_text(encoding="utf-8"), re.MULTILINE)))
    for path, lines in texts:
        for words in map(words_of, lines):
            for number, word in enumerate(words[:-1]):
                if word == "-m" and words[number + 1].startswith("sedcrnn."):
                    name = words[number + 1].removeprefix("sedcrnn.")
                elif word == "sedcrnn" or word.endswith("/sedcrnn"):
                    name = words[number + 1]
                else:
                    continue
                found.append(Written(str(path.relative_to(ROOT)), name, tuple(words[number + 2 :])))
                break
    return [one for one in found if re.fullmatch(r"[a-z]\w*", one.name)]


@cache
def known_keys(command: str, overrides: tuple[str, ...] = ()) -> frozenset[str]:
    importlib.import_module(f"sedcrnn.{command}")  # which registers its options
    config = compose(command, [*overrides], return_hydra_config=True)
    assert isinstance(config, DictConfig)
    return frozenset(dotted_keys(config))


def groups() -> set[str]:
    return {str(path.relative_to(CONF)) for path in CONF.rglob("*") if path.is_dir()}


def assignments(arguments: tuple[str, ...]) -> list[tuple[str, str]]:
    parts = [argument.lstrip("+~").partition("=") for argument in arguments if "=" in argument]
    return [(key, value) for key, _, value in parts if re.fullmatch(r"[a-z][\w./@]*", key)]


def is_group(key: str) -> bool:
    return key.partition("@")[0] in groups()


def named(value: str) -> list[str]:
    return value.strip("[]").split(",")


def exists(group: str, choice: str) -> bool:
    name = group.partition("@")[0]
    return choice in choices(name) or f"{name}/{choice}" in SHOWN


def chosen(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The choices of groups on a command line, where a single run could make them."""
    groups_of = {key: value for key, value in assignments(arguments) if is_group(key) and not key.startswith("hydra/")}
    return tuple(
        f"{key}={value}"
        for key, value in sorted(groups_of.items())
        if (value[0] == "[" or "," not in value) and all(one in choices(key.partition("@")[0]) for one in named(value))
    )


COMMANDS = written_commands()
NAMES = frozenset(commands())


def test_documents_show_commands_enough_to_be_checked():
    assert len(COMMANDS) > 100
    assert {one.name for one in COMMANDS if one.place == "README.md"} == NAMES


def test_every_document_that_is_cited_exists():
    missing = set()
    for path in CITING:
        if path.suffix not in (".py", ".md", ".yaml", ".toml", ".html", ""):
            continue
        for cited in re.findall(r"(?<![\w/{}<>*])(?:[\w.-]+/)*[\w-]+\.md\b", path.read_text(encoding="utf-8")):
            if "nowhere" not in cited and not any((folder / cited).is_file() for folder in (ROOT, path.parent)):
                missing.add(f"{path.relative_to(ROOT)}: {cited}")
    assert not missing, "\n".join(sorted(missing))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document):
    links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", document.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not broken


def test_every_document_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [
        path.name for path in ROOT.glob("docs/*.md") if path.name != "index.md" and f"({path.name})" not in index
    ] == []


def test_the_map_of_the_code_names_every_file_and_no_other():
    tree = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").rpartition("## The tree")[2]
    named = {Path(name).name for name in re.findall(r"[\w/]+\.py\b", tree)}
    there = {path.name for path in (ROOT / "sedcrnn").rglob("*.py")}
    assert named == there


def test_every_command_exists():
    assert [f"{one.place}: {one.name}" for one in COMMANDS if one.name not in NAMES] == []


def test_every_key_of_a_command_exists():
    unknown = set()
    for place, name, arguments in COMMANDS:
        if name not in NAMES or place in OLD_NAMES:
            continue
        base = MANDATORY.get(name, ())
        for key, _ in assignments(arguments):
            # Those of another sweeper come with a plugin, which need not be installed; those of own classes with these.
            if key.startswith("hydra.sweeper.") or ("--config-dir" in arguments and key.startswith("model.network.")):
                continue
            if is_group(key) or key in known_keys(name, base):
                continue
            if key not in known_keys(name, chosen(arguments) if name != "train" else (*base, *chosen(arguments))):
                unknown.add(f"{place}: sedcrnn {name} ... {key}=")
    assert not unknown, "\n".join(sorted(unknown))


def test_every_choice_of_a_group_exists():
    missing = set()
    for place, name, arguments in COMMANDS:
        for key, value in assignments(arguments):
            if is_group(key) and "<" not in value:
                missing |= {f"{place}: {name} {key}={one}" for one in named(value) if not exists(key, one)}
    assert not missing, "\n".join(sorted(missing))


def test_every_key_between_backticks_exists():
    known = known_keys("train", ("data=manifest", "experiment=visual", "logger=[wandb,tensorboard]", "callbacks=timer"))
    known |= known_keys("train", ("experiment=fusion",)) | known_keys("train", ("experiment=audio_encoder",))
    known |= known_keys("train", ("data=folder", "experiment=audio")) | known_keys("pipeline") | known_keys("data")
    sections = {key.partition(".")[0] for key in known}
    unknown = set()
    for path in DOCUMENTS:
        if path.name in OLD_NAMES:
            continue
        for span in re.findall(r"`([^`\n]+)`", path.read_text(encoding="utf-8")):
            key = re.match(r"([a-z_]+(?:\.[a-z_][a-z_0-9]*)+)(?:=|$)", span)
            if key is not None and key[1].partition(".")[0] in sections and key[1] not in known:
                unknown.add(f"{path.relative_to(ROOT)}: {span}")
    assert not unknown, "\n".join(sorted(unknown))


def test_every_target_of_make_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    lines = [(path, words_of(line)) for path in DOCUMENTS for line in lines_of_code(path.read_text(encoding="utf-8"))]
    missing = [f"{path.name}: {words[1]}" for path, words in lines if words[:1] == ["make"] and len(words) > 1
               and words[1] not in targets]  # fmt: skip
    assert not missing


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and the configs that docs/extending.md shows, and some recordings."""
    root = tmp_path_factory.mktemp("kit")
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    for name, content in re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    (root / "mykit" / "__init__.py").touch()
    (root / "recordings").mkdir()
    rng = np.random.default_rng(0)
    for level, scene in enumerate(("bus", "park", "tram"), start=1):
        for place in ("harbour", "hill", "market", "station"):
            noise = 0.05 * level * rng.standard_normal((2 * 8000, 2))
            soundfile.write(root / "recordings" / f"{scene}_{place}_0.wav", noise, 8000)
    return root


def run(kit: Path, command: str, trust: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(kit), str(ROOT)]), "SEDCRNN_TRUST": trust}
    words = [sys.executable, "-m", *shlex.split(f"sedcrnn {command}")]
    return subprocess.run(words, cwd=kit, env=environment, capture_output=True, text=True, check=False)


QUICK = "trainer=cpu trainer.precision=32-true trainer.max_epochs=2 data.extraction_workers=0"
TRAINED = f"data=named data.root=recordings {QUICK}"


@pytest.mark.slow
def test_the_examples_of_own_classes_train_and_are_trusted_only_by_name(kit):
    recipe = "recipe/augmentation/spectrogram=hum recipe/optimizer=rmsprop recipe/scheduler=steps"
    own = f"{recipe} recipe.scheduler.step_size=1 callbacks=weight_norm logger=lines"
    trained = run(kit, f"train --config-dir my_conf experiment=bands {TRAINED} {own}")
    assert trained.returncode == 0, trained.stderr
    (folder,) = kit.glob("runs/bands-s0-*")
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["train/learning_rate"]) for row in rows] == pytest.approx([1e-3, 5e-4])
    assert all(float(row["train/weight_norm"]) > 0 for row in rows)
    assert len((folder / "epochs.jsonl").read_text().splitlines()) == 4  # validation and training of two epochs
    refused = run(kit, "predict run=bands recordings/bus_hill_0.wav")
    assert refused.returncode == 1
    assert "mykit" in refused.stderr
    answered = run(kit, "predict run=bands recordings/bus_hill_0.wav", trust="mykit")
    assert answered.returncode == 0, answered.stderr
    assert ", 2 s\nAnswer of the bands head: calibrated probabilities" in answered.stdout


@pytest.mark.slow
def test_the_example_of_an_own_feature_trains(kit):
    own = "experiment=bands name=levels features/spectrogram=levels model.network.bands=1"
    trained = run(kit, f"train --config-dir my_conf {own} {TRAINED}")
    assert trained.returncode == 0, trained.stderr


@pytest.mark.slow
def test_the_example_of_an_own_fusion_stage_is_built(kit):
    early = "'model.network.early={_target_:mykit.fusing.Concatenated}'"
    summary = run(kit, f"summary model=fusion network@parts.visual=visual_cpu {early}")
    assert summary.returncode == 0, summary.stderr
    assert "early" in summary.stdout


PASST = "experiment=passt model.network.embedding=32 model.network.depth=1 model.network.attention_heads=2"


@pytest.mark.slow
def test_the_example_of_a_network_of_another_package_trains_on_what_its_weights_gave(kit):
    train = f"train --config-dir my_conf {PASST} {TRAINED}"
    trained = run(kit, train)
    assert trained.returncode == 0, trained.stderr
    (folder,) = kit.glob("runs/passt-s0-*")
    code = """
import sys, torch
from hear21passt.models.passt import PaSST
torch.manual_seed(1)
size = {"embed_dim": 32, "depth": 1, "num_heads": 2}
torch.save(PaSST(img_size=(128, 998), stride=(10, 10), distilled=True, **size).state_dict(), "published.pt")
"""
    make, mine = [sys.executable, "-c", code], [sys.executable, "-m", "mykit.with_weights"]
    subprocess.run(make, cwd=kit, check=True)
    subprocess.run([*mine, str(folder), "published.pt", "passt.ckpt"], cwd=kit, check=True)
    frozen = "init_from.audio=passt.ckpt recipe.frozen=[passt] recipe.cache_frozen=true"
    again = run(kit, f"{train} {frozen}")
    assert again.returncode == 0, again.stderr
    (second,) = set(kit.glob("runs/passt-s0-*")) - {folder}
    published = torch.load(kit / "published.pt", weights_only=True)
    kept = torch.load(second / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(kept[f"network.passt.{name}"], value) for name, value in published.items())
    answered = run(kit, f"predict run={second} recordings/bus_hill_0.wav", trust="mykit")
    assert answered.returncode == 0, answered.stderr
    assert ", 2 s\nAnswer of the audio head: " in answered.stdout


@pytest.mark.slow
def test_the_example_of_another_packages_network_is_that_network_on_its_own_front_end(kit):
    code = """
import numpy as np, torch
from hear21passt.models.preprocess import AugmentMelSTFT
from mykit.passt import PasstNetwork, PasstSpectrogram
from sedcrnn.features.filterbanks.short_time import MelBank
bank = MelBank(bands=128, low_hz=0.0, high_hz=15000.0, window=0.025)
feature = PasstSpectrogram(bank=bank, channels="mono", sample_rate=32000, hop=0.01)
import soundfile
from pathlib import Path
noise = 0.1 * np.random.default_rng(0).standard_normal(3 * 32000)
soundfile.write("noise.wav", noise, 32000, subtype="FLOAT")
decoded = torch.from_numpy(feature.decoded(feature.extract(Path("noise.wav"))))
ours = feature.network_input(decoded[None])[0, 0, :, 5:290]
mel = AugmentMelSTFT(freqm=0, timem=0, fmin_aug_range=10, fmax_aug_range=2000).eval()
theirs = mel(torch.from_numpy(noise).float()[None])[0, :, 6:291]
print((ours - theirs).mean().item(), (ours - theirs).abs().mean().item())
torch.manual_seed(0)
network = PasstNetwork(3, 32, 1, 2).eval()
window = torch.randn(2, 1, 128, 100)
tokens = []
network.passt.norm.register_forward_hook(lambda layer, given, made: tokens.append(made))
steps = network.embed(window)
network.passt.forward_features(window)
print((tokens[0] - tokens[1]).abs().max().item(), *steps.shape)
columns = tokens[1][:, 2:].unflatten(1, (12, 9)).mean(1)
print((steps[:, 1] - columns[:, 1:4].mean(1)).abs().max().item())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=kit, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if re.match(r"^-?\d", line)]
    bias, noise = map(float, lines[0].split())
    assert abs(bias) < 0.02
    assert noise < 0.12  # of white noise, in frames half a hop apart
    difference, *shape = lines[1].split()
    assert float(difference) < 1e-5
    assert shape == ["2", "5", "32"]
    assert float(lines[2]) < 1e-5

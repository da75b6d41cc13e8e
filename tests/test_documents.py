"""What documents, configs and code cite exists: documents, links, commands, config keys, choices and make's targets."""

import importlib
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
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

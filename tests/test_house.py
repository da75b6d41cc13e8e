"""The rules of the house: packages never import commands, networks never import Lightning, one name for one thing, and
each command loads no more than it needs."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

import sedcrnn
from sedcrnn.__main__ import commands

PACKAGE = Path(sedcrnn.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted(Path(__file__).parent.rglob("*.py"))
COMMANDS = set(commands())


def imports(file: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside(file: Path, *packages: str) -> bool:
    return file.relative_to(PACKAGE).parts[0] in packages


def test_packages_never_import_commands() -> None:
    wrong = [
        (str(file.relative_to(PACKAGE)), module)
        for file in FILES
        if file.parent != PACKAGE
        for module in imports(file)
        if module.startswith("sedcrnn.") and module.split(".")[1] in COMMANDS | {"cli", "__main__"}
    ]
    assert not wrong


def test_torch_networks_never_import_lightning_and_configs_never_import_torch() -> None:
    heavy = ("pytorch_lightning", "lightning", "torchmetrics")
    assert not [
        (file.name, one) for file in FILES if inside(file, "networks") for one in imports(file) if one.startswith(heavy)
    ]
    light = [file for file in FILES if inside(file, "config") or file.parent == PACKAGE]
    assert not [
        (file.name, one) for file in light for one in imports(file) if one.startswith(("torch", "timm", *heavy))
    ]


def test_no_two_modules_and_no_two_classes_answer_to_one_name() -> None:
    modules = Counter(file.stem for file in FILES if file.stem != "__init__")
    assert not {name for name, times in modules.items() if times > 1}
    packages = {file.parent.name for file in FILES if file.stem == "__init__"}
    assert not packages & modules.keys()
    classes = Counter(
        node.name
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert not {name for name, times in classes.items() if times > 1}


def test_every_command_is_a_page() -> None:
    lengths = {name: len((PACKAGE / f"{name}.py").read_text(encoding="utf-8").splitlines()) for name in COMMANDS}
    assert max(lengths.values()) <= 90, lengths


def test_files_can_be_taken_in_at_once() -> None:
    lengths = {str(file): file.read_text(encoding="utf-8").count("\n") for file in (*FILES, *TESTS)}
    assert not {name: length for name, length in lengths.items() if length > 300}


NEVER = {
    "report": {"pytorch_lightning", "torchmetrics", "timm", "wandb", "torchvision"},
    "weights": {"pytorch_lightning", "torchmetrics", "wandb"},
    "evaluate": {"pytorch_lightning", "torchmetrics", "wandb"},
    "robustness": {"pytorch_lightning", "torchmetrics", "wandb"},
    "submit": {"pytorch_lightning", "torchmetrics", "wandb"},
    "predict": {"pytorch_lightning", "torchmetrics", "wandb"},
    "workspace": {"pytorch_lightning", "torchmetrics", "timm", "torch"},
}


def loaded_by(name: str) -> set[str]:
    """The modules that everything that a command's page imports, at the top or inside its functions, brings along."""
    modules = [one for one in imports(PACKAGE / f"{name}.py") if one.startswith("sedcrnn.")]
    code = "import sys, importlib.util as u, importlib as i\n"
    code += "\n".join(f"i.import_module({one!r})" for one in modules if is_module(one))
    code += "\nprint(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize("name", sorted(NEVER))
def test_a_command_loads_no_more_than_it_needs(name: str) -> None:
    assert not loaded_by(name) & NEVER[name]


def test_the_entry_point_is_the_dispatcher_and_the_package_is_typed() -> None:
    scripts = [point for point in distribution("sedcrnn").entry_points if point.group == "console_scripts"]
    assert [(point.name, point.value) for point in scripts] == [("sedcrnn", "sedcrnn.__main__:main")]
    assert (PACKAGE / "py.typed").is_file()

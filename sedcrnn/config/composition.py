"""Names and overrides -> a composed config: what Hydra needs to know of this package's configs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

_PACKAGE = Path(__file__).resolve().parents[1]
# An installed wheel carries conf/ inside the package; a checkout has it beside the package.
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"

# Hydra 1.4 knows one way to do things, and no parameter for it any more.
HYDRA_DEFAULTS: dict[str, Any] = {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}

# `${unless:${recipe.steps},200}` in conf/: 200, unless recipe.steps is given.
OmegaConf.register_new_resolver("unless", lambda given, value: value if given is None else None, replace=True)


def register(name: str, options: type, groups: Mapping[str, str]) -> None:
    """Make a command's options, with their defaults and those of some groups, a config that Hydra composes."""
    choices: list[Any] = [{group: choice} for group, choice in groups.items()]
    inside = {field.name for field in fields(options)} & {
        group.partition("@")[2].partition(".")[0] or group for group in groups
    }
    defaults = {key: value for key, value in _defaults(options).items() if key not in inside}
    ConfigStore.instance().store(name, {"defaults": ["command", *choices, "_self_"], **defaults})


def compose(config_name: str, overrides: Sequence[str] = (), return_hydra_config: bool = False) -> DictConfig:
    """A config as a command would compose it, wherever this is called from."""
    if GlobalHydra.instance().is_initialized():
        return hydra.compose(config_name, list(overrides), return_hydra_config)
    with hydra.initialize_config_dir(str(CONF), **HYDRA_DEFAULTS):
        return hydra.compose(config_name, list(overrides), return_hydra_config)


def choices(group: str) -> list[str]:
    """The files of a config group; those that others are built on, whose names begin with an underscore, left out."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml") if not path.stem.startswith("_"))


def repeated(*keys: str) -> str:
    """What the running command was given for some groups or keys, as the words of a next command."""
    hydra_config = HydraConfig.get()
    given = {one.partition("=")[0]: one for one in hydra_config.overrides.task if re.split(r"[.=]", one)[0] in keys}
    chosen = {key: f"{key}={hydra_config.runtime.choices[key]}" for key in keys if key in hydra_config.runtime.choices}
    return " ".join({**chosen, **given}.values())


def quoted(word: str) -> str:
    """A text as a quoted string of Hydra's grammar that holds no interpolation of OmegaConf's."""
    literal = re.sub(r"(\\*)\$\{", lambda dollar: f"{2 * dollar[1]}\\${{", word)
    return QuotedString(literal, Quote.single).with_quotes()


def _defaults(options: type) -> dict[str, Any]:
    """Default of every option; `???` where there is none."""
    values: dict[str, Any] = {}
    for field in fields(options):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        values[field.name] = "???" if default is MISSING else _plain(default)
    return values


def _plain(value: Any) -> Any:
    return _defaults(type(value)) if is_dataclass(value) else value

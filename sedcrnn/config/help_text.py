"""A command's options and its config -> what `--help` prints: purpose, usage, examples, and every key in a sentence."""

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from sedcrnn.config.checking import described
from sedcrnn.config.composition import CONF, choices, compose

WIDTH = 110


def help_text(work: Callable[[Any], Any], options: type, config_name: str, words: Sequence[str]) -> str:
    """The help of a command.

    Args:
        work: its function, whose module's docstring says what the command is for and has examples.
        options: dataclass of its keys.
        config_name: of its config.
        words: keys that take words.
    """
    purpose, *rest = inspect.cleandoc(sys.modules[work.__module__].__doc__ or "").split("\n\n")
    examples = "\n".join(rest)
    name = work.__module__.rpartition(".")[2] if work.__module__ != "__main__" else config_name
    given = "".join(f" [<{word.rstrip('*')}>{' ...' if word.endswith('*') else ''}]" for word in words)
    config = compose(config_name, _shown_choices(config_name))
    plain: Any = OmegaConf.to_container(config, resolve=False)
    lines = [
        *textwrap.wrap(purpose, WIDTH),
        "",
        f"Usage: sedcrnn {name}{given} [group=choice ...] [key=value ...]",
        "",
        examples,
    ]
    groups = list(_groups(config_name))
    if groups:
        lines += ["", "Groups (group=choice):"]
        lines += [line for group in groups for line in _entry(group, ", ".join(choices(group)))]
    lines += ["", "Keys (key=value), with their values as they are:"]
    for key, (text, kind) in described(options, plain).items():
        value = OmegaConf.select(config, key, throw_on_missing=False, throw_on_resolution_failure=False)
        if not text and isinstance(value, DictConfig):
            continue
        shown = "???" if OmegaConf.is_missing(_parent(config, key), key.rpartition(".")[2]) else _short(value)
        lines += _entry(f"{key}={shown}", f"{text} {allowed(kind)}".strip())
    lines += ["", "Hydra's options: -m (a sweep over values a,b), --cfg job (print the config), --config-dir <folder>."]
    return "\n".join(lines)


def allowed(kind: Any) -> str:
    """A key's range or choices in brackets; empty where its type says all."""
    choices_of = [choice for one in _parts(kind) if get_origin(one) is Literal for choice in get_args(one)]
    if choices_of:
        return f"({', '.join(map(str, choices_of))})"
    low = [
        f"{'' if isinstance(one, Ge) else 'above '}{getattr(one, 'ge', getattr(one, 'gt', None)):g}"
        for one in _metadata(kind)
        if isinstance(one, Ge | Gt)
    ]
    high = [
        f"{'' if isinstance(one, Le) else 'below '}{getattr(one, 'le', getattr(one, 'lt', None)):g}"
        for one in _metadata(kind)
        if isinstance(one, Le | Lt)
    ]
    if low and high:
        return f"({low[0]} to {high[0]})"
    return f"({low[0]}{' or more' if low[0][0].isdigit() else ''})" if low else ""


def _metadata(kind: Any) -> Iterator[Any]:
    for one in (kind, *get_args(kind)):
        for metadata in getattr(one, "__metadata__", ()):
            yield from getattr(metadata, "metadata", [metadata])


def _parts(kind: Any) -> Iterator[Any]:
    yield kind
    for one in get_args(kind) if get_origin(kind) is not Literal else ():
        yield from _parts(one)


def _entry(name: str, text: str) -> list[str]:
    indent = " " * 34
    wrapped = textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent) or [indent]
    if len(name) > 30:
        return [f"  {name}", *wrapped]
    return [f"  {name:<32}{wrapped[0].lstrip()}".rstrip(), *wrapped[1:]]


def _groups(config_name: str) -> Iterator[str]:
    """The groups that the config chooses from."""
    with_groups = compose(config_name, _shown_choices(config_name) + ["hydra.mode=RUN"]) if False else None
    del with_groups
    chosen = _choices(config_name)
    yield from (group for group in chosen if (CONF / group).is_dir() and not group.startswith("hydra"))


def _choices(config_name: str) -> list[str]:
    import hydra

    from sedcrnn.config.composition import VERSION_BASE

    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base=VERSION_BASE):
        config = hydra.compose(config_name, _shown_choices(config_name), return_hydra_config=True)
    return sorted({str(group).partition("@")[0] for group in config.hydra.runtime.choices})


def _shown_choices(config_name: str) -> list[str]:
    """What has to be chosen to show a config that makes its user choose."""
    return ["experiment=audio"] if config_name == "train" else []


def _parent(config: DictConfig, key: str) -> Any:
    parent = key.rpartition(".")[0]
    return OmegaConf.select(config, parent) if parent else config


def _short(value: Any) -> str:
    if isinstance(value, DictConfig):
        return str(value.get("_target_", "{...}")).rpartition(".")[2] if value else "{}"
    text = (
        {None: "null", True: "true", False: "false"}.get(value, value)
        if value is None or isinstance(value, bool)
        else value
    )
    return str(text)

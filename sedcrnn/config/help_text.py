"""A command's page and its config -> what `--help` prints: purpose, usage, examples, and every key in a sentence."""

import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from omegaconf import OmegaConf

from sedcrnn.config.checking import described
from sedcrnn.config.composition import choices, compose

WIDTH, COLUMN = 110, 34  # characters of a line, and of the part that names a key

CLOSING = (
    "Hydra's options: -m (a sweep, over values given as a,b), --cfg job (print the config), --config-dir <folder> (of "
    "config files of your own)."
)


def help_text(name: str, page: str, options: type, words: Sequence[str], overrides: Sequence[str]) -> str:
    """The help of a command, made of its page's docstring and its keys as the overrides choose them."""
    if name == "train" and not any(override.startswith("experiment=") for override in overrides):
        overrides = [*overrides, "experiment=audio"]  # one has to be chosen, to be shown
    composed = compose(name, overrides, return_hydra_config=True)
    config: Any = OmegaConf.to_container(composed, resolve=False)
    purpose, *examples = inspect.cleandoc(page).split("\n\n")
    given = "".join(f" [<{word.rstrip('*')}>{' ...' if word.endswith('*') else ''}]" for word in words)
    lines = [*textwrap.wrap(" ".join(purpose.split()), WIDTH), ""]
    chosen = config["hydra"]["runtime"]["choices"]
    groups = {group: choice for group, choice in sorted(chosen.items()) if _is_ours(group)}
    lines += [f"Usage: sedcrnn {name}{given}{' [group=choice ...]' * bool(groups)} [key=value ...]", "", *examples]
    if groups:
        lines += ["", "Groups (group=choice), with the choice in force:"]
        for group, choice in groups.items():
            lines += _entry(f"{group}={_short(choice)}", ", ".join(choices(group.partition("@")[0])))
    lines += ["", "Keys (key=value), with the value in force:"]
    for key, (sentence, kind) in described(options, config).items():
        value, is_there = _at(config, key)
        if isinstance(value, str) and value.startswith("${"):
            if ":" not in value:
                continue  # it is another key's
            value = OmegaConf.select(composed, key)
        if is_there and (sentence or not isinstance(value, Mapping)):
            lines += _entry(f"{key}={_short(value)}", f"{sentence} {limits(kind)}".strip())
    return "\n".join([*lines, "", *textwrap.wrap(CLOSING, WIDTH)])


def limits(kind: Any) -> str:
    """A key's range and choices in brackets; empty where its type says all."""
    bounds = [bound for part in _parts(kind) for bound in _bounds(part)]
    low = [
        f"{one.ge:g} or more" if isinstance(one, Ge) else f"above {one.gt:g}"
        for one in bounds
        if isinstance(one, Ge | Gt)
    ]
    high = [
        f"at most {one.le:g}" if isinstance(one, Le) else f"below {one.lt:g}"
        for one in bounds
        if isinstance(one, Le | Lt)
    ]
    ranges = [" and ".join([*low[:1], *high[:1]])] if low or high else []
    named = [str(choice) for part in _parts(kind) if get_origin(part) is Literal for choice in get_args(part)]
    allowed = ", ".join([*ranges, *named])
    return f"({allowed})" if allowed else ""


def _parts(kind: Any) -> Iterator[Any]:
    """A type and the types inside it."""
    yield kind
    if get_origin(kind) is not Literal:
        for inner in get_args(kind):
            yield from _parts(inner)


def _bounds(kind: Any) -> Iterator[Any]:
    for one in getattr(kind, "__metadata__", ()):
        yield from getattr(one, "metadata", ())


def _is_ours(group: str) -> bool:
    """Whether it is a group in conf/ that has something to choose from."""
    return not group.startswith("hydra") and len(choices(group.partition("@")[0])) > 1


def _at(config: Any, key: str) -> tuple[Any, bool]:
    """The value of a dotted key, and whether it is there."""
    for name in key.split("."):
        if not isinstance(config, Mapping) or name not in config:
            return None, False
        config = config[name]
    return config, True


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value["_target_"]).rpartition(".")[2] if "_target_" in value else "{...}" if value else "{}"
    if isinstance(value, list):
        return f"[{','.join(map(_short, value))}]"
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def _entry(name: str, text: str) -> list[str]:
    indent = " " * COLUMN
    wrapped = textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent) or [indent]
    if len(name) > COLUMN - 4:
        return [f"  {name}", *wrapped] if text else [f"  {name}"]
    return [f"  {name:<{COLUMN - 2}}{wrapped[0].lstrip()}".rstrip(), *wrapped[1:]]

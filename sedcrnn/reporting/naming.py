"""What distinguishes several configs, or several folds -> short names of rows, and titles of tables."""

from collections import Counter
from collections.abc import Mapping, Sequence

from sedcrnn.reporting.scoring import ScoredRun

ABSENT = "absent"  # value of a key that a config does not have
LONGEST_VALUE = 32  # characters of a value in a row's name


def name_tables(title: str, examples: Sequence[ScoredRun]) -> list[str]:
    """A title for the table of each fold, of which there is a run: that of the entry, with as much about the data as
    distinguishes several; own recordings go by their own name."""
    titles = [one.run.data_set if one.run.own_recordings else title for one in examples]
    abouts = [[one.run.data_set, *_about(one), f"{number}"] for number, one in enumerate(examples, start=1)]
    for about in zip(*abouts, strict=True):
        alike = Counter(titles)
        titles = [
            one if alike[one] == 1 or one == word else f"{one}, {word}" for one, word in zip(titles, about, strict=True)
        ]
    return titles


def _about(scored: ScoredRun) -> tuple[str, str]:
    selection = str(scored.run.data["selection"]).replace("_", " ")
    return selection, f"{len(scored.clips)} test clips"


def name_variants(configs: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """What each config differs from the others in: in short, by as few values as distinguish them all and the last
    parts of their keys (`lr=0.001`); and all of it, as on the command line."""
    keys = dict.fromkeys(key for config in configs for key in config)
    differing = [key for key in keys if len({config.get(key) for config in configs}) > 1]
    chosen: list[str] = []
    while _kinds(configs, chosen) < len(configs):
        chosen.append(max(differing, key=lambda key: _kinds(configs, [*chosen, key])))
    short = [", ".join(_short(key, config) for key in chosen) for config in configs]
    full = [", ".join(f"{key}={config.get(key, ABSENT)}" for key in sorted(differing)) for config in configs]
    return list(zip(short if len(set(short)) == len(short) else full, full, strict=True))


def _kinds(configs: Sequence[Mapping[str, str]], keys: Sequence[str]) -> int:
    """How many kinds of configs these keys tell apart."""
    return len({tuple(config.get(key) for key in keys) for config in configs})


def _short(key: str, config: Mapping[str, str]) -> str:
    """`early=GatedFusion`, `encoder=vgg16.safetensors`: the end of a key, of a class's name and of a path."""
    value, parts = config.get(key, ABSENT), key.split(".")
    if parts[-1] == "_target_":
        parts, value = parts[:-1], value.rpartition(".")[2]
    return f"{parts[-1]}={value.rpartition('/')[2][:LONGEST_VALUE]}"

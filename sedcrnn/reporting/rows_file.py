"""rows.yaml -> which experiments stand in which table of the report, under which label."""

from dataclasses import dataclass, field
from pathlib import Path

import yaml
from omegaconf import MISSING, OmegaConf

from sedcrnn.config import checked
from sedcrnn.errors import ConfigError, nearest
from sedcrnn.reporting.results_tables import PUBLISHED


@dataclass
class RowSpec:
    """A row as rows.yaml has it; see there."""

    experiment: str = MISSING
    label: str = MISSING
    head: str | None = None
    published: str | None = None


@dataclass
class TableSpec:
    """A table as rows.yaml has it; see there."""

    title: str = MISSING
    rows: list[RowSpec] = MISSING
    note: str = ""
    reference: str | None = None
    single_modality: list[str] = field(default_factory=list)
    chance: bool = False


@dataclass
class RowsFile:
    """rows.yaml."""

    tables: list[TableSpec] = MISSING


def read_rows(path: Path) -> list[TableSpec]:
    """The tables of a rows.yaml, checked.

    Raises:
        ConfigError: absent, damaged, an unknown key, or a name that nothing has.
    """
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(loaded, dict):
            raise ValueError("it does not list tables by the key 'tables'")
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}",
            "It is YAML as experiments/rows.yaml describes it",
            "Correct it, or give another: rows=<file>",
        ) from error
    specs: list[TableSpec] = checked(OmegaConf.create(loaded), RowsFile).tables
    for spec in specs:
        experiments = [row.experiment for row in spec.rows]
        for name in filter(None, [spec.reference, *spec.single_modality]):
            if name not in experiments:
                raise ConfigError(
                    f"{path}: the table '{spec.title}' names '{name}', which is none of its rows",
                    f"The nearest is {nearest(name, experiments)}",
                    "Correct the name",
                )
        for name in (row.published for row in spec.rows if row.published is not None):
            if name not in PUBLISHED:
                raise ConfigError(
                    f"{path}: a row has published: {name}", f"It may be {', '.join(PUBLISHED)}", "Correct the name"
                )
    return specs

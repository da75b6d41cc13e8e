"""What Hydra and OmegaConf refuse -> what was found, what is allowed, what to do; with the nearest that exists."""

import re
import sys
from contextlib import suppress

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from sedcrnn.config.checking import OWN_DATA, dotted_keys, unknown_key
from sedcrnn.config.composition import CONF, choices, compose
from sedcrnn.errors import ConfigError, nearest


def in_words_of_config(error: Exception, config_name: str) -> str:
    """The error in words; for a key or group that does not exist, with the nearest one that does."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    if cause is not None and cause.full_key and "not in struct" in str(cause):
        return str(unknown_key(str(cause.full_key), _known(config_name)))
    text = " ".join(str(error).split())
    if isinstance(error, OverrideParseException):
        return str(
            ConfigError(
                f"'{error.override}' cannot be read: {str(error).splitlines()[0]}",
                "A value is a number, a word, a list [a,b] or a mapping {a: b}; other characters stand in quotes",
                "Give it as \"key='value'\"",
            )
        )
    if isinstance(error, MissingConfigException) and error.options is not None and error.missing_cfg_file:
        return str(_no_choice(str(error.missing_cfg_file)))
    if unchosen := re.search(r"You must specify '([^']+)'", text):
        named = f"{unchosen[1]}=<choice>"
        one_of = f"It is one of {', '.join(choices(unchosen[1]))}"
        return str(ConfigError(f"{named} is not given", one_of, f"Give {named}"))
    if unknown := re.search(r"Could not (?:find|override) '([^'=]+)", text):
        return str(unknown_key(unknown[1], _known(config_name)))
    return text


def _no_choice(named: str) -> ConfigError:
    group, _, choice = named.partition("/")
    if group == "data" and ("/" in choice or "." in choice):
        return ConfigError(f"data={choice} names a folder", "data=<choice> chooses a kind of data set", OWN_DATA)
    group, _, choice = named.rpartition("/")
    allowed = choices(group)
    return ConfigError(
        f"There is no choice '{group}={choice}'",
        f"It is one of {', '.join(allowed)}; the nearest is {nearest(choice, allowed)}",
        "Correct the spelling",
    )


def _known(config_name: str) -> list[str]:
    """Keys and groups that the command line may name: those of the config with what is chosen of its groups."""
    groups = [path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"]
    chosen = [argument for argument in sys.argv[1:] if (CONF / f"{argument.replace('=', '/')}.yaml").is_file()]
    with suppress(Exception):  # what cannot be composed is told, and not that its keys are unknown
        return [*dotted_keys(compose(config_name, chosen)), *groups]
    return groups

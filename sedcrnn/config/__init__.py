"""Configs: composed by Hydra from conf/ and the command line, checked whole, and built into objects.

values         kinds of values, with their ranges
nodes          what the classes that a config may name take
stage_config   the keys of a training stage
checking       a composed config -> the checked one, or an error in words
composition    names and overrides -> a composed config
targets        a config node -> the object that it names, if that may be built
help_text      what `--help` prints
"""

from sedcrnn.config.checking import checked, digest
from sedcrnn.config.composition import CONF

__all__ = ["CONF", "checked", "digest"]

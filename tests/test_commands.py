"""Words on the command line: which arguments are words, and that any text reaches the config as it is."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sedcrnn.commands import name_words
from sedcrnn.errors import ConfigError


def value_of(override: str) -> str:
    """What a command reads of an override, as Hydra puts it into a config."""
    parsed = OverridesParser.create().parse_override(override)
    config = OmegaConf.create({parsed.key_or_group: ""})
    OmegaConf.update(config, parsed.key_or_group, parsed.value())
    return config[parsed.key_or_group]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], []),
        (["seconds=3", "features=small"], ["seconds=3", "features=small"]),
        (["a.mp4"], ["file='a.mp4'"]),
        (["a.wav", "a.mp4", "seconds=3"], ["file='a.wav'", "picture='a.mp4'", "seconds=3"]),
        (["a.mp4", "--cfg", "job"], ["file='a.mp4'", "--cfg", "job"]),
        (["--cfg", "job"], ["--cfg", "job"]),
        (["~features"], ["~features"]),
    ],
)
def test_leading_words_are_the_values_of_the_keys_in_order(arguments, named):
    assert name_words(arguments, ("file", "picture")) == named


def test_more_words_than_keys_are_an_error():
    with pytest.raises(ConfigError, match=r"holds 'c'\. .* only the first 2 .*: file, picture"):
        name_words(["a", "b", "c", "seconds=3"], ("file", "picture"))
    with pytest.raises(ConfigError, match=r"holds 'a'\. Values are given as key=value\."):
        name_words(["a"], ())


def test_a_file_whose_name_looks_like_an_override_is_a_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert name_words(["take=1.mp4"], ("file",)) == ["take=1.mp4"]
    Path("take=1.mp4").touch()
    assert name_words(["take=1.mp4"], ("file",)) == ["file='take=1.mp4'"]
    long = "model.filters=" + "1" * 5000  # too long for the name of a file
    assert name_words([long], ("file",)) == [long]


@pytest.mark.parametrize(
    "name",
    ["a b.mp4", "[1], {x}: (y).mp4", "it's.mp4", 'the "best".mp4', "C:\\clips\\", "${oc.env:HOME}.mp4", "\\${x}\\'"],
)
def test_awkward_names_reach_the_config_as_they_are(name):
    assert value_of(name_words([name], ("file",))[0]) == name


@given(st.text(st.sampled_from("\\'\"${} ,=[]()a:.é\n#"), min_size=1))
def test_any_text_reaches_the_config_as_it_is(name):
    arguments = name_words([name], ("file",))
    if arguments != [name]:  # it holds a `=`, and no file has the name
        assert value_of(arguments[0]) == name

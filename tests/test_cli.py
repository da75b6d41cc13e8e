"""Words and lists on the command line become Hydra's overrides."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sedcrnn.cli import overrides
from sedcrnn.errors import ConfigError


def test_the_first_word_and_the_other_words_have_their_keys_wherever_they_stand() -> None:
    assert overrides(["seed=1", "check", "a=b"], positional=("action",)) == ["seed=1", "a=b", "action='check'"]
    assert overrides(["a.mp4", "run=x", "b.mp4"], words="files") == ["run=x", "files=['a.mp4','b.mp4']"]
    assert overrides(["plot", "a.mp4"], positional=("action",), words="files") == ["action='plot'", "files=['a.mp4']"]


def test_options_and_what_belongs_to_them_stay() -> None:
    options = ["--cfg", "job", "-m", "seed=1,2", "~logger", "+new=1", "--help"]
    assert overrides(options, positional=("action",)) == options


def test_lists_need_no_brackets() -> None:
    given = ["only=meta,audio", "other=a,b"]
    assert overrides(given, lists=("only",)) == ["only=[meta,audio]", "other=a,b"]
    assert overrides(["only=[meta]"], lists=("only",)) == ["only=[meta]"]
    assert overrides(["only=null"], lists=("only",)) == ["only=null"]


def test_a_word_too_many_is_refused() -> None:
    with pytest.raises(ConfigError, match="The command line holds 'again'"):
        overrides(["check", "again"], positional=("action",))
    with pytest.raises(ConfigError, match="The command line holds 'word'"):
        overrides(["word"])


@pytest.mark.parametrize(
    "name", ["a b.mp4", "it's.mp4", 'say "no".mp4', "back\\slash\\", "[x],{y}.mp4", "ü\\'.mp4", "${oc.env:HOME}.mp4"]
)
def test_hydra_takes_every_word_as_it_is(name: str, tmp_path: Path) -> None:
    (tmp_path / "test.yaml").write_text("files: []\naction: null\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        config = compose("test", overrides([name, name], positional=("action",), words="files"))
    assert (config.action, list(config.files)) == (name, [name])


def test_several_keys_take_words_in_their_order() -> None:
    keys = ("file", "picture")
    assert overrides(["a.wav", "a.mp4", "seconds=3"], positional=keys) == [
        "seconds=3",
        "file='a.wav'",
        "picture='a.mp4'",
    ]
    with pytest.raises(ConfigError, match=r"holds 'c'\. .* only 2 .*: file, picture"):
        overrides(["a", "b", "c"], positional=keys)


def test_a_file_whose_name_looks_like_an_override_is_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert overrides(["take=1.mp4"], positional=("file",)) == ["take=1.mp4"]
    (tmp_path / "take=1.mp4").touch()
    assert overrides(["take=1.mp4"], positional=("file",)) == ["file='take=1.mp4'"]
    assert overrides(["take=1.mp4"], words="files") == ["files=['take=1.mp4']"]
    assert overrides(["take=1.mp4"]) == ["take=1.mp4"]  # of a command that takes no words
    long = "model.filters=" + "1" * 5000  # too long for the name of a file
    assert overrides([long], positional=("file",)) == [long]


@given(st.text(st.sampled_from("\\'\"${} ,[]()a:.é\n#"), min_size=1))
def test_any_text_reaches_the_config_as_it_is(name: str) -> None:
    parsed = OverridesParser.create().parse_override(overrides(["a" + name], positional=("file",))[0])
    config = OmegaConf.create({"file": ""})
    OmegaConf.update(config, "file", parsed.value())
    assert config.file == "a" + name

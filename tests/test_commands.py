"""Words and lists on the command line become Hydra's overrides."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from sedcrnn.commands import overrides
from sedcrnn.errors import ConfigError


def test_the_first_word_and_the_other_words_have_their_keys_wherever_they_stand() -> None:
    assert overrides(["seed=1", "check", "a=b"], word="action") == ["seed=1", "a=b", "action='check'"]
    assert overrides(["a.mp4", "run=x", "b.mp4"], words="files") == ["run=x", "files=['a.mp4','b.mp4']"]
    assert overrides(["plot", "a.mp4"], word="action", words="files") == ["action='plot'", "files=['a.mp4']"]


def test_options_and_what_belongs_to_them_stay() -> None:
    options = ["--cfg", "job", "-m", "seed=1,2", "~logger", "+new=1", "--help"]
    assert overrides(options, word="action") == options


def test_lists_need_no_brackets() -> None:
    given = ["only=meta,audio", "other=a,b"]
    assert overrides(given, lists=("only",)) == ["only=[meta,audio]", "other=a,b"]
    assert overrides(["only=[meta]"], lists=("only",)) == ["only=[meta]"]
    assert overrides(["only=null"], lists=("only",)) == ["only=null"]


def test_a_word_too_many_is_refused() -> None:
    with pytest.raises(ConfigError, match="The command line holds 'again'"):
        overrides(["check", "again"], word="action")
    with pytest.raises(ConfigError, match="The command line holds 'word'"):
        overrides(["word"])


@pytest.mark.parametrize("name", ["a b.mp4", "it's.mp4", 'say "no".mp4', "back\\slash\\", "[x],{y}.mp4", "ü\\'.mp4"])
def test_hydra_takes_every_word_as_it_is(name: str, tmp_path: Path) -> None:
    (tmp_path / "test.yaml").write_text("files: []\naction: null\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        config = compose("test", overrides([name, name], word="action", words="files"))
    assert (config.action, config.files) == (name, [name])

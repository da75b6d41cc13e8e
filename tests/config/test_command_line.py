"""The command line: words and paths become Hydra's overrides, and come out of them as they were."""

from pathlib import Path
from typing import Annotated

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pydantic.dataclasses import dataclass

from sedcrnn.config.command_line import overrides
from sedcrnn.config.composition import HYDRA_DEFAULTS
from sedcrnn.config.values import CHECKED, Name, PathName
from sedcrnn.errors import ConfigError


@dataclass(config=CHECKED, kw_only=True)
class Options:
    action: Name = "none"
    files: Annotated[list[PathName], "Files."] = ()  # type: ignore[assignment]
    output: Annotated[PathName | None, "A file."] = None
    only: list[Name] | None = None


def parsed(*arguments: str, words: tuple[str, ...] = ()) -> list[str]:
    return overrides(arguments, words, Options)


def test_the_first_word_and_the_other_words_have_their_keys_wherever_they_stand() -> None:
    assert parsed("seed=1", "check", "a=b", words=("action",)) == ["seed=1", "a=b", "action='check'"]
    assert parsed("a.mp4", "run=x", "b.mp4", words=("files*",)) == ["run=x", "files=['a.mp4','b.mp4']"]
    assert parsed("plot", "a.mp4", words=("action", "files*")) == ["action='plot'", "files=['a.mp4']"]


def test_options_and_what_belongs_to_them_stay() -> None:
    options, given = ("--cfg", "job", "--config-dir=my", "-m"), ("seed=1,2", "~logger", "+new=1")
    assert parsed(*options, *given, words=("action",)) == [*given, *options]


def test_options_may_stand_between_overrides_which_hydra_takes_as_one_group() -> None:
    given = parsed("experiment=audio", "-m", "seed=0,1", "--config-dir", "my", "~logger", "--info", "plugins", "a=b")
    assert given == ["experiment=audio", "seed=0,1", "~logger", "a=b", "-m", "--config-dir", "my", "--info", "plugins"]
    taken = get_args_parser().parse_args(given)
    assert (taken.overrides, taken.multirun) == (["experiment=audio", "seed=0,1", "~logger", "a=b"], True)
    assert (taken.config_dir, taken.info) == ("my", "plugins")
    assert parsed("-sc", "install=bash") == ["install=bash", "-sc"]


def test_a_word_after_an_option_without_a_value_is_a_word() -> None:
    assert parsed("-m", "check", words=("action",)) == ["action='check'", "-m"]


def test_lists_need_no_brackets_but_in_a_sweep() -> None:
    assert parsed("only=meta,audio", "other=a,b") == ["only=[meta,audio]", "other=a,b"]
    assert parsed("only=[meta]") == ["only=[meta]"]
    assert parsed("only=null") == ["only=null"]
    assert parsed("-m", "only=[a],[b]") == ["only=[a],[b]", "-m"]


@pytest.mark.parametrize(
    "name",
    [
        "2024_01",
        "1e3",
        "0x10",
        "true",
        "Jörg's clips/epoch=3-step=10.ckpt",
        "[a] {b}, c",
        "[x]",
        "~/x#1",
        "a${b}",
        "${x}",
        "$HOME",
        "-x",
        "--x",
        "'half",
        "x'",
        "'",
        "\\",
        "a ",
        "  a",
        "choice(1,2)",
        "(a)",
        "&x",
        "a:b",
        "日本",
        "\udcfc",
    ],
)
def test_what_follows_the_key_of_a_path_is_taken_to_the_letter(name: str, tmp_path: Path) -> None:
    (tmp_path / "test.yaml").write_text("output: null\n")
    with initialize_config_dir(str(tmp_path), **HYDRA_DEFAULTS):
        assert compose("test", parsed(f"output={name}")).output == name


@pytest.mark.parametrize("value", ["null", "'2024 01'", '"a b"', "${oc.env:HOME}/x"])
def test_quoted_texts_resolvers_and_null_are_hydras(value: str) -> None:
    assert parsed(f"output={value}") == [f"output={value}"]


def test_keys_inside_nodes_and_added_keys_are_taken_to_the_letter_too() -> None:
    from sedcrnn.config.stage_config import TrainConfig

    given = ["data.source.manifest=my list.csv", "++data.root=[x]", "+init_from.audio=a=b", "data.source.seed=1"]
    assert overrides(given, (), TrainConfig) == [
        "data.source.manifest='my list.csv'",
        "++data.root='[x]'",
        "+init_from.audio='a=b'",
        "data.source.seed=1",
    ]


def test_a_sweep_takes_paths_apart_at_commas_and_else_to_the_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parsed("-m", "output=a b,[c],1e3")[0] == "output='a b','[c]','1e3'"
    assert parsed("-m", "output=choice(a,b)")[0] == "output=choice(a,b)"
    (tmp_path / "a,b").touch()
    assert parsed("-m", "output=a,b")[0] == "output='a,b'"
    swept = OverridesParser.create().parse_override(parsed("-m", "output=x y,$z")[0])
    assert list(swept.sweep_string_iterator()) == ["'x y'", "'$z'"]
    # A job of the sweep gets its value so, and leaves it as it is.
    assert parsed("output='x y'", "output='it\\'s'") == ["output='x y'", "output='it\\'s'"]


def test_files_that_look_like_options_are_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-x.wav", "--y.wav", "~z.wav"):
        (tmp_path / name).touch()
    (tmp_path / "a=b").mkdir()
    (tmp_path / "output=c").mkdir()  # a folder of this name does not take the place of the key
    found = parsed("-x.wav", "--y.wav", "~z.wav", "a=b", "output=c", words=("files*",))
    assert found == ["output='c'", "files=['-x.wav','--y.wav','~z.wav','a=b']"]
    assert parsed("output=c", "--", "--gone.wav", "d=e", words=("files*",)) == [
        "output='c'",
        "files=['--gone.wav','d=e']",
    ]


def test_a_word_too_many_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"The command line holds 'again'.*without a key may be given: action"):
        parsed("check", "again", words=("action",))
    with pytest.raises(ConfigError, match="The command line holds 'word'"):
        parsed("word")


@pytest.mark.parametrize(
    "name", ["a b.mp4", "it's.mp4", 'say "no".mp4', "back\\slash\\", "[x],{y}.mp4", "ü\\'.mp4", "${oc.env:HOME}.mp4"]
)
def test_hydra_takes_every_word_as_it_is(name: str, tmp_path: Path) -> None:
    (tmp_path / "test.yaml").write_text("files: []\naction: null\n")
    with initialize_config_dir(str(tmp_path), **HYDRA_DEFAULTS):
        config = compose("test", parsed(name, name, words=("action", "files*")))
    assert (config.action, list(config.files)) == (name, [name])


def test_a_file_whose_name_looks_like_an_override_is_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parsed("take=1.mp4", words=("action",)) == ["take=1.mp4"]
    (tmp_path / "take=1.mp4").touch()
    assert parsed("take=1.mp4", words=("action",)) == ["action='take=1.mp4'"]
    assert parsed("take=1.mp4", words=("files*",)) == ["files=['take=1.mp4']"]
    assert parsed("take=1.mp4") == ["take=1.mp4"]  # of a command that takes no words
    long = "model.filters=" + "1" * 5000  # too long for the name of a file
    assert parsed(long, words=("action",)) == [long]


@given(st.text(st.sampled_from("\\'\"${} ,[]()a:.é\n#"), min_size=1))
def test_any_text_reaches_the_config_as_it_is(name: str) -> None:
    override = OverridesParser.create().parse_override(parsed("a" + name, words=("action",))[0])
    config = OmegaConf.create({"action": ""})
    OmegaConf.update(config, "action", override.value())
    assert config.action == "a" + name

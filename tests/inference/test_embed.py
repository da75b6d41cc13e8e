"""Embeddings of files: as an object, and as the embed command writes them."""

import numpy as np
import pytest
import torch

import sedcrnn
from sedcrnn import embed
from sedcrnn.errors import ClipError, ConfigError
from sedcrnn.inference.file_embeddings import Embeddings, write_embeddings
from sedcrnn.inference.media_windows import MediaWindows
from sedcrnn.runs.checkpoints import load_checkpoint, read_content, write_checkpoint
from tests.commands import exit_code


@pytest.fixture
def run_command(monkeypatch, capsys):
    """Arguments -> exit code, standard output and standard error."""

    def run(*arguments):
        return exit_code(monkeypatch, embed, *arguments), *capsys.readouterr()

    return run


def test_the_classifiers_make_the_predictions_of_them(make_checkpoint, write_media, tmp_path):
    clip = write_media(tmp_path / "clip.mp4", 3, 3)
    predictor = sedcrnn.load(make_checkpoint("fusion"), "cpu")
    found, answers = predictor.embed(clip), predictor.predict(clip).probabilities
    assert found.names == ("audio", "visual", "fused")
    assert found.seconds.tolist() == [0, 1, 2]
    assert found.tracks == {"audio": 3, "video": 3}
    network = load_checkpoint(str(make_checkpoint("fusion"))).build()
    for name, dense, head in (("audio", network.audio.dense, "audio"), ("fused", network.early.dense, "early")):
        with torch.no_grad():
            again = dense(torch.from_numpy(found[name])).softmax(-1).numpy()
        np.testing.assert_allclose(again, answers[head], atol=1e-5)
    alone = sedcrnn.load(make_checkpoint("audio"), "cpu").embed(clip)
    assert alone.names == ("audio",)
    np.testing.assert_allclose(alone["audio"], found["audio"], atol=1e-5)
    np.testing.assert_allclose(predictor.embed(clip, batch_size=1)["visual"], found["visual"], atol=1e-5)


def test_of_a_file_that_lacks_a_track_there_is_what_its_subnetwork_sees(make_checkpoint, write_media, tmp_path):
    whole, sound = write_media(tmp_path / "clip.mp4", 2, 2), write_media(tmp_path / "sound.m4a", 0, 2)
    predictor = sedcrnn.load(make_checkpoint("fusion"), "cpu")
    found = predictor.embed(sound)
    assert (found.names, found.absent) == (("audio",), ("video",))
    np.testing.assert_allclose(found["audio"], predictor.embed(whole)["audio"], atol=1e-5)
    with pytest.raises(ClipError, match=r"has no video.*The network takes video"):
        sedcrnn.load(make_checkpoint("visual"), "cpu").embed(sound)


def test_networks_without_embeddings_say_so(make_checkpoint, exported, write_media, tmp_path, monkeypatch):
    clip = write_media(tmp_path / "clip.mp4", 2, 2)
    pytest.importorskip("onnxruntime")
    with pytest.raises(ConfigError, match=r"fusion.onnx gives no embeddings.*an ONNX file does not"):
        sedcrnn.load(exported, "cpu").embed(clip)
    predictor = sedcrnn.load(make_checkpoint("audio"), "cpu")
    predictor.model.embedding_names = ()  # as of a network of one's own
    with pytest.raises(ConfigError, match=r"gives no embeddings.*whose class has `classifiers`"):
        predictor.embed(clip)


def test_an_embedding_that_is_not_finite_is_an_error(make_checkpoint, write_media, tmp_path):
    content = read_content(make_checkpoint("audio") / "checkpoints" / "best.ckpt")
    content["state_dict"]["network.blocks.block1.conv1.bias"][:] = torch.nan
    write_checkpoint(content, tmp_path / "broken.ckpt")
    with pytest.raises(ClipError, match=r"embedding 'audio' of .* is not finite"):
        sedcrnn.load(tmp_path / "broken.ckpt", "cpu").embed(write_media(tmp_path / "clip.mp4", 0, 2))


def test_a_folder_becomes_one_npz_file(run_command, make_checkpoint, write_media, tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    write_media(media / "a.mp4", 2, 2)
    write_media(media / "b.m4a", 0, 3)
    (media / "broken.mp4").write_bytes((media / "a.mp4").read_bytes()[:3000])
    output = tmp_path / "out" / "all.npz"
    code, shown, error = run_command(f"run={make_checkpoint('fusion')}", media, f"output={output}")
    assert code == 1
    assert "Error: 1 of 3 files could not be embedded" in error
    assert "broken.mp4' is truncated" in error
    assert "a.mp4: 2 s; audio 8, visual 8, fused 8\nb.m4a: 3 s; audio 8\n" in shown
    with np.load(output, allow_pickle=False) as found:
        assert list(found) == ["path", "second", "audio", "visual", "fused"]
        assert found["path"].tolist() == [str(media / "a.mp4")] * 2 + [str(media / "b.m4a")] * 3
        assert found["second"].tolist() == [0, 1, 0, 1, 2]
        assert found["visual"].shape == (5, 8)
        assert np.isnan(found["visual"][2:]).all()
        expected = sedcrnn.load(make_checkpoint("fusion"), "cpu").embed(media / "a.mp4")
        for name in expected.names:
            np.testing.assert_allclose(found[name][:2], expected[name], atol=1e-5)
            assert found[name].dtype == np.float32


def test_parquet_holds_the_same(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    one = {"audio": np.arange(4, dtype=np.float32).reshape(2, 2), "visual": np.full((2, 3), 7, np.float32)}
    files = [
        Embeddings(tmp_path / "a.mp4", one, {"audio": 2, "video": 2}),
        Embeddings(tmp_path / "b\udcfc.wav", {"audio": np.ones((1, 2), np.float32)}, {"audio": 1}, ("video",)),
    ]
    write_embeddings(tmp_path / "all.parquet", files)
    assert parquet.read_table(tmp_path / "all.parquet").to_pydict() == {
        "path": [str(tmp_path / "a.mp4")] * 2 + [str(tmp_path / "b") + "\\xfc.wav"],
        "second": [0, 1, 0],
        "audio": [[0, 1], [2, 3], [1, 1]],
        "visual": [[7, 7, 7], [7, 7, 7], None],
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.mp4", "output=x.npz"], "'run' is not set"),
        (["run={run}", "a.wav"], "'output' is not set"),
        (["run={run}", "a.wav", "output=x.csv"], "output=x.csv is neither npz nor Parquet"),
        (["run={run}", "gone.wav", "output=x.npz"], "There is no file or folder 'gone.wav'"),
        (["run=gone", "{wav}", "output=x.npz"], "There is no checkpoint at gone"),
        (["run={run}", "output=x.npz"], "No files are named"),
    ],
)
def test_misuse_is_one_paragraph(run_command, make_checkpoint, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").touch()
    places = {"run": make_checkpoint("audio"), "wav": tmp_path / "a.wav"}
    code, _, error = run_command(*(argument.format(**places) for argument in arguments))
    assert code == 1
    paragraph = error.partition("\nError: ")[2].strip()
    assert words in paragraph
    assert "\n" not in paragraph
    assert not (tmp_path / "x.npz").exists()


def test_where_nothing_can_be_embedded_nothing_is_written(run_command, make_checkpoint, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"noise")
    code, _, error = run_command(f"run={make_checkpoint('audio')}", tmp_path / "a.wav", f"output={tmp_path / 'x.npz'}")
    assert (code, (tmp_path / "x.npz").exists()) == (1, False)
    assert "1 of 1 files could not be embedded" in error


def test_windows_are_read_once_and_tell_what_there_is(make_checkpoint, write_media, tmp_path):
    predictor = sedcrnn.load(make_checkpoint("fusion"), "cpu")
    clip = write_media(tmp_path / "clip.mp4", 2, 3)
    media = MediaWindows(predictor.features, clip, clip)
    assert [len(batch["frames"]) for batch in media.batches(1)] == [1, 1]
    assert (set(media.names), media.absent, media.tracks) == ({"spectrogram", "frames"}, (), {"audio": 3, "video": 2})

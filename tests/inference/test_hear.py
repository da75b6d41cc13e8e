"""The rules of HEAR's functions, and that they give what the network gives of files."""

import math

import numpy as np
import pytest
import soundfile
import torch

import sedcrnn
from sedcrnn.errors import CheckpointError, ConfigError
from sedcrnn.inference.hear import get_scene_embeddings, get_timestamp_embeddings, load_model


@pytest.fixture(scope="module")
def model(make_checkpoint):
    return load_model(str(make_checkpoint("audio")))


def noise(sounds: int, seconds: float, rate: int = 44100) -> torch.Tensor:
    return torch.rand(sounds, round(seconds * rate), generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_model_says_rate_and_sizes_and_is_a_torch_module(model):
    assert isinstance(model, torch.nn.Module)
    assert model.sample_rate == 44100
    assert model.scene_embedding_size == model.timestamp_embedding_size == 8
    assert type(model.scene_embedding_size) is type(model.timestamp_embedding_size) is int


@pytest.mark.parametrize("seconds", [0.0001, 0.03, 0.999, 1.0, 1.07, 1.98])
def test_timestamps_of_sounds_of_any_length(model, seconds):
    audio = noise(2, seconds)
    embeddings, timestamps = get_timestamp_embeddings(audio, model)
    length = 1000 * audio.shape[1] / model.sample_rate
    count = math.floor(length / 40 + 1e-9) + 1
    assert embeddings.shape == (2, count, 8)
    assert embeddings.dtype == timestamps.dtype == torch.float32
    assert embeddings.device == timestamps.device == audio.device
    assert embeddings.isfinite().all()
    assert timestamps.tolist() == [[40.0 * number for number in range(count)]] * 2
    assert length - 40 < timestamps[0, -1] <= length


@pytest.mark.parametrize("seconds", [0.0001, 0.4, 2.74])
def test_scenes_of_sounds_of_any_length(model, seconds):
    embeddings = get_scene_embeddings(noise(4, seconds), model)
    assert embeddings.shape == (4, 8)
    assert embeddings.dtype == torch.float32
    assert embeddings.isfinite().all()


def test_sounds_of_a_batch_do_not_depend_on_each_other(model):
    audio = noise(3, 1.3)
    for embed in (
        lambda sounds: get_timestamp_embeddings(sounds, model)[0],
        lambda one: get_scene_embeddings(one, model),
    ):
        torch.testing.assert_close(embed(audio)[1:2], embed(audio[1:2]))


def test_a_scene_is_the_mean_of_what_the_seconds_of_a_mono_file_have(model, make_checkpoint, tmp_path):
    audio = noise(1, 3) * torch.linspace(0.1, 0.5, 3 * 44100)
    soundfile.write(tmp_path / "mono.wav", audio[0].numpy(), 44100, "FLOAT")
    by_file = sedcrnn.load(make_checkpoint("audio"), "cpu").embed(tmp_path / "mono.wav")["audio"]
    np.testing.assert_allclose(get_scene_embeddings(audio, model)[0].numpy(), by_file.mean(0), rtol=1e-4, atol=1e-4)


def test_a_timestamp_is_the_middle_of_its_second(model, make_checkpoint, tmp_path):
    audio = noise(1, 4) * torch.linspace(0.1, 0.5, 4 * 44100)
    soundfile.write(tmp_path / "mono.wav", audio[0].numpy(), 44100, "FLOAT")
    by_file = sedcrnn.load(make_checkpoint("audio"), "cpu").embed(tmp_path / "mono.wav")["audio"]
    embeddings, timestamps = get_timestamp_embeddings(audio[:, 22050:], model)
    assert embeddings.shape[1] == timestamps.shape[1]
    # The sound that begins half a second later has the middle of second 1 of the file at 1000 ms.
    number = timestamps[0].tolist().index(1000.0)
    np.testing.assert_allclose(embeddings[0, number].numpy(), by_file[1], rtol=1e-3, atol=1e-3)
    assert np.abs(embeddings[0, number].numpy() - by_file[2]).max() > 1e-2


def test_the_audio_network_inside_a_fusion_network_serves_too(make_checkpoint, model):
    inside = load_model(str(make_checkpoint("fusion")))
    audio = noise(1, 1)
    torch.testing.assert_close(get_scene_embeddings(audio, inside), get_scene_embeddings(audio, model))


def test_other_networks_and_other_audio_are_refused(make_checkpoint, model):
    with pytest.raises(CheckpointError, match="has no audio network with an embedding"):
        load_model(str(make_checkpoint("visual")))
    with pytest.raises(ConfigError, match="No model is named"):
        load_model()
    for audio in (torch.zeros(44100), torch.zeros(1, 0), torch.zeros(1, 44100, dtype=torch.int16)):
        with pytest.raises(ConfigError, match=r"HEAR's functions take \(sound, sample\) of floating point"):
            get_scene_embeddings(audio, model)

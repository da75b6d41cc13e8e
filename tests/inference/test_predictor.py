"""Predictions equal the evaluation's, whatever the file holds, and name what answered."""

import csv
import subprocess
import sys
from collections import defaultdict

import av
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import sedcrnn
from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.datasets.synthetic.drawing import mp4
from sedcrnn.errors import CheckpointError, ClipError, ConfigError, MissingTrackError
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.inference.predictor import Predictor
from sedcrnn.inference.scene_models import SceneModel
from sedcrnn.runs.checkpoints import write_checkpoint

HEADS = ["audio", "visual", "early", "late"]


@pytest.fixture(scope="module")
def fusion(make_checkpoint):
    return sedcrnn.load(make_checkpoint("fusion"))


def test_predictions_equal_those_of_the_evaluation(fusion, make_checkpoint, tau_root, shared_store):
    metrics = evaluate(str(make_checkpoint("fusion")), extraction_workers=0, store=str(shared_store))
    expected = defaultdict(list)
    with metrics.with_name("predictions.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            expected[row["clip"], row["head"]].append([float(row[scene]) for scene in TAU_SCENES])
    assert len(expected) == 4 * len(HEADS)
    assert np.ptp([rows for (_, head), rows in expected.items() if head == "late"], axis=(0, 1)).max() > 0.01
    for clip in {clip for clip, _ in expected}:
        found = fusion.predict(tau_root / "video" / f"{clip}.mp4", tau_root / "audio" / f"{clip}.wav")
        assert list(found.probabilities) == HEADS
        for head, values in found.probabilities.items():
            np.testing.assert_allclose(values, expected[clip, head], rtol=0, atol=1e-6)
            np.testing.assert_allclose(found.clip[head], np.mean(expected[clip, head], 0), rtol=0, atol=1e-6)


def test_every_whole_second_is_predicted_and_the_rest_is_not(fusion, write_media, tmp_path):
    found = fusion.predict(write_media(tmp_path / "a.mp4", 3.6, 3.6))
    assert found.seconds.tolist() == [0, 1, 2]
    assert (found.head, found.scenes, found.tracks) == ("late", TAU_SCENES, {"audio": 3, "video": 3})
    for values in found.probabilities.values():
        assert (values.shape, values.dtype) == ((3, 10), np.float64)
        np.testing.assert_allclose(values.sum(1), 1, atol=1e-6)
        assert np.abs(np.diff(values, axis=0)).max() > 1e-4  # the seconds differ
    np.testing.assert_allclose(found.clip["late"], found.probabilities["late"].mean(0))
    answer = found.clip["late"]
    assert found.top(1) == [(TAU_SCENES[answer.argmax()], answer.max())]
    assert found.top(2, second=1)[0] == (
        TAU_SCENES[found.probabilities["late"][1].argmax()],
        pytest.approx(max(found.probabilities["late"][1])),
    )
    assert [probability for _, probability in found.top(10)] == sorted(answer, reverse=True)


def test_the_answer_does_not_depend_on_the_batch(fusion, write_media, tmp_path):
    path = write_media(tmp_path / "a.mp4", 5, 5)
    one, many = (fusion.predict(path, batch_size=size).probabilities for size in (1, 3))
    for head in HEADS:
        np.testing.assert_allclose(one[head], many[head], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kind", "kept"), [("audio", "audio"), ("visual", "video")])
def test_with_one_track_the_subnetwork_answers_as_it_does_alone(fusion, write_media, tmp_path, kind, kept):
    path = write_media(tmp_path / "a.mkv", **{"video": 0, "audio": 0, kept: 2})
    found = fusion.predict(path)
    assert (found.head, list(found.probabilities), list(found.tracks)) == (kind, [kind], [kept])
    assert found.absent == ({"audio": "video", "video": "audio"}[kept],)
    both = fusion.predict(write_media(tmp_path / "both.mkv", 2, 2))
    assert list(both.probabilities) == HEADS
    np.testing.assert_allclose(found.probabilities[kind], both.probabilities[kind], rtol=0, atol=1e-6)
    other = {"audio": "video", "video": "audio"}[kept]
    with pytest.raises(ClipError, match=rf"a\.mkv' has no {other}.*The head 'late' takes audio and video"):
        fusion.predict(path, head="late")


def test_single_networks_take_their_track_alone(make_checkpoint, write_media, tmp_path):
    both, silent = write_media(tmp_path / "both.mp4", 2, 3), write_media(tmp_path / "silent.mp4", 2, 0)
    audio, visual = (sedcrnn.load(make_checkpoint(kind)) for kind in ("audio", "visual"))
    assert audio.predict(both).tracks == {"audio": 3}
    assert visual.predict(silent).head == "visual"
    with pytest.raises(ClipError, match=r"silent\.mp4' has no audio"):
        audio.predict(silent)


def test_what_has_no_counterpart_is_left_out(fusion, write_media, tmp_path):
    found = fusion.predict(write_media(tmp_path / "a.mp4", 2, 4))
    assert (len(found.seconds), found.tracks) == (2, {"audio": 4, "video": 2})


def test_the_cover_of_a_piece_of_music_is_not_a_video(fusion, write_media, tmp_path):
    Image.new("RGB", (32, 32), (200, 0, 0)).save(tmp_path / "cover.png")
    plain = write_media(tmp_path / "plain.m4a", 0, 2)
    with (
        av.open(str(plain)) as music,
        av.open(str(tmp_path / "cover.png")) as cover,
        av.open(str(tmp_path / "music.m4a"), "w", format="mp4") as target,
    ):
        streams = [(source.streams[0], target.add_stream_from_template(source.streams[0])) for source in (music, cover)]
        streams[1][1].disposition = av.stream.Disposition.attached_pic
        for (source, stream), container in zip(streams, (music, cover), strict=True):
            for packet in container.demux(source):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
    with av.open(str(tmp_path / "music.m4a")) as written:
        assert len(written.streams.video) == 1
    assert fusion.predict(tmp_path / "music.m4a").head == "audio"


def test_damage_is_not_taken_for_absence(fusion, write_media, tmp_path):
    whole = write_media(tmp_path / "whole.mp4", 3, 3).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ClipError, match=r"cut\.mp4") as refusal:
        fusion.predict(tmp_path / "cut.mp4")
    assert not isinstance(refusal.value, MissingTrackError)
    wave = np.zeros((20 * 48000, 2), np.float32)
    wave[-1] = np.nan  # long after the end of the video
    soundfile.write(tmp_path / "late.wav", wave, 48000, subtype="FLOAT")
    with pytest.raises(ClipError, match=r"late\.wav' holds 2 samples that are not finite"):
        fusion.predict(write_media(tmp_path / "silent.mp4", 2, 0), tmp_path / "late.wav")
    with pytest.raises(ClipError, match=r"short\.mp4' lasts 0\.[56]\d s"):
        fusion.predict(write_media(tmp_path / "short.mp4", 0.5, 0.5))


def test_misuse_is_refused(fusion, make_checkpoint, tmp_path):
    with pytest.raises(ConfigError, match=r"The head is 'lat'\. .*nearest is 'late'"):
        fusion.predict("a.mp4", head="lat")
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        sedcrnn.load(tmp_path / "no-run")
    with pytest.raises(ConfigError, match="device is 'cuda:99'"):
        sedcrnn.load(make_checkpoint("audio"), device="cuda:99")
    with pytest.raises(ClipError, match=r"There is no file '.*gone\.mp4'"):
        fusion.predict(tmp_path / "gone.mp4")


def test_a_checkpoint_that_does_not_describe_its_features_is_refused(make_checkpoint, tmp_path):
    content = torch.load(make_checkpoint("audio") / "checkpoints" / "best.ckpt", weights_only=True)
    content["hyper_parameters"]["features"] = {}
    write_checkpoint(content, tmp_path / "bare.ckpt")
    with pytest.raises(CheckpointError, match=r"bare\.ckpt does not say how its input 'spectrogram' is made"):
        sedcrnn.load(tmp_path / "bare.ckpt")


def test_the_package_loads_without_torch():
    check = "import sys, sedcrnn; sys.exit('torch' in sys.modules or 'av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_feature_of_a_users_own_is_predicted_from(write_media, tmp_path, monkeypatch):
    (tmp_path / "own_loudness.py").write_text(
        "import numpy as np\n"
        "from sedcrnn.features.audio_file import open_audio\n"
        "from sedcrnn.features.feature import Feature\n"
        "class Loudness(Feature):\n"
        "    name, track, per_step = 'loudness', 'audio', 1\n"
        "    def parameters(self):\n"
        "        return {'version': 1}\n"
        "    def extract(self, path):\n"
        "        with open_audio(path) as audio:\n"
        "            wave = np.concatenate(list(audio.blocks()), axis=1)[0]\n"
        "        return np.sqrt((wave[: len(wave) // 9600 * 9600].reshape(-1, 9600) ** 2).mean(1))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SEDCRNN_TRUST", "own_loudness")

    class Loudest(SceneModel):
        path, scenes = tmp_path / "own", ("quiet", "loud")

        def __init__(self):
            self.heads = {"answer": ("loudness",)}
            self.features = {"loudness": {"_target_": "own_loudness.Loudness"}}

        def probabilities(self, inputs):
            loud = inputs["loudness"].mean(1)
            return {"answer": np.stack([1 - loud, loud], axis=1)}

    wave = np.repeat([0.25, 0.5, 0.75], 48000)
    soundfile.write(tmp_path / "a.wav", np.concatenate([wave, wave[:20000]]), 48000)
    found = Predictor(Loudest()).predict(tmp_path / "a.wav")
    np.testing.assert_allclose(found.probabilities["answer"][:, 1], [0.25, 0.5, 0.75], atol=1e-4)
    assert (found.tracks, found.absent) == ({"audio": 3}, ())
    with pytest.raises(ClipError, match="has no audio"):
        Predictor(Loudest()).predict(write_media(tmp_path / "silent.mp4", 2, 0))
    soundfile.write(tmp_path / "short.wav", wave[:30000], 48000)
    with pytest.raises(ClipError, match=r"short\.wav' lasts less than one second"):
        Predictor(Loudest()).predict(tmp_path / "short.wav")


def test_bfloat16_changes_answers_by_thousandths(fusion, make_checkpoint, write_media, tmp_path):
    path = write_media(tmp_path / "a.mp4", 2, 2)
    exact = fusion.predict(path).probabilities
    rounded = sedcrnn.load(make_checkpoint("fusion"), "cpu", "bf16-mixed").predict(path).probabilities
    for head in HEADS:
        difference = np.abs(exact[head] - rounded[head]).max()
        assert 0 < difference < 0.01
    with pytest.raises(ConfigError, match=r"precision of predictions is 'bf16'.*nearest is 'bf16-mixed'"):
        sedcrnn.load(make_checkpoint("fusion"), "cpu", "bf16")


def test_a_batch_holds_ten_seconds_or_fewer_of_large_inputs(tmp_path):
    class Counting(SceneModel):
        path, scenes, heads = tmp_path / "counting", ("a", "b"), {"visual": ("frames",)}

        def __init__(self, side):
            self.features = {"frames": {"_target_": "sedcrnn.features.frames.Frames", "height": side, "width": side}}
            self.sizes = []

        def probabilities(self, inputs):
            self.sizes.append(len(inputs["frames"]))
            return {"visual": np.full((self.sizes[-1], 2), 0.5)}

    (tmp_path / "a.mp4").write_bytes(mp4(np.zeros((12 * 5, 32, 32, 3), np.uint8), rate=5))
    for side, expected in ((64, [10, 2]), (224, [4, 4, 4]), (1024, [1] * 12)):
        model = Counting(side)
        Predictor(model).predict(tmp_path / "a.mp4")
        assert model.sizes == expected

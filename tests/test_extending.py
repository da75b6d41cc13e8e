"""The examples of docs/extending.md work as they stand there: own data, features, networks and what trains them."""

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and the configs that docs/extending.md shows, and some recordings."""
    root = tmp_path_factory.mktemp("kit")
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    for name, content in re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    (root / "mykit" / "__init__.py").touch()
    (root / "recordings").mkdir()
    rng = np.random.default_rng(0)
    for level, scene in enumerate(("bus", "park", "tram"), start=1):
        for place in ("harbour", "hill", "market", "station"):
            noise = 0.05 * level * rng.standard_normal((2 * 8000, 2))
            soundfile.write(root / "recordings" / f"{scene}_{place}_0.wav", noise, 8000)
    return root


def run(kit: Path, command: str, trust: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(kit), str(ROOT)]), "SEDCRNN_TRUST": trust}
    words = [sys.executable, "-m", *shlex.split(f"sedcrnn {command}")]
    return subprocess.run(words, cwd=kit, env=environment, capture_output=True, text=True, check=False)


QUICK = "trainer=cpu trainer.precision=32-true trainer.max_epochs=2 data.extraction_workers=0"
TRAINED = f"data=named data.root=recordings {QUICK}"


@pytest.mark.slow
def test_the_examples_of_own_classes_train_and_are_trusted_only_by_name(kit):
    recipe = "recipe/augmentation/spectrogram=hum recipe/optimizer=rmsprop recipe/scheduler=steps"
    own = f"{recipe} recipe.scheduler.step_size=1 callbacks=weight_norm logger=lines"
    trained = run(kit, f"train --config-dir my_conf experiment=bands {TRAINED} {own}")
    assert trained.returncode == 0, trained.stderr
    (folder,) = kit.glob("runs/bands-s0-*")
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["train/learning_rate"]) for row in rows] == pytest.approx([1e-3, 5e-4])
    assert all(float(row["train/weight_norm"]) > 0 for row in rows)
    assert len((folder / "epochs.jsonl").read_text().splitlines()) == 4  # validation and training of two epochs
    refused = run(kit, "predict run=bands recordings/bus_hill_0.wav")
    assert refused.returncode == 1
    assert "mykit" in refused.stderr
    answered = run(kit, "predict run=bands recordings/bus_hill_0.wav", trust="mykit")
    assert answered.returncode == 0, answered.stderr
    assert ", 2 s\nAnswer of the bands head: calibrated probabilities" in answered.stdout


@pytest.mark.slow
def test_the_example_of_an_own_feature_trains(kit):
    own = "experiment=bands name=levels features/spectrogram=levels model.network.bands=1"
    trained = run(kit, f"train --config-dir my_conf {own} {TRAINED}")
    assert trained.returncode == 0, trained.stderr


@pytest.mark.slow
def test_the_example_of_an_own_fusion_stage_is_built(kit):
    early = "'model.network.early={_target_:mykit.fusing.Concatenated}'"
    summary = run(kit, f"summary model=fusion network@parts.visual=visual_cpu {early}")
    assert summary.returncode == 0, summary.stderr
    assert "early" in summary.stdout


PASST = "experiment=passt model.network.embedding=32 model.network.depth=1 model.network.attention_heads=2"


@pytest.mark.slow
def test_the_example_of_a_network_of_another_package_trains_on_what_its_weights_gave(kit):
    train = f"train --config-dir my_conf {PASST} {TRAINED}"
    trained = run(kit, train)
    assert trained.returncode == 0, trained.stderr
    (folder,) = kit.glob("runs/passt-s0-*")
    code = """
import sys, torch
from hear21passt.models.passt import PaSST
torch.manual_seed(1)
size = {"embed_dim": 32, "depth": 1, "num_heads": 2}
torch.save(PaSST(img_size=(128, 998), stride=(10, 10), distilled=True, **size).state_dict(), "published.pt")
"""
    make, mine = [sys.executable, "-c", code], [sys.executable, "-m", "mykit.with_weights"]
    subprocess.run(make, cwd=kit, check=True)
    subprocess.run([*mine, str(folder), "published.pt", "passt.ckpt"], cwd=kit, check=True)
    frozen = "init_from.audio=passt.ckpt recipe.frozen=[passt] recipe.cache_frozen=true"
    again = run(kit, f"{train} {frozen}")
    assert again.returncode == 0, again.stderr
    (second,) = set(kit.glob("runs/passt-s0-*")) - {folder}
    published = torch.load(kit / "published.pt", weights_only=True)
    kept = torch.load(second / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(kept[f"network.passt.{name}"], value) for name, value in published.items())
    answered = run(kit, f"predict run={second} recordings/bus_hill_0.wav", trust="mykit")
    assert answered.returncode == 0, answered.stderr
    assert ", 2 s\nAnswer of the audio head: " in answered.stdout


@pytest.mark.slow
def test_the_example_of_another_packages_network_is_that_network_on_its_own_front_end(kit):
    code = """
import numpy as np, torch
from hear21passt.models.preprocess import AugmentMelSTFT
from mykit.passt import PasstNetwork, PasstSpectrogram
from sedcrnn.features.filterbanks.short_time import MelBank
bank = MelBank(bands=128, low_hz=0.0, high_hz=15000.0, window=0.025)
feature = PasstSpectrogram(bank=bank, channels="mono", sample_rate=32000, hop=0.01)
import soundfile
from pathlib import Path
noise = 0.1 * np.random.default_rng(0).standard_normal(3 * 32000)
soundfile.write("noise.wav", noise, 32000, subtype="FLOAT")
decoded = torch.from_numpy(feature.decoded(feature.extract(Path("noise.wav"))))
ours = feature.network_input(decoded[None])[0, 0, :, 5:290]
mel = AugmentMelSTFT(freqm=0, timem=0, fmin_aug_range=10, fmax_aug_range=2000).eval()
theirs = mel(torch.from_numpy(noise).float()[None])[0, :, 6:291]
print((ours - theirs).mean().item(), (ours - theirs).abs().mean().item())
torch.manual_seed(0)
network = PasstNetwork(3, 32, 1, 2).eval()
window = torch.randn(2, 1, 128, 100)
tokens = []
network.passt.norm.register_forward_hook(lambda layer, given, made: tokens.append(made))
steps = network.embed(window)
network.passt.forward_features(window)
print((tokens[0] - tokens[1]).abs().max().item(), *steps.shape)
columns = tokens[1][:, 2:].unflatten(1, (12, 9)).mean(1)
print((steps[:, 1] - columns[:, 1:4].mean(1)).abs().max().item())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=kit, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if re.match(r"^-?\d", line)]
    bias, noise = map(float, lines[0].split())
    assert abs(bias) < 0.02
    assert noise < 0.12  # of white noise, in frames half a hop apart
    difference, *shape = lines[1].split()
    assert float(difference) < 1e-5
    assert shape == ["2", "5", "32"]
    assert float(lines[2]) < 1e-5

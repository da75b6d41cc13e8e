"""What frozen parts make of clips on the device: kept as its own, and equal to what the network makes of a window."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.window_dataset import EncodedDataset, WindowDataset
from sedcrnn.datasets.windows import Window
from sedcrnn.features.store import FeatureStore
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.training.frozen_cache import FrozenEncoder
from sedcrnn.training.stage import make_datamodule, train

pytestmark = pytest.mark.gpu

Stage = Callable[..., TrainConfig]


@pytest.mark.parametrize("kind", ["visual", "fusion"])
def test_stored_values_are_what_the_network_makes_of_each_window(
    on_cpu: Stage, device: torch.device, tmp_path: Path, kind: str
) -> None:
    config = on_cpu(kind, "trainer.max_epochs=1")
    run = train(config)
    checkpoint = load_checkpoint(str(run))
    data = make_datamodule(config)
    data.setup()
    clips, features = data.folds.train[:3], {name: data.features[name] for name in checkpoint.build().inputs}
    plain = WindowDataset(clips, data.manifest.scenes, features, data.store)
    windows = [Window(clip, step) for clip, steps in enumerate(plain.steps) for step in range(steps - 4)]
    inputs = plain.network_inputs(plain.batch(windows))
    with torch.no_grad():
        expected = checkpoint.build().encode(**{name: inputs[name] for name in features})
    encoder = FrozenEncoder(checkpoint.build(), checkpoint.network, features, device)
    encoder.encode_all(clips, data.store, workers=2)
    kept = EncodedDataset(clips, data.manifest.scenes, encoder.read(clips, data.store)).batch(windows)
    for name, values in expected.items():
        away = torch.linalg.vector_norm(kept[name] - values) / torch.linalg.vector_norm(values)
        assert values.flatten(1).std(0).mean() > 1e-4
        assert away < 1e-4, name


def test_each_kind_of_device_has_values_of_its_own_in_the_store(on_cpu: Stage, tmp_path: Path) -> None:
    config = on_cpu("fusion", "trainer.max_epochs=1")
    checkpoint = load_checkpoint(str(train(config)))
    data = make_datamodule(config)
    data.setup()
    store, clip = FeatureStore(tmp_path), data.folds.train[0]

    def keys(device: str) -> set[str]:
        network = checkpoint.build()
        encoder = FrozenEncoder(network, checkpoint.network, data.features, torch.device(device))
        return {store.key(feature.source(clip), feature) for feature in encoder.kept.values()}

    assert len(keys("cpu")) == 4
    assert keys("cpu") == keys("cpu")
    assert keys("cuda") == keys("cuda:1")
    assert not keys("cpu") & keys("cuda")

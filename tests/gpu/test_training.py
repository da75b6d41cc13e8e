"""Every kind of stage learns on the device in every arithmetic, as it does on the CPU in float32."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.training.stage import train

pytestmark = pytest.mark.gpu

Stage = Callable[..., TrainConfig]

UNCACHED = "recipe.cache_frozen=false"
STAGES = {
    "audio": ("audio",),
    "visual, cached": ("visual",),
    "visual, uncached": ("visual", UNCACHED),
    "visual, fine-tuning": ("visual_finetune",),
    "fusion, cached": ("fusion",),
    "fusion, uncached": ("fusion", UNCACHED),
    "fusion, fine-tuning": ("fusion_finetune",),
}
# Way -> overrides, and how far the loss of an epoch may be from that of the CPU in float32.
WAYS = {
    "32-true": (["trainer.precision=32-true"], 1e-2),
    "bf16": (["trainer.precision=bf16-mixed"], 5e-2),
    "bf16, compiled": (["trainer.precision=bf16-mixed", "recipe.compile=true"], 5e-2),
    "bf16, graphs": (["trainer.precision=bf16-mixed", "recipe.compile=reduce-overhead"], 5e-2),
}


@pytest.fixture(scope="session")
def references() -> dict[str, list[float]]:
    """Stage -> training losses on the CPU, filled as they are needed."""
    return {}


# Compiling takes half a minute each.
COMPILED = ["audio", "visual, fine-tuning", "fusion, fine-tuning"]
CASES = [
    *((name, way) for name in STAGES for way in list(WAYS)[:2]),
    *(pytest.param(name, "bf16, compiled", marks=pytest.mark.slow) for name in COMPILED),
    pytest.param("audio", "bf16, graphs", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "way"), CASES)
def test_a_stage_learns_as_on_the_cpu(
    on_cpu: Stage,
    on_device: Stage,
    losses_of: Callable[[Path], list[float]],
    references: dict[str, list[float]],
    record_property: Callable[[str, object], None],
    tmp_path: Path,
    name: str,
    way: str,
) -> None:
    overrides, tolerance = WAYS[way]
    common = [*STAGES[name], "recipe.optimizer.lr=1e-3", "recipe.optimizer.eps=1e-3", "trainer.max_epochs=4"]
    if name not in references:
        run = train(on_cpu(*common, f"runs={tmp_path / 'reference'}"))
        assert run is not None
        references[name] = losses_of(run)
    run = train(on_device(*common, *overrides))
    assert run is not None
    losses = losses_of(run)
    away = [abs(loss / expected - 1) for loss, expected in zip(losses, references[name], strict=True)]
    record_property("largest relative difference of a loss", max(away))
    assert len(losses) == 4
    assert all(map(math.isfinite, losses))
    assert losses[-1] < losses[0]
    assert max(away) < tolerance

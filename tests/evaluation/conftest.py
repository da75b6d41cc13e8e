"""A small trained fusion network."""

from pathlib import Path

import pytest

from sedcrnn.config.stage_config import TrainConfig
from tests.conftest import compose_stage, small_overrides


@pytest.fixture(scope="session")
def trained_fusion(
    fusion_parts: dict[str, Path], tau_root: Path, shared_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainConfig]:
    """Its run folder, in which evaluations may be written, and its config."""
    from sedcrnn.training.stage import train

    small = ["data=tau2021", f"data.root={tau_root}"]
    small += small_overrides(shared_store, tmp_path_factory.mktemp("fusion") / "runs")
    parts = [f"init_from.{kind}={run}" for kind, run in fusion_parts.items()]
    config = compose_stage(small, "fusion", *parts, "trainer.max_epochs=2")
    run = train(config)
    assert run is not None
    return run, config

"""Train one stage: resolved config -> data, network, trainer -> a run folder with its best checkpoint.

python -m sedcrnn.train experiment=audio
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from sedcrnn.checkpoints import BEST, LAST, Checkpoint
from sedcrnn.commands import command
from sedcrnn.config import FeaturesConfig, TrainConfig, checked, instantiate
from sedcrnn.datamodule import SceneDataModule
from sedcrnn.evaluation.metrics import CHECKPOINT_MONITOR, PLATEAU_MONITOR
from sedcrnn.features.store import FeatureStore
from sedcrnn.modules import SceneModule
from sedcrnn.pretrained.encoder_weights import EncoderWeights
from sedcrnn.runs import EpochLog, Run, say
from sedcrnn.starts import check_starts, complete_network, load_encoder, load_starts, load_weights


def train(config: TrainConfig) -> Path:
    """Train one stage, or find it trained; a run that was killed goes on after its last whole epoch.

    Returns:
        The run folder.

    Raises:
        SedcrnnError: whatever is wrong with the config, the data or the checkpoints and weights to start from.
    """
    config = with_used_features(config)
    starts, encoder = load_starts(config), load_encoder(config)
    datamodule = make_datamodule(config)
    datamodule.prepare_data()
    for clip in datamodule.skipped:
        say(f"Skipped {clip.clip}: {clip.message}")
    scenes = datamodule.manifest.scenes
    check_starts(config, starts, scenes, datamodule.folds)
    learnt_from = {clip.location for clip in datamodule.folds.train}.union(*(s.locations for s in starts.values()))
    run = Run(config, inputs=_describe_inputs(datamodule, starts, encoder))
    with run.locked():
        if run.finished:
            say(f"{config.name}: nothing has changed since it was trained; reusing {run.folder}")
            return run.folder
        run.start()
        seed_everything(config.seed, workers=True, verbose=False)
        if encoder is not None:
            say(f"{config.name}: {encoder.backbone} trained on {encoder.trained_on} (licence: {encoder.licence})")
        module: SceneModule = instantiate(
            {"_target_": config.model["_target_"]},
            network=complete_network(config.model["network"], starts, datamodule.dimensions),
            recipe=asdict(config.recipe),
            scenes=list(scenes),
            features=_used(config.features),
            data=asdict(config.data),
            locations=sorted(learnt_from),
            seed=config.seed,
        )
        load_weights(module.network, starts, encoder)
        _fit(config, run, module, datamodule)
    return run.folder


def make_datamodule(config: TrainConfig) -> SceneDataModule:
    """The data of a stage: the features that its config still names, in the store that it names."""
    features = {name: instantiate(node) for name, node in _used(config.features).items()}
    store = FeatureStore(Path(config.store))
    augmentations = {
        name: instantiate(node) for name, node in vars(config.recipe.augmentation).items() if node is not None
    }
    return SceneDataModule(config.data, features, store, config.recipe.batch_size, config.seed, augmentations)


def _fit(config: TrainConfig, run: Run, module: SceneModule, datamodule: SceneDataModule) -> None:
    best = ModelCheckpoint(
        run.folder / BEST.parent,
        filename=BEST.stem,
        monitor=CHECKPOINT_MONITOR,
        mode="max",
        save_weights_only=True,
        enable_version_counter=False,
    )
    # At the very end of the epoch, when the module has stepped its schedule: a resumed run misses nothing.
    last = ModelCheckpoint(
        run.folder / LAST.parent,
        filename=LAST.stem,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    callbacks: list[Callback] = [
        EarlyStopping(PLATEAU_MONITOR, patience=config.recipe.early_stopping_patience, min_delta=0.0),
        best,
        last,
    ]
    loggers = [EpochLog(str(run.folder))]
    if config.logger is not None:
        loggers.append(instantiate(config.logger, save_dir=str(run.folder)))
    trainer: Trainer = instantiate(
        config.trainer, callbacks=callbacks, logger=loggers, default_root_dir=str(run.folder)
    )
    resume = run.folder / LAST if (run.folder / LAST).is_file() else None
    say(f"{config.name}: {'resuming' if resume else 'training'} in {run.folder}")
    trainer.fit(module, datamodule=datamodule, ckpt_path=resume, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    assert best.best_model_score is not None
    run.finish(
        epochs=trainer.current_epoch,
        best={CHECKPOINT_MONITOR: best.best_model_score.item(), "checkpoint": str(BEST)},
        skipped_clips=[asdict(clip) for clip in datamodule.skipped],
    )
    if trainer.is_global_zero:
        (run.folder / LAST).unlink(missing_ok=True)  # the optimiser's state, of no use any more


def with_used_features(config: TrainConfig) -> TrainConfig:
    """The config without the features that its network does not take, on which its result cannot depend."""
    inputs = get_object(config.model["network"]["_target_"]).inputs
    used = {name: node if name in inputs else None for name, node in asdict(config.features).items()}
    return replace(config, features=FeaturesConfig(**used))


def _used(features: FeaturesConfig) -> dict[str, Any]:
    return {name: node for name, node in asdict(features).items() if node is not None}


def _describe_inputs(
    datamodule: SceneDataModule, starts: Mapping[str, Checkpoint], encoder: EncoderWeights | None
) -> dict[str, Any]:
    """What a run depends on beside its config; digests only, so that moved files stay the same input."""
    digests = {part: start.digest for part, start in starts.items()}
    if encoder is not None:
        digests["encoder"] = encoder.digest
    return {"data": datamodule.identity, "start_from": digests}


@command("train")
def main(config: DictConfig) -> None:
    """Train the stage that the command line describes."""
    train(checked(config))


if __name__ == "__main__":
    main()

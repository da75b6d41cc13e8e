"""Train one stage: resolved config -> data, network, trainer -> a run folder with its best checkpoint.

python -m sedcrnn.train experiment=audio
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from sedcrnn.config.stage_config import FeaturesConfig, TrainConfig
from sedcrnn.config.targets import build, resolve
from sedcrnn.datasets.datamodule import SceneDataModule
from sedcrnn.datasets.protocols import check_selection
from sedcrnn.evaluation.metrics import CHECKPOINT_MONITOR, PLATEAU_MONITOR
from sedcrnn.features.store import FeatureStore
from sedcrnn.networks.execution import choose_precision
from sedcrnn.pretrained.encoder_weights import EncoderWeights
from sedcrnn.runs.checkpoints import BEST, LAST, Checkpoint, check_resumable
from sedcrnn.runs.differences import told
from sedcrnn.runs.run_folder import Run, say
from sedcrnn.sweeps.ranks import check_sweep
from sedcrnn.training.frozen_cache import FrozenEncoder, check_cacheable
from sedcrnn.training.init_from import check_initial, complete_network, load_encoder, load_initial, load_weights
from sedcrnn.training.loggers import check_loggers, make_loggers
from sedcrnn.training.modules import SceneModule
from sedcrnn.training.showcase import ShowValidation


def train(config: TrainConfig) -> Path:
    """Train one stage, or find it trained; a run that was killed goes on after its last whole epoch.

    Returns:
        The run folder.

    Raises:
        SedcrnnError: whatever is wrong with the config, the data or the checkpoints and weights to start from.
    """
    check_sweep(config.trainer)
    config = with_used_features(with_chosen_precision(config))
    check_loggers(config.logger)
    if config.recipe.cache_frozen:
        check_cacheable(
            config.recipe, resolve(config.model["network"]["_target_"], "network"), config.trainer["precision"]
        )
    starts, encoder = load_initial(config), load_encoder(config)
    datamodule = make_datamodule(config)
    datamodule.prepare_data()
    for clip in datamodule.skipped:
        say(f"Skipped {clip.clip}: {clip.message}")
    scenes = datamodule.manifest.scenes
    check_initial(config, starts, scenes, datamodule.folds)
    selection = check_selection(datamodule.folds, config.data.selection)
    learnt_from = {clip.location for clip in datamodule.folds.train}.union(*(s.locations for s in starts.values()))
    run = Run(config, inputs=_describe_inputs(datamodule, starts, encoder))
    with run.locked():
        if run.finished:
            say(f"{config.name}: nothing has changed since it was trained; reusing {run.folder}")
            return run.folder
        if not run.begun and (earlier := run.nearest_earlier()) is not None:
            say(f"{config.name}: trained anew, for it differs from {earlier[0]} in {told(earlier[1])}")
        run.start()
        seed_everything(config.seed, workers=True, verbose=False)
        if encoder is not None:
            say(f"{config.name}: {encoder.backbone} trained on {encoder.trained_on} (licence: {encoder.licence})")
        module: SceneModule = build(
            {"_target_": config.model["_target_"]},
            "module",
            network=complete_network(config.model["network"], starts, datamodule.dimensions),
            recipe=asdict(config.recipe),
            scenes=list(scenes),
            features=_used(config.features),
            data=asdict(config.data),
            locations=sorted(learnt_from),
            seed=config.seed,
        )
        load_weights(module.network, starts, encoder)
        _fit(config, run, module, datamodule, selection)
    return run.folder


def make_datamodule(config: TrainConfig) -> SceneDataModule:
    """The data of a stage: the features that its config still names, in the store that it names."""
    features = {name: build(node, "feature") for name, node in _used(config.features).items()}
    store = FeatureStore(Path(config.store))
    augmentations = {
        name: build(node, "augmentation") for name, node in vars(config.recipe.augmentation).items() if node is not None
    }
    return SceneDataModule(config.data, features, store, config.recipe.batch_size, config.seed, augmentations)


def _fit(
    config: TrainConfig, run: Run, module: SceneModule, datamodule: SceneDataModule, selection: dict[str, object]
) -> None:
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
        ShowValidation(),
    ]
    loggers = make_loggers(config.logger, run.folder)
    trainer: Trainer = build(
        config.trainer, "trainer", callbacks=callbacks, logger=loggers, default_root_dir=str(run.folder)
    )
    if config.recipe.cache_frozen:
        node, features = module.hparams["network"], datamodule.features
        device, precision = trainer.strategy.root_device, str(trainer.precision)
        datamodule.encoder = FrozenEncoder(module.network, node, features, precision, device)
    resume = run.folder / LAST if (run.folder / LAST).is_file() else None
    if resume is not None:
        check_resumable(resume, module.hparams)
    if any(parameter.requires_grad for parameter in module.parameters()):
        say(f"{config.name}: {'resuming' if resume else 'training'} in {run.folder}")
        trainer.fit(module, datamodule=datamodule, ckpt_path=resume, weights_only=True)
        score = best.best_model_score
    else:  # an average of the predictions of frozen subnetworks
        say(f"{config.name}: nothing to train; scoring the network as it is in {run.folder}")
        trainer.validate(module, datamodule=datamodule, verbose=False)
        trainer.save_checkpoint(run.folder / BEST, weights_only=True)
        score = trainer.callback_metrics[CHECKPOINT_MONITOR]
    if trainer.interrupted:
        raise KeyboardInterrupt
    assert score is not None
    run.finish(
        epochs=trainer.current_epoch,
        best={CHECKPOINT_MONITOR: score.item(), "checkpoint": str(BEST)},
        selection_check=selection,
        skipped_clips=[asdict(clip) for clip in datamodule.skipped],
    )
    if trainer.is_global_zero:
        (run.folder / LAST).unlink(missing_ok=True)  # the optimiser's state, of no use any more
    trainer.strategy.barrier()  # the other processes may read the record from here on


def with_chosen_precision(config: TrainConfig) -> TrainConfig:
    """The config with the precision that `auto` means here, on which its result depends."""
    precision = choose_precision(config.trainer["precision"], config.trainer["accelerator"])
    return replace(config, trainer={**config.trainer, "precision": precision})


def with_used_features(config: TrainConfig) -> TrainConfig:
    """The config without the features that its network does not take, on which its result cannot depend."""
    inputs = resolve(config.model["network"]["_target_"], "network").inputs
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
    return {"data": datamodule.identity, "init_from": digests}

"""Train one stage: resolved config -> data, network, trainer -> a run folder with its best checkpoint."""

import logging
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import EarlyStopping, ProgressBar, Timer
from pytorch_lightning.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler

from sedcrnn.config.stage_config import FeaturesConfig, TrainConfig
from sedcrnn.config.targets import build, resolve
from sedcrnn.datasets.datamodule import SceneDataModule
from sedcrnn.datasets.folds import check_selection
from sedcrnn.errors import SedcrnnError, visible
from sedcrnn.evaluation.result_names import EPOCH
from sedcrnn.features.store import FeatureStore
from sedcrnn.networks.execution import choose_precision, keep_freed_memory
from sedcrnn.runs.checkpoint_io import WholeCheckpoints
from sedcrnn.runs.checkpoints import BEST, LAST, check_resumable
from sedcrnn.runs.records import in_words
from sedcrnn.runs.run_folder import Run
from sedcrnn.sweeps.ranks import check_sweep, count_processes
from sedcrnn.training import init_from
from sedcrnn.training.averaging import WeightAverage, WeightsBack
from sedcrnn.training.best_checkpoint import BestCheckpoint, LastCheckpoint, validation_scores
from sedcrnn.training.checks import (
    check_multi_label,
    check_optimizer,
    check_takes_incomplete,
    check_without_data,
    refused,
)
from sedcrnn.training.ending import EndBySignals, adopt_processes
from sedcrnn.training.epoch_table import EpochTable
from sedcrnn.training.frozen_cache import FrozenEncoder, check_cacheable
from sedcrnn.training.init_from import network_class
from sedcrnn.training.loggers import WandbLog, check_loggers, make_loggers
from sedcrnn.training.losses import with_weights
from sedcrnn.training.modules import SceneModule
from sedcrnn.training.plan import TrainingPlan, choose_windows, make_plan, warn_of_few_steps
from sedcrnn.training.pruning import check_hopeless
from sedcrnn.training.showcase import ShowValidation
from sedcrnn.training.stage_bar import StageBar
from sedcrnn.training.temperatures import keep_temperatures

log = logging.getLogger(__name__)

_PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}


def train(config: TrainConfig) -> Path | None:
    """Train one stage, or find it trained; a run that was killed goes on after its last whole epoch.

    Returns:
        The run folder; None with trainer.fast_dev_run, which leaves none.
    """
    check_sweep(config.trainer)
    keep_freed_memory()
    network, kind_of_module = network_class(config.model["network"]), resolve(config.model["_target_"], "module")
    precision = choose_precision(config.trainer["precision"], config.trainer["accelerator"])  # results depend on it
    config = with_used_features(replace(config, trainer={**config.trainer, "precision": precision}))
    kind_of_module.check_recipe(asdict(config.recipe), network)
    with refused("logger"):
        check_loggers(config.logger)
    with refused("callbacks"):
        callbacks: list[Callback] = [build(node, "callback") for node in config.callbacks.values() if node is not None]
        TimeLimit(config.trainer.get("max_time") or "00:00:00:01")
    check_takes_incomplete(config.data, network)
    if config.recipe.cache_frozen:
        check_cacheable(config.recipe, network, config.model["network"])
    starts, encoders = init_from.load_initial(config), init_from.load_encoders(config)
    datamodule = make_datamodule(config)
    check_without_data(config, starts, datamodule.features, callbacks)
    datamodule.prepare_data()
    datamodule.setup()
    for message in dict.fromkeys(one.message for one in datamodule.skipped):
        clips = [one.clip for one in datamodule.skipped if one.message == message]
        names = ", ".join(clips[:3]) + (f", ... ({len(clips)} clips)" if len(clips) > 3 else "")
        log.warning("Skipped %s: %s", visible(names), message)
    scenes, multi_label = datamodule.manifest.scenes, datamodule.manifest.multi_label
    init_from.check_initial(config, starts, datamodule.manifest, datamodule.folds)
    if multi_label:
        check_multi_label(config.recipe, callbacks)
    selection = check_selection(datamodule.folds, config.data.selection)
    recipe = with_weights(config.recipe, [clip.scenes for clip in datamodule.folds.train], scenes, multi_label)
    plan = make_plan(config, len(datamodule.folds.train), count_processes(config.trainer))
    with refused("recipe"):
        check_optimizer(config.recipe, plan.epochs, plan.steps)
    learnt_from = {clip.location for clip in datamodule.folds.train}.union(*(s.locations for s in starts.values()))
    # Digests only, so that moved files stay the same input.
    digests = {part: start.digest for part, start in (starts | encoders).items()}
    published = {path: weights.description for path, weights in encoders.items()}
    run = Run(config, inputs={"data": datamodule.identity, "init_from": digests}, published=published)
    is_trial = bool(config.trainer.get("fast_dev_run"))
    with nullcontext() if is_trial or run.finished else run.locked():  # what is finished may be read-only
        if run.finished and not is_trial:
            log.info("%s: nothing has changed since it was trained; reusing %s", config.name, run.folder)
            with suppress(OSError):  # of a kill at the very end; a read-only run keeps it
                (run.folder / LAST).unlink(missing_ok=True)
            return run.folder
        if not is_trial and (earlier := run.nearest_earlier()) is not None:
            log.info("%s: trained anew, for it differs from %s in %s", config.name, earlier[0], in_words(earlier[1]))
        seed_everything(config.seed, workers=True, verbose=False)
        for path, weights in encoders.items():
            origin = f"{weights.backbone} trained on {weights.trained_on} (licence: {weights.licence})"
            log.info("%s: %s starts from %s", config.name, path, origin)
        module: SceneModule = kind_of_module(
            network=init_from.complete_network(config.model["network"], starts, datamodule.dimensions),
            recipe=recipe,
            scenes=list(scenes),
            features=_used(config.features),
            data=asdict(config.data),
            locations=sorted(learnt_from),
            seed=config.seed,
        )
        init_from.load_weights(module.network, starts, encoders)
        if module.is_trained and network.kind not in starts:
            warn_of_few_steps(config, plan)
        if config.trainer["enable_progress_bar"] and not any(isinstance(each, ProgressBar) for each in callbacks):
            callbacks.append(StageBar(config.name))
        if is_trial:
            _try_out(config, plan, module, datamodule, callbacks)
            return None
        run.start()
        _fit(run, plan, module, datamodule, selection, callbacks)
    return run.folder


def with_used_features(config: TrainConfig) -> TrainConfig:
    """The config without the features that its network does not take, on which its result cannot depend."""
    inputs = network_class(config.model["network"]).inputs
    used = {name: node if name in inputs else None for name, node in asdict(config.features).items()}
    return replace(config, features=FeaturesConfig(**used))


def _used(features: FeaturesConfig) -> dict[str, Any]:
    return {name: node for name, node in asdict(features).items() if node is not None}


def make_datamodule(config: TrainConfig) -> SceneDataModule:
    """The data of a stage: the features that its config still names, in the store that it names."""
    recipe, store = config.recipe, FeatureStore(Path(config.store))
    with refused("features"):
        features = {name: build(node, "feature") for name, node in _used(config.features).items()}
    with refused("recipe.augmentation"):
        augmentations = {name: build(node, "augmentation") for name, node in vars(recipe.augmentation).items() if node}
    return SceneDataModule(
        config.data,
        features,
        store,
        recipe.batch_size,
        config.seed,
        augmentations,
        drawing=choose_windows(recipe, features),
    )


def _try_out(
    config: TrainConfig, plan: TrainingPlan, module: SceneModule, datamodule: SceneDataModule, callbacks: list[Callback]
) -> None:
    """Run a few batches of each fold, and keep nothing."""
    node = {**config.trainer, "max_epochs": plan.epochs}
    module.length = (plan.epochs, plan.steps)
    trainer: Trainer = build(
        node, "trainer", callbacks=[EndBySignals(), *callbacks], logger=False, enable_checkpointing=False
    )
    datamodule = _fit_or_validate(trainer, module, datamodule)
    trainer.test(module, datamodule=datamodule, verbose=False)


def _fit(
    run: Run,
    plan: TrainingPlan,
    module: SceneModule,
    datamodule: SceneDataModule,
    selection: dict[str, object],
    callbacks: list[Callback],
) -> None:
    config = run.config
    best = BestCheckpoint(run.folder / BEST, config.recipe.select_by)
    table, last = EpochTable(run.folder / "metrics.csv", plan.epochs), LastCheckpoint(run.folder / LAST)
    node = {**config.trainer, "max_epochs": plan.epochs}
    limits = [TimeLimit(limit)] if (limit := node.pop("max_time", None)) else []
    if (profiler := node.get("profiler")) is not None:
        node["profiler"] = _PROFILERS[profiler](dirpath=run.folder, filename="profile")
    early_stopping = StopEarly(module.watched, patience=config.recipe.early_stopping_patience, min_delta=0.0)
    showing = ShowValidation()
    recipe, module.length = config.recipe, (plan.epochs, plan.steps)
    average = WeightAverage(recipe.averaging, recipe.averaging_decay, recipe.averaging_start, plan.epochs)
    averaging = recipe.averaging != "none"
    watching = [
        EndBySignals(),
        early_stopping,
        showing,
        stopwatch := Stopwatch(),
        *limits,
        *callbacks,
        *([average] if averaging else []),
        best,
        table,
        *([WeightsBack(average)] if averaging else []),
        last,
    ]
    folder, loggers = str(run.folder), make_loggers(config.logger, run.folder)
    trainer: Trainer = build(
        node, "trainer", callbacks=watching, logger=loggers, default_root_dir=folder, plugins=[WholeCheckpoints()]
    )
    resume = run.folder / LAST if (run.folder / LAST).is_file() else None
    if resume is not None:
        check_resumable(resume, module.hparams)
    trained = module.is_trained
    doing = ("resuming" if resume else "training") if trained else "nothing to train; scoring the network as it is"
    log.info("%s: %s in %s%s", config.name, doing, run.folder, f": {plan}" if trained else "")
    data = _fit_or_validate(trainer, module, datamodule, resume)
    if not trained:
        trainer.save_checkpoint(run.folder / BEST, weights_only=True)
    scores = best.best if trained else {**validation_scores(trainer), EPOCH: 0}
    timers = [each for each in (*limits, *callbacks) if isinstance(each, Timer)]
    if trainer.current_epoch < plan.epochs and any((each.time_remaining() or 0) <= 0 for each in timers):
        raise SedcrnnError(
            f"The time of {config.name} was over after {trainer.current_epoch} epochs",
            f"A run is finished after {plan.epochs} epochs, or when the validation loss stays",
            "Give the same command again to go on",
        )
    for file in run.folder.glob("*profile*"):
        log.info("%s: where the time went is in %s", config.name, file)
    if trainer.current_epoch < plan.epochs and not early_stopping.stopped_epoch:
        check_hopeless(run, callbacks, scores, epochs=trainer.current_epoch, steps=trainer.global_step)
    kept = {}
    if trainer.is_global_zero:  # the others wait below
        kept = keep_temperatures(run, data, showing.predictions, str(trainer.strategy.root_device))
    run.finish(
        epochs=trainer.current_epoch,
        steps=trainer.global_step,
        seconds=round(stopwatch.time_elapsed(), 1),
        clips={fold: len(getattr(datamodule.folds, fold)) for fold in ("train", "validation", "test")},
        cities=datamodule.cities,
        best=scores,
        selection_check=selection,
        **kept,
        skipped_clips=[asdict(clip) for clip in datamodule.skipped],
    )
    if trainer.is_global_zero:
        for logger in loggers:
            if isinstance(logger, WandbLog):
                logger.keep(run.folder / BEST)
        (run.folder / LAST).unlink(missing_ok=True)  # the optimiser's state, of no use any more
    trainer.strategy.barrier()  # the other processes may read the record from here on


def _fit_or_validate(
    trainer: Trainer, module: SceneModule, data: SceneDataModule, resume: Path | None = None
) -> SceneDataModule:
    """Train what can be trained; returns the data, of which frozen parts are computed once if the recipe says so."""
    adopt_processes(trainer)
    if module.recipe["cache_frozen"]:
        network, device = module.hparams["network"], trainer.strategy.root_device
        data = data.encoded_by(FrozenEncoder(module.network, network, data.features, device, data.incomplete))
    if module.is_trained:
        trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    else:
        trainer.validate(module, datamodule=data, verbose=False)
    return data


class Stopwatch(Timer):
    """How long a run was trained, with the commands before this one."""


class TimeLimit(Timer):
    """Ends a training after an epoch, when this command has taken its time; the same command goes on from there.

    Lightning's own stops in the middle of an epoch, and counts the time of earlier commands too.
    """

    def __init__(self, duration: str | dict[str, int]) -> None:
        super().__init__(duration, interval="epoch")

    def state_dict(self) -> dict[str, Any]:
        """Nothing to go on with."""
        return {}


class StopEarly(EarlyStopping):
    """Ends a training of which the validation loss stays; one that was killed after that ends as it is."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning's own would train one more epoch."""
        trainer.should_stop = trainer.should_stop or self.stopped_epoch > 0

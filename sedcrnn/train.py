"""Train one stage: an experiment's config -> a run folder with its best checkpoint.

sedcrnn train experiment=audio
sedcrnn train experiment=fusion init_from.audio=audio init_from.visual=visual
sedcrnn train experiment=audio debug=fast_dev_run
sedcrnn train -m experiment=audio seed=0,1,2 hydra.launcher.jobs=2
"""

from sedcrnn.cli import command, scored
from sedcrnn.config.stage_config import TrainConfig


@command(TrainConfig, config_name="train")
@scored
def main(config: TrainConfig) -> float | None:
    """Train the stage; its best validation score is what a sweep compares."""
    from sedcrnn.runs.records import describe_run, report_score
    from sedcrnn.training.stage import train

    run = train(config)
    if run is None:
        print(f"\n{config.name}: everything ran; nothing was kept.")
        return report_score()
    print(f"\n{describe_run(run)}\nNext: sedcrnn evaluate run={run}")
    return report_score(run)


if __name__ == "__main__":
    main()

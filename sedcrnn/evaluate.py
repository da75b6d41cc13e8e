"""Predictions and scores of a trained network on a fold of its data set, from the checkpoint alone.

sedcrnn evaluate fusion
sedcrnn evaluate run=runs/audio-s0-1a2b3c4d fold=validation data.root=<folder>
"""

from dataclasses import field
from typing import Annotated, Any

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.command_options import DataFolder, Device, Fold, RunName
from sedcrnn.config.values import CHECKED, Count, PathName, Workers


@dataclass(config=CHECKED, kw_only=True)
class EvaluateOptions:
    """What to evaluate, and on what."""

    run: RunName
    fold: Fold = "test"
    data: DataFolder = field(default_factory=DataFolder)
    batch_size: Annotated[Count, "Windows at a time; the result does not depend on it."] = 32
    extraction_workers: Annotated[Workers, "Processes that make missing features."] = 2
    store: Annotated[PathName, "Where features are kept."] = "data/store"
    device: Device = "auto"

    @property
    def arguments(self) -> dict[str, Any]:
        """All of them, as the functions that score a run take them."""
        return {**{key: value for key, value in vars(self).items() if key != "data"}, "root": self.data.root}


@command(EvaluateOptions, words=["run"])
def main(options: EvaluateOptions) -> None:
    """Evaluate the run, and print its table."""
    from sedcrnn.evaluation.answer_check import answer_warnings
    from sedcrnn.evaluation.fold_scores import evaluate
    from sedcrnn.evaluation.result_names import PREDICTIONS
    from sedcrnn.reporting.conclusion import conclusion
    from sedcrnn.reporting.run_grids import heads_grid

    metrics = evaluate(**options.arguments)
    print(f"{heads_grid([[metrics]]).text()}\n\n{metrics}\n{metrics.with_name(PREDICTIONS)}")
    print("Scores are of the network's own probabilities; sedcrnn predict gives calibrated ones.\n")
    print(*answer_warnings(metrics), sep="\n", end="")
    if options.fold == "test":
        print(conclusion(metrics))
        print(f"Next: sedcrnn predict run={options.run} <files>, or sedcrnn report")
    else:
        print(f"Next: sedcrnn evaluate run={options.run}, on the test fold")


if __name__ == "__main__":
    main()

"""Scores of a trained network where audio or video is missing, corrupted or of another clip, and in other batches.

sedcrnn robustness fusion
sedcrnn robustness run=runs/fusion-s0-1a2b3c4d fold=validation
"""

import json

from sedcrnn.cli import command
from sedcrnn.evaluate import EvaluateOptions


@command(EvaluateOptions, words=["run"])
def main(options: EvaluateOptions) -> None:
    """Score the run, and print the answer's scores under each condition."""
    from sedcrnn.evaluation.robustness_scores import robustness
    from sedcrnn.reporting.run_grids import conditions_grid

    path = robustness(**options.arguments)
    print(f"{conditions_grid(json.loads(path.read_text(encoding='utf-8'))).text()}\n\n{path}\nNext: sedcrnn report")


if __name__ == "__main__":
    main()

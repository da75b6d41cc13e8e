"""What a pipeline has left to train, from how long the optimiser steps of its stages have taken so far."""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.progress import is_before, time_in_words
from sedcrnn.runs.records import is_finished, read_record
from sedcrnn.sweeps.ranks import count_processes
from sedcrnn.training.plan import make_plan


class TimeLeft:
    """An estimate for stages that are trained one after another, for one seed after another, on the same data.

    A stage takes as long per step as it did for an earlier seed; before that, as the stages so far on average. After a
    stage that was there before, nothing is said: so may be the next ones.
    """

    def __init__(self, stages_of_seeds: Sequence[Mapping[str, TrainConfig]]) -> None:
        self.to_do = [stage for stages in stages_of_seeds for stage in stages.items()]
        self.pace: dict[str, float] = {}  # stage -> seconds per step
        self.clips = 0
        self.begun = time.time()

    def after(self, stage: str, run: Path) -> str:
        """What is left after the next stage, whose finished run this is, as the end of a sentence; empty: nothing, or
        nobody knows."""
        self.to_do.pop(0)
        record = read_record(run) or {}
        if record["steps"]:
            self.pace[stage] = record["seconds"] / record["steps"]
            self.clips = record["clips"]["train"]
        was_there = is_finished(record) and is_before(record["finished"], self.begun)
        if was_there or not self.pace or not self.to_do:
            return ""
        average = statistics.fmean(self.pace.values())
        seconds = sum(self.pace.get(name, average) * self._steps(config) for name, config in self.to_do)
        return f"; about {time_in_words(seconds)} of training left"

    def _steps(self, config: TrainConfig) -> int:
        return make_plan(config, self.clips, count_processes(config.trainer)).steps

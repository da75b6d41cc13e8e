"""Two rows on the same clips -> how much they differ, and how sure that is.

Intervals come from a bootstrap in which both rows are scored on the same drawn locations: they are about other places,
not about other seeds. McNemar's test assumes independent examples, so it is made per clip, and not per window.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import binom

from sedcrnn.evaluation.answer_check import answer_warnings
from sedcrnn.evaluation.intervals import LEVEL, Interval
from sedcrnn.reporting.grids import LEVELS
from sedcrnn.reporting.scoring import ScoredRun
from sedcrnn.reporting.tables import Row, Table


class Difference(NamedTuple):
    """A row's score less the reference's."""

    value: float  # mean over seeds
    interval: Interval  # 95 %, over locations
    p_value: float  # two-sided, of the same bootstrap


class Comparison(NamedTuple):
    """A row against the reference row of its table; p-values after Holm over the table's comparisons."""

    row: Row
    seeds: tuple[int, ...]  # that both have
    differences: dict[tuple[str, str], Difference]  # of each level and score
    discordances: list[tuple[int, int]]  # of every seed: clips that the row alone and the reference alone has right
    bootstrap: float  # p-value of the difference on windows in macro accuracy, or in mean average precision
    mcnemar: float  # McNemar's p-value per clip, seeds combined


def bootstrap_difference(
    row: Sequence[ScoredRun], reference: Sequence[ScoredRun], level: str, score: str
) -> Difference:
    """The paired difference of a score, of runs with the same seeds in the same order, on the same fold."""
    pairs = [(one.levels[level], other.levels[level]) for one, other in zip(row, reference, strict=True)]
    value = float(np.mean([one.scores[score] - other.scores[score] for one, other in pairs]))
    drawn = torch.stack([one.replicates[score] - other.replicates[score] for one, other in pairs]).mean(0).numpy()
    low, high = np.quantile(drawn, LEVEL).tolist()
    # One more in both counts: the data themselves are a draw that agrees with no difference.
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return Difference(value, (low, high), min(1.0, 2 * (int(tail) + 1) / (len(drawn) + 1)))


def discordance(row: ScoredRun, reference: ScoredRun) -> tuple[int, int]:
    """How many clips the row alone has right, and how many the reference alone; both on the same fold."""
    ours, theirs = (_right(run) for run in (row, reference))
    pairs = Counter((ours[clip], theirs[clip]) for clip in theirs)
    return pairs[True, False], pairs[False, True]


def _right(run: ScoredRun) -> dict[str, bool]:
    return dict(zip(run.clips, run.levels["clip"].right.tolist(), strict=True))


def mcnemar(row: int, reference: int) -> float:
    """The p-value of McNemar's exact test, mid-p (Fagerland, Lydersen and Laake 2013, doi 10.1186/1471-2288-13-91)."""
    fewer, both = min(row, reference), row + reference
    return float(2 * binom.cdf(fewer, both, 0.5) - binom.pmf(fewer, both, 0.5))


def combine(p_values: Sequence[float]) -> float:
    """One p-value of several, however they depend on each other: n/k times the k-th smallest, k half of n (Rueger 1978,
    Metrika 25, 171-178)."""
    k = ceil(len(p_values) / 2)
    return min(1.0, sorted(p_values)[k - 1] * len(p_values) / k)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of a family of comparisons, in the same order (Holm 1979, jstor 4615733)."""
    order = np.argsort(p_values, kind="stable")
    stepped = np.array([min(1.0, (len(order) - rank) * p_values[index]) for rank, index in enumerate(order)])
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(stepped)
    return [float(value) for value in adjusted]


def compare(table: Table) -> list[Comparison]:
    """Every row that shares a seed with the reference row, against it."""
    reference, compared = table.reference, []
    if reference is None:
        return []
    for row in table.rows:
        seeds = tuple(seed for seed in row.runs if seed in reference.runs)
        if row is reference or not seeds:
            continue
        ours, theirs = [row.runs[seed] for seed in seeds], [reference.runs[seed] for seed in seeds]
        pairs = [(level, score) for level in LEVELS for score in table.scores]
        differences = {pair: bootstrap_difference(ours, theirs, *pair) for pair in pairs}
        compared.append((row, seeds, differences, list(map(discordance, ours, theirs))))
    bootstrap = holm([differences["window", table.main_score].p_value for *_, differences, _ in compared])
    by_clip = holm([combine([mcnemar(*one) for one in discordances]) for *_, discordances in compared])
    return [Comparison(*parts, *adjusted) for parts, *adjusted in zip(compared, bootstrap, by_clip, strict=True)]


def fusion_gain(table: Table, row: Row) -> dict[int, float]:
    """Seed -> the table's main score on windows less that of the best single modality with that seed.

    The best is chosen on the reported fold, to fusion's disadvantage. A seed that a single modality lacks has no gain.
    """
    wanted = {single.spec.experiment for single in table.single_modality}
    gains = {}
    for seed, run in row.runs.items():
        singles = [single for single in table.single_modality if seed in single.runs]
        if wanted and {single.spec.experiment for single in singles} == wanted:
            scores = [single.runs[seed].levels["window"].scores[table.main_score] for single in singles]
            gains[seed] = run.levels["window"].scores[table.main_score] - max(scores)
    return gains


def outdone(table: Table) -> Iterator[str]:
    """Sentences on runs whose answer is worse than one of their own heads, or than a single modality's with the same
    seed, by the validation fold."""
    for row in table.rows:
        for seed, scored in row.runs.items():
            if row not in table.single_modality and scored.is_answer:
                singles = [
                    single.runs[seed].run.metrics_file for single in table.single_modality if seed in single.runs
                ]
                yield from answer_warnings(scored.run.metrics_file, singles)

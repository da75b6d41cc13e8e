"""Two rows on the same clips -> how much they differ, and how sure that is.

A difference is the mean over the seeds that both rows have. Its 95 % interval comes from a bootstrap over locations, in
which both rows are scored on the same drawn locations: it is about other places, not about other seeds.

McNemar's test takes clips for independent, which those of one location are not quite, and windows are not at all: so
it is made per clip only, and stands second. Its seeds have seen the same clips, so their p-values are combined by a
rule that holds under any dependence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from scipy.stats import binom

from sedcrnn.evaluation.intervals import LEVEL, Interval
from sedcrnn.evaluation.metrics import MACRO_ACCURACY, MACRO_LOG_LOSS
from sedcrnn.reporting.results_tables import LEVELS
from sedcrnn.reporting.rows import Row, Table
from sedcrnn.reporting.scoring import ScoredRun


@dataclass(frozen=True)
class Difference:
    """Of one score, a row's less the reference's.

    Attributes:
        value: mean over seeds.
        interval: 95 % over locations.
        p_value: two-sided, from the same bootstrap.
    """

    value: float
    interval: Interval
    p_value: float


@dataclass(frozen=True)
class Discordance:
    """Clips of which one row alone is right, for one seed.

    Attributes:
        row: clips that the row has right and the reference wrong.
        reference: the reverse.
    """

    row: int
    reference: int

    @property
    def p_value(self) -> float:
        """McNemar's exact test, mid-p (Fagerland, Lydersen and Laake 2013, doi 10.1186/1471-2288-13-91)."""
        fewer, both = min(self.row, self.reference), self.row + self.reference
        return float(2 * binom.cdf(fewer, both, 0.5) - binom.pmf(fewer, both, 0.5))


def bootstrap_difference(
    row: Sequence[ScoredRun], reference: Sequence[ScoredRun], level: str, score: str
) -> Difference:
    """The paired difference of a score.

    Args:
        row: runs of the row, one per seed.
        reference: runs of the reference with the same seeds in the same order, on the same fold.
        level: `window` or `clip`.
        score: macro accuracy or macro log loss, by name.
    """
    pairs = [(one.levels[level], other.levels[level]) for one, other in zip(row, reference, strict=True)]
    value = float(np.mean([one.scores[score] - other.scores[score] for one, other in pairs]))
    drawn = torch.stack([one.replicates[score] - other.replicates[score] for one, other in pairs]).mean(0).numpy()
    low, high = np.quantile(drawn, LEVEL).tolist()
    # One more in both counts: the data themselves are a draw that agrees with no difference.
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return Difference(value, (low, high), min(1.0, 2 * (int(tail) + 1) / (len(drawn) + 1)))


def discordance(row: ScoredRun, reference: ScoredRun) -> Discordance:
    """The clips of which one run alone is right; both on the same fold."""
    right = dict(zip(row.clips, row.levels["clip"].right.tolist(), strict=True))
    pairs = [
        (right[clip], other)
        for clip, other in zip(reference.clips, reference.levels["clip"].right.tolist(), strict=True)
    ]
    return Discordance(pairs.count((True, False)), pairs.count((False, True)))


def combine(p_values: Sequence[float]) -> float:
    """One p-value of several, however they depend on each other: n/k times the k-th smallest, k half of n.

    Rueger 1978, Metrika 25, 171-178; a single p-value stays as it is.
    """
    place = ceil(len(p_values) / 2)
    return min(1.0, sorted(p_values)[place - 1] * len(p_values) / place)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of a family of comparisons, in the same order (Holm 1979, jstor 4615733)."""
    order = np.argsort(p_values, kind="stable")
    stepped = [min(1.0, (len(order) - rank) * p_values[place]) for rank, place in enumerate(order)]
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(stepped) if stepped else []
    return [float(value) for value in adjusted]


@dataclass(frozen=True, eq=False)
class Comparison:
    """A row against the reference row of its table.

    Attributes:
        row: the row.
        seeds: that both have.
        differences: (level, score) -> the row's less the reference's.
        discordances: of every seed.
        bootstrap: p-value of the difference in macro accuracy on windows, after Holm over the table's comparisons.
        mcnemar: McNemar's p-value per clip, seeds combined, after Holm over the same comparisons.
    """

    row: Row
    seeds: tuple[int, ...]
    differences: dict[tuple[str, str], Difference]
    discordances: tuple[Discordance, ...]
    bootstrap: float
    mcnemar: float


def compare(table: Table) -> list[Comparison]:
    """Every row that shares a seed with the reference row, against it."""
    if table.reference is None:
        return []
    reference = table.reference.runs
    compared = []
    for row in table.rows:
        seeds = tuple(seed for seed in row.runs if seed in reference)
        if row is table.reference or not seeds:
            continue
        ours, theirs = [row.runs[seed] for seed in seeds], [reference[seed] for seed in seeds]
        differences = {
            (level, score): bootstrap_difference(ours, theirs, level, score)
            for level in LEVELS
            for score in (MACRO_ACCURACY, MACRO_LOG_LOSS)
        }
        compared.append((row, seeds, differences, tuple(map(discordance, ours, theirs))))
    bootstrap = holm([differences["window", MACRO_ACCURACY].p_value for _, _, differences, _ in compared])
    mcnemar = holm([combine([one.p_value for one in discordances]) for *_, discordances in compared])
    return [Comparison(*parts, *adjusted) for parts, *adjusted in zip(compared, bootstrap, mcnemar, strict=True)]


def fusion_gain(table: Table, row: Row) -> dict[int, float]:
    """Seed -> macro accuracy on windows less that of the best single modality with that seed.

    The best is chosen on the reported fold, to fusion's disadvantage. A seed that a single modality lacks has no gain.
    """
    wanted = {single.experiment for single in table.single_modality}
    gains = {}
    for seed, run in row.runs.items():
        singles = [single for single in table.single_modality if seed in single.runs]
        if wanted and {single.experiment for single in singles} == wanted:
            scores = [single.runs[seed].levels["window"].scores[MACRO_ACCURACY] for single in singles]
            gains[seed] = run.levels["window"].scores[MACRO_ACCURACY] - max(scores)
    return gains

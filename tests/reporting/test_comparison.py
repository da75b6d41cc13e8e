"""McNemar, Holm and the combination of seeds against values worked out by hand; differences between rows."""

import pytest

from sedcrnn.reporting.comparison import combine, compare, discordance, fusion_gain, holm, mcnemar
from tests.reporting.conftest import AUDIO, LATE, LATE_AGAIN, SPECS

WRONG = ((0.2, 0.2),) * 4
RIGHT = ((0.8, 0.8),) * 4


def test_mcnemar_by_hand():
    # Of 7 clips, 1 against 6: 2 * P(at most 1) - P(1) = 2 * 8/128 - 7/128
    assert mcnemar(1, 6) == pytest.approx(9 / 128)
    assert mcnemar(6, 1) == pytest.approx(9 / 128)
    assert mcnemar(0, 5) == pytest.approx(1 / 32)
    assert mcnemar(3, 3) == pytest.approx(1)
    assert mcnemar(0, 0) == 1


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_p_values_of_seeds_are_combined_by_rank():
    assert combine([0.04]) == 0.04
    assert combine([0.01, 0.03]) == pytest.approx(0.02)  # 2/1 of the first
    assert combine([0.2, 0.01, 0.03]) == pytest.approx(0.045)  # 3/2 of the second
    assert combine([0.9, 0.8]) == 1


def test_the_difference_of_rows_is_the_mean_over_common_seeds(runs, tables_of):
    (table,) = tables_of(runs)
    audio, visual = compare(table)
    assert (audio.row.label, audio.seeds, visual.row.label, visual.seeds) == ("Audio", (0, 1), "Visual", (0,))
    # Audio has 5 and 6 of 8 windows right, four of each scene; fusion 7 and 8.
    found = audio.differences["window", "macro_accuracy"]
    assert found.value == pytest.approx(((5 - 7) + (6 - 8)) / 2 / 8)
    assert found.interval[0] <= found.value <= found.interval[1] <= 0
    # Clips: audio misses p2 with either seed, fusion none (p2 is 0.58 with the first).
    assert audio.discordances == [(0, 1), (0, 1)]
    assert audio.mcnemar == pytest.approx(1)  # 1 against 0 is p = 1/2, twice


def test_a_difference_at_every_place_is_as_sure_as_the_replicates_allow(write_run, tables_of, tmp_path):
    write_run("audio", 0, WRONG)
    write_run("fusion", 0, RIGHT)
    (table,) = tables_of(tmp_path / "runs")
    (found,) = compare(table)
    accuracy = found.differences["clip", "macro_accuracy"]
    assert (accuracy.value, accuracy.interval) == (-1, (-1, -1))
    assert accuracy.p_value == pytest.approx(2 / 1001)
    assert found.bootstrap == pytest.approx(2 / 1001)
    assert found.mcnemar == pytest.approx(0.5**4)


def test_equal_rows_do_not_differ(write_run, tables_of, tmp_path):
    write_run("audio", 0, AUDIO)
    write_run("fusion", 0, AUDIO)
    (table,) = tables_of(tmp_path / "runs")
    (found,) = compare(table)
    assert {one.value for one in found.differences.values()} == {0}
    assert {one.p_value for one in found.differences.values()} == {1}
    assert discordance(found.row.runs[0], table.reference.runs[0]) == (0, 0)


def test_both_families_are_corrected_over_the_rows(write_run, tables_of, tmp_path):
    write_run("audio", 0, WRONG)
    write_run("visual", 0, WRONG)
    write_run("fusion", 0, RIGHT)
    (table,) = tables_of(tmp_path / "runs")
    assert [one.bootstrap for one in compare(table)] == pytest.approx([4 / 1001] * 2)
    assert [one.mcnemar for one in compare(table)] == pytest.approx([2 * 0.5**4] * 2)


def test_gain_is_over_the_best_single_modality_with_the_same_seed(runs, tables_of, write_run):
    (table,) = tables_of(runs)
    fusion = table.rows[2]
    # 7 of 8 against 5 (audio) and 5 (visual); seed 1 lacks its visual network, so nobody knows which is best.
    assert fusion_gain(table, fusion) == {0: pytest.approx(2 / 8)}


def test_without_a_reference_row_nothing_is_compared(write_run, tables_of, tmp_path):
    write_run("fusion", 0, LATE)
    write_run("fusion", 1, LATE_AGAIN, config={"recipe": {"mixup_alpha": 0.0}})
    write_run("audio", 0, AUDIO)
    (table,) = tables_of(tmp_path / "runs", SPECS)
    assert table.reference is None  # which of the two?
    assert compare(table) == []

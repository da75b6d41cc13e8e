"""The table of predictions: its form to the letter, and one broken table for each rule."""

import re
from pathlib import Path

import pytest
import torch

from sedcrnn.errors import SubmissionError
from sedcrnn.submission.output import broken_rules, check_output, write_output

HEADER = (
    "filename\tscene_label\tairport\tbus\tmetro\tmetro_station\tpark\tpublic_square\tshopping_mall\t"
    "street_pedestrian\tstreet_traffic\ttram"
)


def test_the_form_to_the_letter(tmp_path: Path) -> None:
    probabilities = torch.tensor([[0.5, 0.25, *[0.03125] * 8], [1e-9, *[0.0] * 8, 1.0]], dtype=torch.float64)
    write_output(tmp_path / "o.csv", ["0", "1"], probabilities)
    assert (tmp_path / "o.csv").read_text() == (
        HEADER + "\n0.wav\tairport\t0.5\t0.25" + 8 * "\t0.03125" + "\n1.wav\ttram\t1e-09" + 8 * "\t0" + "\t1\n"
    )


def test_a_table_in_any_order_with_any_line_ending_keeps_the_rules(table: Path) -> None:
    path = table
    header, *rows = path.read_text().splitlines()
    assert list(broken_rules(path, 12)) == []
    path.write_bytes("\r\n".join([header, *reversed(rows), ""]).encode())
    assert list(broken_rules(path, 12)) == []


def cell(row: int, column: int, value: str):
    def change(rows: list[list[str]]) -> None:
        rows[row][column] = value

    return change


def scale(factor: float):
    def change(rows: list[list[str]]) -> None:
        rows[3][2:] = [str(factor * float(value)) for value in rows[3][2:]]

    return change


def swap_extremes(rows: list[list[str]]) -> None:
    """A probability above 1 and one below 0, of the right sum and label."""
    rows[3][1:] = ["airport", "1.5", "-0.5", *["0"] * 8]


def add_extra_file(rows: list[list[str]]) -> None:
    rows.append(["12.wav", *rows[1][1:]])


def repeat_a_row(rows: list[list[str]]) -> None:
    rows.append(rows[1])


def use_a_lesser_scene(rows: list[list[str]]) -> None:
    numbers = [float(value) for value in rows[3][2:]]
    rows[3][1] = rows[0][2 + numbers.index(min(numbers))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cell(0, 1, "scene"), "the header is 'filename scene airport"),
        (lambda rows: rows.pop(0), "the header is '0.wav"),
        (lambda rows: rows.clear(), "the header is ''"),
        (lambda rows: rows[0].__setitem__(slice(2, 4), ["bus", "airport"]), "the header is 'filename scene_label bus"),
        (lambda rows: rows[3].append("0.0"), "a row is not of 12 columns: '2.wav"),
        (lambda rows: rows.pop(3), "a file name is missing, but there are exactly 0.wav to 11.wav: '2.wav'"),
        (add_extra_file, "a file name is not in the evaluation set, .*: '12.wav'"),
        (repeat_a_row, "a file name is more than once, .*: '0.wav'"),
        (cell(3, 0, "2.mp4"), "a file name is with another suffix than .wav, .*: '2.mp4'"),
        (cell(3, 4, "much"), "a row is not of numbers: '2.wav'"),
        (cell(3, 4, "nan"), r"a row is not of probabilities, which lie in \[0, 1\]: '2.wav'"),
        (swap_extremes, r"a row is not of probabilities, which lie in \[0, 1\]: '2.wav'"),
        (scale(0.9), "a row is not of probabilities with the sum 1: '2.wav'"),
        (cell(3, 1, "Tram"), "a row is labelled with none of the ten scenes: '2.wav' with 'Tram'"),
        (use_a_lesser_scene, "a row is not labelled with the most probable scene: '2.wav'"),
    ],
)
def test_each_rule_by_a_table_that_breaks_only_it(table: Path, change, message: str) -> None:
    path = table
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    change(rows)
    path.write_text("".join("\t".join(row) + "\n" for row in rows))
    (broken,) = broken_rules(path, 12)
    assert re.match(message, broken)


def test_commas_are_not_tabs_and_a_missing_file_is_named(table: Path) -> None:
    path = table
    path.write_text(path.read_text().replace("\t", ","))
    (broken,) = broken_rules(path, 12)
    assert "separated by tabs" in broken
    path.unlink()
    assert list(broken_rules(path, 12)) == ["the file is missing"]
    with pytest.raises(SubmissionError, match=r"breaks 1 rule of the challenge: \(1\) the file is missing"):
        check_output(path, 12)


def test_the_official_number_of_files_is_checked_in_seconds(tmp_path: Path) -> None:
    probabilities = torch.full((72_000, 10), 0.1)
    names = [str(number) for number in range(72_000)]
    write_output(tmp_path / "o.csv", names, probabilities)
    assert list(broken_rules(tmp_path / "o.csv", 72_000)) == []
    write_output(tmp_path / "o.csv", names[:-2], probabilities[:-2])
    (broken,) = broken_rules(tmp_path / "o.csv", 72_000)
    assert broken == "2 file names are missing, but there are exactly 0.wav to 71999.wav: '71998.wav'"

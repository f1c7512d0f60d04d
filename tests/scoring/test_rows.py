"""A file of scores has exactly the rows that it should have, each with a value that can be."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.errors import DataError
from attnbench.scoring.definitions import SCORE_COLUMNS
from attnbench.scoring.predictions import open_predictions
from attnbench.scoring.rows import Part, refuse_wrong_rows

CASES = {"a": "g", "b, with comma": "g", "01": "h"}
PART = Part(
    {"dataset": "d", "model": "m", "fold": 1, "seed": 0},
    ("dice", "hd95", "lesion_fp"),
    CASES,
    (1, 3),
)
VALUES = {"dice": ("0.5", "1"), "hd95": ("12.25", "mm"), "lesion_fp": ("2.0", "count")}
ROWS = [
    ["d", "m", "1", "0", case, group, number, metric, *VALUES[metric], "ok"]
    for case, group in CASES.items()
    for number in ("1", "3")
    for metric in PART.metrics
]


def text_of(rows) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([SCORE_COLUMNS, *rows])
    return stream.getvalue()


def check(folder, text, parts=(PART,)):
    path = folder / "scores.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    refuse_wrong_rows(path, SCORE_COLUMNS, parts, "score it again")


def test_the_rows_of_all_cases_classes_and_metrics_are_taken_in_any_order(tmp_path):
    check(tmp_path, text_of(ROWS))
    check(tmp_path, text_of(ROWS[::-1]))
    undefined = [[*row[:8], "", row[9], "prediction_empty"] for row in ROWS]
    check(tmp_path, text_of(undefined))


@given(data=st.data())
def test_any_row_less_or_twice_is_found(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    number = data.draw(st.integers(0, len(ROWS) - 1))
    less = [row for place, row in enumerate(ROWS) if place != number]
    with pytest.raises(DataError, match=r"scores\.csv: 1 rows are missing .*; score it again"):
        check(folder, text_of(less))
    again = [*less, less[data.draw(st.integers(0, len(less) - 1))]]
    for rows in ([*ROWS, ROWS[number]], again):
        with pytest.raises(DataError, match="stands there twice"):
            check(folder, text_of(rows))


@given(end=st.integers(0, len(text_of(ROWS)) - 1))
def test_a_file_that_is_cut_anywhere_is_refused(end, tmp_path_factory):
    with pytest.raises(DataError, match=r"scores\.csv: .*; score it again"):
        check(tmp_path_factory.mktemp("cut"), text_of(ROWS)[:end])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("dataset", "e", "dataset is 'e', that of this file is 'd'"),
        ("model", "n", "model is 'n'"),
        ("fold", "0", "fold is '0'"),
        ("seed", "7", "seed is '7'"),
        ("case", "z", "no such case here: 'z'"),
        ("group", "h", "is of group 'g', not 'h'"),
        ("class", "9", "no such class here: '9'"),
        ("metric", "iou", "no such metric here: 'iou'"),
        ("value", "5.0", "dice is '5.0'; it is from 0 to 1"),
        ("value", "-3", "dice is '-3'"),
        ("value", "nan", "dice is 'nan'"),
        ("value", "inf", "dice is 'inf'"),
        ("value", "x", "dice is 'x'"),
        ("value", "", "no dice, and the status is ok"),
        ("unit", "mm", "the unit of dice is 'mm', expected 1"),
        ("status", "whatever", "no such status: 'whatever'"),
    ],
)
def test_what_cannot_be_is_named_with_its_line(column, value, message, tmp_path):
    rows = [list(row) for row in ROWS]
    rows[0][SCORE_COLUMNS.index(column)] = value
    with pytest.raises(DataError) as caught:
        check(tmp_path, text_of(rows))
    assert f"line 2: {message}" in str(caught.value) or message in str(caught.value)


@pytest.mark.parametrize("value", ["-1", "nan"])
def test_a_distance_is_none_below_zero(value, tmp_path):
    rows = [list(row) for row in ROWS]
    rows[1][8] = value
    with pytest.raises(DataError, match=f"hd95 is '{value}'; it is 0 or more"):
        check(tmp_path, text_of(rows))


def test_without_the_prepared_data_what_is_there_has_to_be_complete(tmp_path):
    part = Part(PART.fixed, PART.metrics)
    check(tmp_path, text_of(ROWS), [part])
    with pytest.raises(DataError, match="2 rows are missing"):
        check(tmp_path, text_of(ROWS[2:]), [part])
    with pytest.raises(DataError, match="rows are missing"):
        check(tmp_path, text_of([]), [part])


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"case,dice\na,1\n", b'"\n'])
def test_what_is_no_file_of_scores_is_refused_by_path(content, tmp_path):
    with pytest.raises(DataError, match=r"scores\.csv: .*; score it again"):
        check(tmp_path, content)


def masks(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def read(path, case="a"):
    with open_predictions(path, [1, 2], "predict it again") as predictions:
        return predictions.mask(case)


def test_masks_come_back_as_they_were(tmp_path):
    mask = np.array([[0, 1], [2, 1]], np.uint8)
    np.testing.assert_array_equal(read(masks(tmp_path / "predictions.npz", a=mask)), mask)


@pytest.mark.parametrize("number", [3, 200, 255])
def test_values_that_are_no_class_are_refused(number, tmp_path):
    path = masks(tmp_path / "predictions.npz", a=np.array([[0, 1], [number, 1]], np.uint8))
    with pytest.raises(DataError, match=rf"'a' has values that are no class: {number};.*again"):
        read(path)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32, bool])
def test_masks_of_other_numbers_are_refused(dtype, tmp_path):
    path = masks(tmp_path / "predictions.npz", a=np.zeros((2, 2), dtype))
    with pytest.raises(DataError, match=r"case 'a' holds .*, expected uint8"):
        read(path)


@given(data=st.data())
def test_a_damaged_archive_is_refused_or_gives_the_same_masks(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("npz") / "predictions.npz"
    mask = (np.arange(400).reshape(20, 20) % 3).astype(np.uint8)
    whole = masks(path, a=mask).read_bytes()
    kind = data.draw(st.sampled_from(["cut", "flip", "empty", "other"]))
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    contents = {"cut": whole[:place], "flip": bytes(changed), "empty": b"", "other": b"\x93NUMPY"}
    path.write_bytes(contents[kind])
    try:
        found = read(path)
    except DataError as error:
        assert "predictions.npz" in str(error)
        assert "predict it again" in str(error)
    else:
        np.testing.assert_array_equal(found, mask)

"""Rows written without pandas are the bytes that pandas writes."""

import math

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from attnbench.files import write_csv, write_rows

NAMES = ("case", "step", "value", "status")
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "case": st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
            "step": st.integers(-(2**40), 2**40),
            "value": st.floats(allow_infinity=False),
            "status": st.sampled_from(["ok", "a, b", 'say "so"']),
        }
    ),
    min_size=1,
)


@given(rows=ROWS)
def test_rows_are_written_as_pandas_writes_them(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    write_csv(folder / "frame.csv", pd.DataFrame(rows, columns=list(NAMES)))
    write_rows(folder / "rows.csv", NAMES, rows)
    assert (folder / "rows.csv").read_bytes() == (folder / "frame.csv").read_bytes()


def test_what_is_no_number_is_empty(tmp_path):
    write_rows(tmp_path / "rows.csv", ("a", "b"), [{"b": math.nan, "a": 1e-05}])
    assert (tmp_path / "rows.csv").read_text() == "a,b\n1e-05,\n"

"""Damaged files of data, by the thousand: one error that says what to do, and nothing else."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from damage import outcome, tried
from readers import Target, listed, originals, prepared

pytestmark = [pytest.mark.robust, pytest.mark.filterwarnings("ignore")]
FLIPS = int(os.environ.get("ATTNBENCH_FLIPS", "100"))
LONGEST_S = 30


@pytest.mark.parametrize("dataset", ["phantom2d", "nuclei_mini"])
def test_prepared_data(tmp_path, dataset):
    assert "\n".join(bad(prepared(tmp_path, dataset))) == ""


def test_lists_and_receipts(tmp_path):
    assert "\n".join(bad(listed(tmp_path))) == ""


@pytest.mark.parametrize("hashed", [True, False], ids=["hashed", "not hashed"])
def test_originals(tmp_path, hashed):
    assert "\n".join(bad(originals(tmp_path, hashed))) == ""


def bad(targets: Iterator[Target]) -> Iterator[str]:
    """Yield what went wrong with damaged files, each as a line."""
    for target in targets:
        whole = target.read()
        for seed, name in enumerate(tried(target.path, flips=FLIPS)):
            with at_most(LONGEST_S):
                found = outcome(target.read, whole, target.same)
            fine = (
                ("refused", "unharmed")
                if target.tied
                else ("refused", "unharmed", "WRONG ACCEPTED")
            )
            if found not in fine:
                yield f"{target}, {name} ({seed}): {found}"


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """End what takes longer: a decoder that never comes back."""

    def end(*_: object) -> None:
        raise TimeoutError(f"nothing came back within {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)

"""Damaged files of data, a share of `make robust`: one error that says what to do, nothing else."""

from __future__ import annotations

import pytest
from damage import outcome, tried
from readers import listed, originals, prepared

pytestmark = pytest.mark.filterwarnings("ignore")


def test_prepared_data_folds_and_statistics(tmp_path):
    assert not worse_than_refused(prepared(tmp_path), 2)


def test_lists_of_files_splits_and_receipts(tmp_path):
    assert not worse_than_refused(listed(tmp_path), 2)


def test_originals_without_a_hash_in_their_list(tmp_path):
    """Where the catalog has a hash nothing is decoded: decoders are met without one."""
    assert not worse_than_refused(originals(tmp_path, hashed=False), 2)


def worse_than_refused(targets, flips):
    found = {}
    for target in targets:
        whole = target.read()
        for name in tried(target.path, flips=flips):
            result = outcome(target.read, whole, target.same)
            if result not in {"refused", "unharmed", *["WRONG ACCEPTED"][target.tied :]}:
                found[str(target), name] = result
    return found

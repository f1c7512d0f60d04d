"""Every reader against every change of the files that it reads: all of it; CI has a share."""

import random

import pytest
from identity import (
    CHANGES,
    FILES,
    READERS,
    TABLES,
    copied,
    file_of_another_fold,
    finished_study,
    flip,
    path_of,
    refused,
)

from attnbench.errors import AttnBenchError

pytestmark = pytest.mark.robust


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return finished_study(tmp_path_factory.mktemp("identity"))


@pytest.fixture(scope="module")
def study(finished, tmp_path_factory):
    """A copy; who changes it puts it back."""
    return copied(finished, tmp_path_factory.mktemp("copy") / "out")


def test_undisturbed_every_reader_reads(finished, tmp_path):
    own = copied(finished, tmp_path / "out")
    for readers in (*READERS.values(), *TABLES.values()):
        for read in readers.values():
            read(own)


def test_four_hundred_single_bits_are_all_found(study):
    random.seed(16)
    for number in range(400):
        name, table = FILES[number % len(FILES)]
        path = path_of(study, name, table)
        whole = path.read_bytes()
        flip(path, random.randrange(8 * len(whole)))
        refused(study, name, table)
        path.write_bytes(whole)


@pytest.mark.parametrize(("name", "table"), FILES)
@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_file_is_refused_by_all_its_readers(study, name, table, change):
    path = path_of(study, name, table)
    whole = path.read_bytes()
    try:
        path.write_bytes(CHANGES[change](whole))
        refused(study, name, table)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("with_seals", [False, True])
def test_a_file_of_another_fold_is_refused_by_all_its_readers(study, name, with_seals):
    with file_of_another_fold(study, name, with_seals):
        refused(study, name, False, ours=not with_seals)


def test_a_changed_study_in_an_old_folder_gets_no_old_results(study):
    changed = study.model_copy(update={"training": study.training.model_copy(update={"steps": 3})})
    for name in ("model.pt", "scores.csv", "history.csv", "corrupted.csv"):
        for read in READERS[name].values():
            with pytest.raises(AttnBenchError, match=r"another (recipe|list of runs)"):
                read(changed)

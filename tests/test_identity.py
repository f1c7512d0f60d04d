"""A share of `tests/robust/test_identity.py`: readers refuse what is not what its job left."""

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


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Finished; who changes it puts it back."""
    return finished_study(tmp_path_factory.mktemp("identity"))


def test_flipped_bits_and_damages_of_every_file_are_found_by_all_its_readers(study):
    random.seed(3)
    changes = list(CHANGES.values())
    for number, (name, table) in enumerate(FILES):
        path = path_of(study, name, table)
        whole = path.read_bytes()
        flip(path, random.randrange(8 * len(whole)))
        refused(study, name, table)
        path.write_bytes(changes[number % len(changes)](whole))
        refused(study, name, table)
        path.write_bytes(whole)


@pytest.mark.parametrize("with_seals", [False, True])
def test_files_of_another_fold_are_refused_by_all_their_readers(study, with_seals):
    for name in READERS:
        with file_of_another_fold(study, name, with_seals):
            refused(study, name, False, ours=not with_seals)


def test_a_changed_study_gets_no_old_results(study):
    training = study.training.model_copy(update={"steps": 3})
    changed = study.model_copy(update={"training": training})
    for name in ("model.pt", "scores.csv", "history.csv", "corrupted.csv"):
        for read in READERS[name].values():
            with pytest.raises(AttnBenchError, match=r"another (recipe|list of runs)"):
                read(changed)


@pytest.mark.parametrize("metrics", [("dice",), ("dice", "hd95", "iou", "ece")])
def test_scores_by_other_metrics_are_refused(study, metrics):
    changed = study.model_copy(update={"metrics": metrics})
    for readers in (READERS["scores.csv"], READERS["transfer.csv"]):
        for read in readers.values():
            with pytest.raises(AttnBenchError, match="another way to score"):
                read(changed)


def test_files_without_seals_are_refused_in_words(study, tmp_path):
    own = copied(study, tmp_path / "out")
    for path in sorted((own.output / "seals").rglob("*.json")):
        path.unlink()
    for name in ("model.pt", "predictions.npz", "scores.csv"):
        for read in READERS[name].values():
            with pytest.raises(AttnBenchError, match=r"no such seal.*an earlier version.*rerun"):
                read(own)
    (reader, *_) = TABLES["scores.csv"].values()
    with pytest.raises(AttnBenchError, match=r"no such seal.*gather"):
        reader(own)

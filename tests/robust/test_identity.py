"""Every reader against every change of the files that it reads: all of it; CI has a share."""

import random
from itertools import product

import pytest
from identity import OTHER, READERS, RUN, TABLES, copied, finished_study, flip, path_of

from attnbench.errors import AttnBenchError

pytestmark = pytest.mark.robust
FILES = [*product(READERS, (False,)), *product(TABLES, (True,))]
CHANGES = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "a byte less": lambda content: content[:-1],
    "one more": lambda content: content + b"\n",
    "no file of this kind": lambda content: b"\xff\xfe{[",
    "zeros": lambda content: bytes(len(content)),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return finished_study(tmp_path_factory.mktemp("identity"))


@pytest.fixture(scope="module")
def study(finished, tmp_path_factory):
    """A copy; who changes it puts it back."""
    return copied(finished, tmp_path_factory.mktemp("copy") / "out")


def refused(study, name: str, table: bool) -> None:
    """Every reader of a file refuses it, by its name and with what to do."""
    for reader, read in (TABLES if table else READERS)[name].items():
        with pytest.raises(AttnBenchError) as caught:
            read(study)
        text = str(caught.value)
        assert name.rpartition("/")[2] in text, (reader, text)
        assert any(word in text for word in ("rerun", "delete", "gather")), (reader, text)
        assert "weights_only" not in text


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
    layout = study.layout
    pairs = [(layout.run(RUN) / name, layout.run(OTHER) / name)]
    if with_seals:
        seals = sorted(layout.seal("x").parent.rglob(f"{RUN}.json"))
        pairs += [
            (seal, seal.with_name(f"fold{OTHER.fold}-seed{OTHER.seed}.json")) for seal in seals
        ]
    before = {ours: ours.read_bytes() for ours, _ in pairs}
    try:
        for ours, theirs in pairs:
            ours.write_bytes(theirs.read_bytes())
        for read in READERS[name].values():
            with pytest.raises(AttnBenchError, match=r"rerun|delete"):
                read(study)
    finally:
        for ours, content in before.items():
            ours.write_bytes(content)


def test_a_changed_study_in_an_old_folder_gets_no_old_results(study):
    training = study.training.model_copy(update={"steps": 3})
    changed = study.model_copy(update={"training": training})
    for name in ("model.pt", "scores.csv", "history.csv", "corrupted.csv"):
        for reader, read in READERS[name].items():
            with pytest.raises(AttnBenchError, match=r"another (recipe|list of runs)"):
                read(changed)
                pytest.fail(reader)

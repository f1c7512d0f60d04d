"""What is written of a user's dataset is what a study reads, whatever names people give."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.catalog import FileRow, Reader, read_entry
from attnbench.catalog.local import state_of_files
from attnbench.errors import DataError
from attnbench.intake.entry_text import Statements, entry_content, entry_text, folder_from
from attnbench.intake.found import Found
from attnbench.intake.hashes import hash_files
from attnbench.intake.write import write_entry

# What a file system and UTF-8 take: no control character, no half of a surrogate pair.
word = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1).filter(str.strip)
part = word.filter(lambda text: "/" not in text and text not in (".", ".."))
FOUND = Found(
    layout="pictures",
    rows=(),
    reader=Reader(name="pictures", settings={"values": {128: 1, "#ff0000": 2, "yes": 2}}),
    ndim=2,
    channels=3,
    classes={1: "cytoplasm", 2: "no"},
    axes=("top-bottom", "left-right"),
)


def entry_of(folder: Path, **said):
    content = entry_content("wbc", FOUND, Statements(**said), folder, cases=3, groups=2)
    return content, entry_text(content, "attnbench dataset add x")


@given(title=word, licence=word, names=st.lists(part, min_size=1, max_size=4), label=word)
def test_what_is_written_is_read_back(tmp_path_factory, title, licence, names, label):
    catalog = tmp_path_factory.mktemp("my sets")
    _, text = entry_of(Path("/data") / names[0], title=title, licence=licence)
    rows = [FileRow("/".join(names), 7, "ab", "image", names[0], names[-1])]
    labels = {names[0]: {"part": label}}
    entry = write_entry(catalog, "wbc", text, rows, labels)
    assert entry.title == title.strip()
    assert entry.licence == licence.strip()
    assert entry.classes == FOUND.classes
    assert entry.reader == FOUND.reader
    assert entry.origin.folder == Path("/data") / names[0]
    assert list(entry.files()) == rows
    assert entry.labels() == labels
    assert entry == read_entry(catalog / "wbc.yaml")


def test_every_key_of_the_entry_is_on_a_line_of_its_own_for_a_user_to_change():
    content, text = entry_of(Path("/data"))
    keys = re.findall(r"^(\w+): ", text, re.MULTILINE)
    assert keys == [key for key, value in content.items() if value is not None or key == "spacing"]


def test_a_failed_rewrite_leaves_the_dataset_as_it_was(tmp_path):
    _, text = entry_of(tmp_path)
    write_entry(tmp_path, "wbc", text, [FileRow("a.png", 1, "ab", "image", "a", "a")], {})
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def rows():
        yield FileRow("b.png", 1, "cd", "image", "b", "b")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_entry(tmp_path, "wbc", text, rows(), {"b": {"part": "test"}})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_labels_of_an_earlier_entry_do_not_stay(tmp_path):
    _, text = entry_of(tmp_path)
    write_entry(tmp_path, "wbc", text, [], {"a": {"part": "test"}})
    assert write_entry(tmp_path, "wbc", text, [], {}).labels() == {}


@pytest.mark.parametrize(
    ("data", "named"),
    [("home/wbc", "../wbc"), ("home/data/wbc", "../data/wbc"), ("elsewhere/wbc", None)],
)
def test_data_beside_the_catalog_may_be_moved_with_it(tmp_path, data, named):
    """Only a folder elsewhere is named in full."""
    catalog, folder = tmp_path / "home" / "my_sets", tmp_path / data
    found = folder_from(catalog, folder)
    assert (catalog / found).resolve() == folder.resolve()
    assert found == (Path(named) if named else folder.resolve())


def test_every_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"abc")
    with pytest.raises(DataError, match=r"2 of 3 files .* b\.png: .*, c\.png: "):
        hash_files("x", tmp_path, ["c.png", "a.png", "b.png"])


def test_size_and_checksum_are_those_of_the_bytes(tmp_path):
    (tmp_path / "a.png").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_files("x", tmp_path, ["a.png"]) == {"a.png": (3, abc)}


def test_a_change_of_any_file_changes_the_state_of_all(tmp_path):
    names = ["a.png", "b.png"]
    for name in names:
        (tmp_path / name).write_bytes(b"abc")
    _, text = entry_of(tmp_path)
    rows = [FileRow(name, 3, "ab", "image", name, name) for name in names]
    entry = write_entry(tmp_path / "my_sets", "wbc", text, rows, {})
    first = state_of_files(entry)
    assert state_of_files(entry) == first
    (tmp_path / "b.png").write_bytes(b"abd")
    second = state_of_files(entry)
    (tmp_path / "b.png").unlink()
    assert len({first, second, state_of_files(entry)}) == 3

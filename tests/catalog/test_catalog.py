"""Every entry of the catalog keeps the contract; wrong entries are refused with a reason."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections import Counter
from urllib.parse import unquote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from attnbench.catalog import (
    ENTRIES,
    EmbeddedOrigin,
    FilesOrigin,
    LocalOrigin,
    TarballOrigin,
    catalog_names,
    load_entry,
    read_entry,
)
from attnbench.errors import CatalogError

NAMES = catalog_names()
LISTED = [name for name in NAMES if load_entry(name).listing]
MASK_ROLES = ("mask", "mask_instance", "mask_axon", "mask_myelin")
PAPERS = {
    "retina_drive": "10.1109/TMI.2004.825627",
    "retina_chase": "10.1109/TBME.2012.2205687",
    "hippocampus": "10.1038/s41467-022-30695-9",
    "us_usgra": "https://github.com/tmkand/usgra-seg",
    "nuclei_dsb2018": "10.1038/s41592-019-0612-7",
    "nuclei_mini": "10.1038/s41592-019-0612-7",
    "axon_sem": "10.1038/s41598-018-22181-4",
}


def test_what_is_in_the_catalog():
    assert {"phantom2d", "phantom2d_faint", "phantom3d", *PAPERS} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_entry_is_whole(name):
    entry = load_entry(name)
    assert entry.count_groups() == (entry.groups if entry.groups_known else entry.cases) >= 2
    assert entry.traps
    assert len(entry.short) <= 20, "tables and figures have little room"
    traps = " ".join(entry.traps)
    assert ("inferred" in traps.lower()) == entry.groups_inferred
    assert ("Groups are unknown" in traps) != entry.groups_known
    downloaded = not isinstance(entry.origin, EmbeddedOrigin | LocalOrigin)
    only_tried = "tests read small archives of the same layout, not this one" in traps
    assert only_tried == (downloaded and not entry.fetched)
    assert not downloaded or entry.download_mb or entry.at_most_mb
    if isinstance(entry.origin, FilesOrigin | TarballOrigin):
        assert re.search(r"/[0-9a-f]{40}(/\{path\})?$", entry.origin.url), (
            "an address at a pinned commit"
        )
    assert bool(entry.files()) == isinstance(
        entry.origin, FilesOrigin | LocalOrigin | TarballOrigin
    )


@pytest.mark.parametrize("path", sorted(ENTRIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_key_stands_there_twice(path):
    """YAML would take the last one and say nothing."""
    keys = re.findall(r"^(\w+):", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(keys) == len({*keys})


@pytest.mark.parametrize("name", LISTED)
def test_listing_is_the_set_the_digest_was_made_from(name):
    entry = load_entry(name)
    lines = sorted((row.path, f"{row.sha256}  {row.path}\n") for row in entry.files())
    assert hashlib.sha256("".join(line for _, line in lines).encode()).hexdigest() == entry.digest
    assert len({path for path, _ in lines}) == len(lines)


@pytest.mark.parametrize("name", LISTED)
def test_listing_agrees_with_the_facts(name):
    entry = load_entry(name)
    of_cases = [row for row in entry.files() if row.case]
    group_of = {(row.case, row.group) for row in of_cases}
    assert len(group_of) == len({case for case, _ in group_of}) == entry.cases, "one group per case"
    assert len({group for _, group in group_of}) == entry.groups
    images = [row.case for row in of_cases if row.role == "image"]
    assert sorted(images) == sorted(case for case, _ in group_of), "one image per case"
    assert {row.case for row in of_cases if row.role in MASK_ROLES} == set(images), (
        "a mask for every case"
    )
    assert all(row.bytes > 0 and re.fullmatch(r"[0-9a-f]{64}", row.sha256) for row in entry.files())


@pytest.mark.parametrize("name", PAPERS)
def test_citation_and_bibtex_name_the_paper(name):
    entry = load_entry(name)
    assert PAPERS[name] in entry.citation
    assert PAPERS[name] in entry.bibtex
    assert entry.bibtex.count("{") == entry.bibtex.count("}")


@pytest.mark.parametrize("name", ["retina_drive", "retina_chase", "hippocampus"])
def test_licences_at_second_hand_say_so(name):
    assert "second-hand" in load_entry(name).licence


def test_embedded_counts_come_from_the_reader_settings():
    for name in NAMES:
        entry = load_entry(name)
        if isinstance(entry.origin, EmbeddedOrigin):
            settings = entry.reader.settings
            assert (entry.groups, entry.cases) == (
                settings["groups"],
                settings["groups"] * settings["cases_per_group"],
            )


def test_tables_call_no_two_datasets_the_same():
    shorts = [load_entry(name).short for name in NAMES]
    assert len(shorts) == len({*shorts})


def test_unknown_dataset_names_the_nearest():
    with pytest.raises(CatalogError, match="did you mean 'retina_drive'"):
        load_entry("retina_driv")


@given(
    path=st.lists(
        st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1), min_size=1
    )
)
def test_addresses_are_percent_encoded(path):
    """Any file name survives the way into a URL and back, and holds nothing a URL would misread."""
    origin = FilesOrigin(kind="files", url="https://host/commit/{path}", page="https://host")
    encoded = origin.address("/".join(path)).removeprefix("https://host/commit/")
    assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", encoded)
    assert unquote(encoded) == "/".join(path)


GOOD = {
    **{
        "name": "good",
        "short": "Good",
        "title": "t",
        "task": "t",
        "modality": "m",
        "ndim": 2,
        "channels": 1,
    },
    **{
        "classes": {1: "vessel"},
        "cases": 4,
        "groups": 2,
        "groups_inferred": False,
        "licence": "l",
        "citation": "c",
    },
    "origin": {"kind": "files", "url": "https://host/{path}", "page": "https://host"},
    "reader": "binary_mask",
    "axes": ["top-bottom", "left-right"],
    "mirror": {"axes": [1], "reason": "r"},
}
HEADER = "path,bytes,sha256,role,case,group\n"


def entry_of(folder, changes, listing=HEADER):
    (folder / "good.yaml").write_text(yaml.safe_dump(GOOD | changes), encoding="utf-8")
    (folder / "good.files.csv").write_text(listing, encoding="utf-8")
    return read_entry(folder / "good.yaml")


def test_the_good_entry_is_accepted(tmp_path):
    assert entry_of(tmp_path, {}, HEADER + "a.png,3,00,image,a,a\n").files()[0].bytes == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "other"}, "'other'"),
        ({"colour": "red"}, "colour"),
        ({"classes": {1: "vessel", 3: "nerve"}}, "without a gap"),
        ({"classes": {0: "background"}}, "classes"),
        ({"spacing": [1.0, 1.0, 1.0]}, "spacing has 3 values, ndim is 2"),
        ({"axes": ["left-right"]}, "axes has 1 names, ndim is 2"),
        ({"mirror": {"axes": [2], "reason": "r"}}, "axes are 0 to 1"),
        ({"mirror": {"axes": [0]}}, "mirror.reason"),
        ({"groups": 5}, "5 groups"),
        ({"origin": {"kind": "files", "url": "https://host/file", "page": "https://host"}}, "url"),
        ({"origin": {"kind": "carrier_pigeon"}}, "carrier_pigeon"),
        ({"origin": "embedded"}, "settings"),
    ],
)
def test_wrong_entry_is_refused(tmp_path, changes, reason):
    with pytest.raises(CatalogError, match=reason):
        entry_of(tmp_path, changes)


@pytest.mark.parametrize(
    "listing",
    [
        "path,size\n",
        "",
        HEADER + "a.png,many,00,image,a,a\n",
        HEADER + "a.png,3\n",
        HEADER + "../a.png,3,00,image,a,a\n",
        HEADER + "/etc/a.png,3,00,image,a,a\n",
    ],
)
def test_wrong_listing_is_refused(tmp_path, listing):
    with pytest.raises(CatalogError, match=r"good\.files\.csv"):
        entry_of(tmp_path, {}, listing).files()


def test_the_catalog_is_light():
    """The Snakefile counts groups: no array library and no HTTP library may come along."""
    code = (
        "import sys; from attnbench.catalog import *; [load_entry(n).count_groups() for n in "
        "catalog_names()];"
        "print(sorted({'numpy', 'pandas', 'torch', 'requests', 'pooch', 'rich'} & "
        "sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("dataset", "tested", "parts"),
    [
        ("retina_drive", "DRIVE/test/", {"train": 20, "test": 20}),
        ("us_usgra", "dataset/test/", {"train": 204, "test": 40}),
    ],
)
def test_the_part_of_a_case_is_the_folder_that_its_authors_put_it_in(dataset, tested, parts):
    entry = load_entry(dataset)
    expected = {
        row.case: "test" if row.path.startswith(tested) else "train"
        for row in entry.files()
        if row.case
    }
    assert {case: own["part"] for case, own in entry.labels().items()} == expected
    assert Counter(expected.values()) == parts

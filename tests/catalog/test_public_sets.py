"""Entries of MedSegBench and of the Decathlon state the facts of two tables made beside them.

`medsegbench_facts.csv` and `msd_facts.csv` were copied from what the publishers say, before and
without the entries.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from attnbench.catalog import catalog_names, load_entry

HERE = Path(__file__).parent


def rows_of(name):
    with (HERE / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


MEDSEG, MSD = rows_of("medsegbench_facts.csv"), rows_of("msd_facts.csv")
DECATHLON = {load_entry(name).origin.url: name for name in catalog_names() if name[:4] == "msd_"}
# Its validation part holds as many images as the other two together: it is not read.
LEFT_OUT = {"m2caiseg": ("n_val",)}
COMMON = re.compile(r"\b(CC[ -]?BY|CC0|BSD|GPL)", re.IGNORECASE)


def entry_of(row):
    return load_entry(f"medseg_{row['name'].replace('-', '_')}_{row['size']}")


def test_all_are_there_and_no_others():
    assert len(MEDSEG) == 105 and len(MSD) == 10
    named = {entry_of(row).name for row in MEDSEG}
    assert named == {name for name in catalog_names() if name.startswith("medseg_")}
    assert {*DECATHLON} == {row["url"] for row in MSD}


@pytest.mark.parametrize("row", MEDSEG, ids=lambda row: f"{row['name']}_{row['size']}")
def test_facts_of_medsegbench(row):
    entry = entry_of(row)
    assert (entry.origin.url, entry.origin.md5) == (row["url"], row["md5"].strip())
    assert row["url"].startswith(f"{entry.origin.page}/files/")
    assert entry.origin.filename == f"{row['name']}_{row['size']}.npz"
    assert (entry.ndim, entry.channels) == (2, int(row["image_channels"]))
    counted = {"n_train", "n_val", "n_test"} - {*LEFT_OUT.get(row["name"], ())}
    assert entry.cases == entry.count_groups() == sum(int(row[key]) for key in counted)
    assert not entry.groups_known and not entry.fetched
    assert " ".join(row["licence"].split()).rstrip(".") in entry.licence
    own = "training {n_train}, validation {n_val} and test {n_test}".format(**row)
    assert own in " ".join(entry.traps)


@pytest.mark.parametrize("row", MEDSEG[::3], ids=lambda row: row["name"])
def test_classes_of_medsegbench(row):
    entry = entry_of(row)
    given = dict(item.split("=") for item in row["labels"].split(";"))
    if row["task"] == "binary":
        # Its one class has a name of its own here: `foreground` says nothing.
        assert len(given) == 2 and len(entry.classes) == 1
        assert bool(entry.reader.settings.get("nonzero")) == ("non-zero" in given)
        return
    words = {int(value): re.findall(r"[a-z]+", word.lower()) for value, word in given.items()}
    ours = {0: words[0]} | {value: name.split("_") for value, name in entry.classes.items()}
    assert ours.keys() == words.keys()
    for value, own in ours.items():
        # "neoplastic polyps" is `neoplastic_polyp`.
        assert [word.rstrip("s") for word in own] == [word.rstrip("s") for word in words[value]]


@pytest.mark.parametrize("row", MEDSEG[::3], ids=lambda row: row["name"])
def test_sources_of_medsegbench(row):
    citation = entry_of(row).citation.lower()
    for source in re.findall(
        r"10\.\d{4,}/[^\s,]+|https?://[^\s,]+|arXiv[:.][\d.]+", row["reference"]
    ):
        found = source.lower().removeprefix("https://doi.org/").replace("arxiv.1", "arxiv:1")
        assert found.removeprefix("10.48550/") in citation or found in citation
    assert "10.1038/s41597-024-04159-2" in citation, "the paper of MedSegBench itself"
    bibtex = entry_of(row).bibtex
    assert "@article{kus2024medsegbench," in bibtex and "@misc{medseg_" in bibtex
    assert bibtex.count("{") == bibtex.count("}") and not re.search(r"(?<!\\)[&%#]", bibtex)


@pytest.mark.parametrize("row", MEDSEG[::3], ids=lambda row: row["name"])
def test_terms_follow_from_what_the_licence_says(row):
    text = row["licence"]
    if re.search(r"-NC\b|non-commercial|commercial purposes is forbidden", text, re.IGNORECASE):
        terms = "non_commercial"
    else:
        terms = "open" if COMMON.search(text) else "unclear"
    assert entry_of(row).licence_terms == terms


@pytest.mark.parametrize("row", MSD, ids=lambda row: row["task"])
def test_facts_of_the_decathlon(row):
    entry = load_entry(DECATHLON[row["url"]])
    task = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", row["task"].partition("_")[2]).lower()
    assert entry.name == f"msd_{task}"
    assert (entry.origin.md5, entry.ndim, entry.fetched) == (row["md5"], 3, False)
    assert row["licence"] in entry.licence and row["reference"] in entry.citation
    assert entry.licence_terms == "open"


def test_what_was_fetched_has_the_size_of_its_files():
    for name in catalog_names():
        entry = load_entry(name)
        if not entry.fetched or entry.origin.kind == "local":
            continue
        listed = sum(row.bytes for row in entry.files()) / 1e6
        packed = entry.origin.kind == "tarball"  # which holds what is not listed, too
        assert listed < entry.download_mb if packed else abs(listed - entry.download_mb) < 0.06


def test_datasets_that_share_images_say_so_of_each_other():
    entries = [load_entry(name) for name in catalog_names()]
    shared = {entry.family or entry.name: {*entry.shares_images} for entry in entries}
    for name, others in shared.items():
        assert name not in others
        for other in others:
            assert name in shared[other]
    assert "medseg_drive" in shared["retina_drive"] and "medseg_chasedb1" in shared["retina_chase"]
    assert shared["medseg_isic2016"] == {"medseg_isic2018"}
    assert shared["hippocampus"] == {"msd_hippocampus"}
    assert "medseg_cellnuclei" in shared["nuclei_dsb2018"]

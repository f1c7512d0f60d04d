"""What `attnbench datasets` lists: filtered as asked, complete, and current on its page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from attnbench.catalog import catalog_names, load_entry
from attnbench.catalog.listing import size_text
from attnbench.cli import app
from attnbench.errors import CatalogError

ROOT = Path(__file__).parents[2]


def shown(*words):
    done = CliRunner().invoke(app, ["datasets", *map(str, words)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def objects(*words):
    return json.loads(shown("--json", *words))


def names(*words):
    return {size["name"] for row in objects(*words) for size in row["sizes"]}


def where(holds):
    return {name for name in catalog_names() if holds(load_entry(name))}


def test_every_dataset_is_in_every_list():
    assert names() == {*catalog_names()}
    table = shown()
    for name in catalog_names():
        entry = load_entry(name)
        line = next(line for line in table.splitlines() if line.startswith(entry.family or name))
        assert entry.licence_terms in line and f" {entry.cases} " in line
        assert next(iter(entry.classes.values())) in line
    assert "medseg_kvasir_{128,256,512} " in table
    assert len(table.splitlines()) == len(objects()) + 3


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        (["--modality", "ULTRASOUND"], lambda entry: "ultrasound" in entry.modality),
        (["--ndim", 3], lambda entry: entry.ndim == 3),
        (["--licence", "unclear"], lambda entry: entry.licence_terms == "unclear"),
        (["--name", "msd_"], lambda entry: entry.name.startswith("msd_")),
        (
            ["--task", "nucleus", "--licence", "open", "--ndim", 2],
            lambda entry: "nucleus" in entry.classes.values() and entry.licence_terms == "open",
        ),
    ],
    ids=lambda words: "_".join(map(str, words)) if isinstance(words, list) else "",
)
def test_filters_keep_what_has_all_that_is_asked(words, holds):
    assert names(*words) == where(holds) != set()


def test_a_task_is_sought_among_classes_too():
    assert "medseg_kvasir_256" in names("--task", "polyp")
    assert "medseg_m2caiseg_128" in names("--task", "gall bladder")
    assert "us_usgra" in names("--task", "nerve") and "phantom2d" not in names("--task", "nerve")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--modality", "ultrasond"], "did you mean 'ultrasound'"),
        (["--task", "poylp"], "did you mean 'polyp"),
        (["--licence", "free"], "allowed: non_commercial, open, unclear"),
        (["--licence", "opn"], "did you mean 'open'"),
        (["--name", "kvassir"], "no dataset has 'kvassir'"),
        (["--ndim", 3, "--modality", "dermoscopy"], "leave one filter out"),
        (["medseg_kvasr"], r"did you mean 'medseg_kvasir.*medseg_kvasir_256.* and \d+ more$"),
        (["--catalog", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_what_is_not_there_is_said_with_the_nearest(words, reason):
    with pytest.raises(CatalogError, match=reason):
        shown(*words)


@pytest.mark.parametrize(
    "name", ["medseg_kvasir", "medseg_m2caiseg_256", "retina_drive", "msd_lung"]
)
def test_one_dataset_is_told_in_full(name):
    told = " ".join(shown(name).split())
    entries = [load_entry(one) for one in catalog_names() if name in (one, load_entry(one).family)]
    first = entries[0]
    for text in (*first.traps, first.citation, first.licence, first.mirror.reason, first.task):
        assert " ".join(text.split()) in told
    for value, word in first.classes.items():
        assert f"{value} {word}" in told
    assert all(entry.origin.url in told for entry in entries)
    assert (f"accept_licences: [{first.family}]" in told) == (first.licence_terms != "open")
    assert all(other in told for other in first.shares_images)
    (row,) = json.loads(f"[{shown(name, '--json')}]")
    assert row["traps"] == list(first.traps)
    assert [size["name"] for size in row["sizes"]] == [entry.name for entry in entries]
    assert [size["origin"]["url"] for size in row["sizes"]] == [one.origin.url for one in entries]


def test_a_name_is_understood_as_the_list_writes_it():
    assert shown("medseg_kvasir_{128,256,512}") == shown("medseg_kvasir")
    assert "kvasir_256.npz" not in shown("medseg_kvasir_128")


def test_groups_and_what_was_fetched_are_told_apart():
    lines = {line.split()[0]: line for line in shown().splitlines()}
    assert " 260    170* " in lines["hippocampus"] and " 40     40 " in lines["retina_drive"]
    assert " 310    ? " in lines["medseg_monusac_{128,256,512}"]
    assert " 30 MB " in lines["retina_drive"] and " yes " in lines["retina_drive"]
    assert " 8.5 GB " in lines["msd_lung"] and " no " in lines["msd_lung"]
    assert {row["name"] for row in objects() if row["fetched"]} == {
        "axon_sem", "hippocampus", "nuclei_dsb2018", "nuclei_mini", "retina_chase", "retina_drive",
        "us_usgra",
    }  # fmt: skip
    assert objects("--name", "monusac")[0]["groups"] is None
    assert "tested on files of the same layout that tests make" in shown("msd_lung")


def test_own_folders_are_listed_with_the_rest(tmp_path):
    entry = {
        "name": "mine", "short": "Mine", "title": "My wounds", "task": "wounds", "modality": "m",
        "ndim": 2, "channels": 3, "classes": {1: "wound"}, "axes": ["a", "b"], "cases": 2,
        "mirror": {"axes": [], "reason": "r"}, "groups": 2, "groups_inferred": False,
        "licence": "l", "citation": "c", "origin": {"kind": "local", "folder": "pictures"},
        "reader": "binary_mask",
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(entry), encoding="utf-8")
    assert names("--catalog", tmp_path) == {*catalog_names(), "mine"}
    assert names("--catalog", tmp_path, "--task", "wound") == {"mine"}
    assert str(tmp_path / "pictures") in shown("mine", "--catalog", tmp_path)


@pytest.mark.parametrize(
    ("megabytes", "text"), [(0.44, "0.44 MB"), (65.6, "66 MB"), (999, "999 MB"), (27000, "27 GB")]
)
def test_sizes_in_words(megabytes, text):
    assert size_text(megabytes) == text


def test_the_page_is_current():
    """`make docs` writes it."""
    assert (ROOT / "docs/datasets.md").read_text(encoding="utf-8") == shown("--markdown")


def test_the_page_names_no_folder_of_this_machine():
    assert str(ROOT) not in shown("--markdown")

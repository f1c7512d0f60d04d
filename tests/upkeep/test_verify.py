"""`attnbench verify`: every damaged file of a study's data is found, by it and by its reader."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from damage import flipped
from readers import toy
from typer.testing import CliRunner

from attnbench import cli
from attnbench.check import load_study
from attnbench.errors import AttnBenchError
from attnbench.seals import LARGE
from attnbench.upkeep.verify import verify_study

STUDY = """
name: small
catalog: [{catalog}]
datasets: [toy]
models: [unet]
backbone: {{widths: [2, 4], blocks_per_level: 1}}
folds: {{outer: 2, inner: 2}}
training: {{steps: 2, batch: 2, patch_2d: [16, 16]}}
metrics: [dice]
output: {output}
"""
CASES = 6


def drawn(case):
    """An image and its mask, like none of another case."""
    image = np.random.default_rng(case).integers(0, 255, (16, 20)).astype(np.uint8)
    return image, ((image > 128) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study with all that is made before its first training, and its file."""
    folder = tmp_path_factory.mktemp("verified")
    entry = toy(
        folder / "own",
        [
            (role, f"{role}{case}.png", content, str(case))
            for case in range(CASES)
            for role, content in zip(("image", "mask"), drawn(case), strict=True)
        ],
        cases=CASES,
        groups=CASES,
    )
    file = folder / "study.yaml"
    file.write_text(STUDY.format(catalog=folder / "own", output=folder / "results"))
    for verb in (cli.fetch, cli.inspect, cli.prepare, cli.folds, cli.describe):
        verb(entry.name, *["unet"] * (verb is cli.describe), study=file)
    return load_study(file), file


def test_all_is_well_and_counted(made):
    study, file = made
    found = verify_study(study)
    assert found.well and not found.strangers, list(found.lines())
    layout = study.layout
    own = [path for path in layout.output.rglob("*") if path.is_file()]
    own = [path for path in own if path.relative_to(layout.output).parts[0] == "data"]
    own += [layout.model("toy", "unet"), *(file.parent / "own").glob("*.png")]
    own.remove(layout.raw("toy") / "receipt.json")
    assert found.files == len(own)
    assert found.bytes == sum(path.stat().st_size for path in own)
    ran = CliRunner().invoke(cli.app, ["verify", str(file)])
    assert ran.exit_code == 0 and f"{len(own)} files" in ran.stdout


# Who is the first to read a file again; some are for people alone.
READERS = {
    "own": cli.prepare, "prepared": cli.folds, "pairs.csv": cli.prepare,
    "findings.csv": cli.analyse, "inspected.json": cli.analyse, "models": cli.analyse,
}  # fmt: skip


def files_of(made):
    _, file = made
    for path in sorted(file.parent.rglob("*")):
        parts = path.relative_to(file.parent).parts
        if path.is_file() and parts[0] in ("results", "own") and parts[1] != "seals":
            if path.suffix in (".yaml", ".csv") and parts[0] == "own":
                continue
            yield path


@pytest.mark.parametrize("seed", range(2))
def test_a_flipped_bit_of_any_file_is_found_by_verify_and_by_its_reader(made, seed):
    study, file = made
    random = np.random.default_rng(seed)
    seals = sorted((study.layout.output / "seals").rglob("*.json"))
    for path in [*files_of(made), *seals]:
        whole, facts = path.read_bytes(), path.stat()
        path.write_bytes(flipped(whole, int(random.integers(8 * len(whole)))))
        # As a disk that forgets: nothing but the content tells.
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        try:
            found = verify_study(study)
            assert not found.well, path
            assert any(str(path) in line for line in found.lines()), path
            reader = next((READERS[part] for part in path.parts if part in READERS), None)
            if reader and path not in seals:
                about = [] if reader is cli.analyse else ["toy"]
                with pytest.raises(AttnBenchError, match=r"(?s); .*(rerun|run|add)"):
                    reader(*about, study=file)
        finally:
            path.write_bytes(whole)
            os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert verify_study(study).well


def test_what_is_missing_what_has_changed_and_what_is_nobodys_are_told_apart(made, tmp_path):
    study, file = made
    layout = study.layout
    kept = tmp_path / "kept"
    shutil.copytree(file.parent, kept)
    try:
        layout.statistics("toy").unlink()
        layout.model("toy", "unet").write_text("{}")
        (file.parent / "own" / "image0.png").unlink()
        (layout.output / "notes.txt").write_text("mine")
        (layout.output / "seals" / "inspect" / "toy.json").unlink()
        found = verify_study(study)
        said = {one.file.name: one.problem for one in found.findings}
        assert said["toy.statistics.json"] == said["image0.png"] == "is missing"
        assert said["unet.json"].startswith("has 2 bytes")
        assert said["pairs.csv"].startswith("has no seal")
        assert found.strangers == (layout.output / "notes.txt",)
        ran = CliRunner().invoke(cli.app, ["verify", str(file)])
        assert ran.exit_code == 1
        assert f"attnbench rerun {file} --missing" in ran.stdout
        assert "1 file(s) belong to no job of this study" in ran.stdout
    finally:
        shutil.rmtree(file.parent)
        shutil.copytree(kept, file.parent)


def test_data_of_another_preparation_are_told_by_their_folds(made):
    """Groups that someone edited, with every hash of the store put right: the folds still tell."""
    study, file = made
    folder = study.layout.prepared("toy")
    kept = {path: path.read_bytes() for path in folder.iterdir()}
    times = {path: path.stat().st_mtime_ns for path in kept}
    table = (folder / "cases.csv").read_text().replace(",g1,", ",g2,")
    content = json.loads((folder / "dataset.json").read_text())
    content["digests"]["cases.csv"] = hashlib.sha256(table.encode()).hexdigest()
    try:
        (folder / "cases.csv").write_text(table)
        (folder / "dataset.json").write_text(json.dumps(content))
        with pytest.raises(AttnBenchError, match="info_hash"):
            cli.folds("toy", study=file)
        said = content.copy()
        del said["info_hash"]
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
        content["info_hash"] = hashlib.sha256(canonical).hexdigest()
        (folder / "dataset.json").write_text(json.dumps(content))
        with pytest.raises(AttnBenchError, match="content_hash"):
            cli.folds("toy", study=file)
    finally:
        for path, whole in kept.items():
            path.write_bytes(whole)
            os.utime(path, ns=(times[path], times[path]))


def test_a_large_array_that_nobody_touched_is_not_read_again(made, monkeypatch):
    """By size and time of change alone, as sealed; `verify` reads it all the same."""
    from attnbench import seals
    from attnbench.data.sealed import open_store

    study, _ = made
    path = study.layout.prepared("toy") / "images.npy"
    assert path.stat().st_size < LARGE
    monkeypatch.setattr(seals, "LARGE", 1)
    whole, facts = path.read_bytes(), path.stat()
    path.write_bytes(flipped(whole, 8 * len(whole) - 1))
    try:
        with pytest.raises(AttnBenchError, match=r"images\.npy"):
            open_store(study.layout, "toy")
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        open_store(study.layout, "toy")
        assert not verify_study(study).well
    finally:
        path.write_bytes(whole)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))

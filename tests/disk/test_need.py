"""What a study is said to write, beside networks that are built and stores that are written."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.catalog import load_entry
from attnbench.check import check_study
from attnbench.data.prepare import prepare_dataset
from attnbench.disk.need import nothing, parts_of
from attnbench.disk.room import Room, existing, refuse_too_little, room_lines, rooms_of
from attnbench.disk.sizes import parameters_of, voxels_of
from attnbench.errors import DiskError
from attnbench.models.unet import UNet
from attnbench.study.models import BackboneSettings, ModelSettings


def study(tmp_path, **keys):
    return check_study(
        {
            "name": "x",
            "datasets": ["phantom2d"],
            "models": ["unet", "attention_gate"],
            "folds": {"outer": 2},
            "output": str(tmp_path / "out"),
            **keys,
        }
    )


def sizes(study, there=nothing):
    return {part.name: part.bytes for part in parts_of(study, 2, there)}


@settings(max_examples=25)
@given(
    ndim=st.sampled_from([2, 3]),
    channels=st.integers(1, 4),
    classes=st.integers(2, 5),
    widths=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    count=st.integers(1, 3),
    norm=st.sampled_from(["instance", "batch", "group"]),
    deep=st.booleans(),
)
def test_a_plain_unet_has_as_many_parameters_as_said(
    ndim, channels, classes, widths, count, norm, deep
):
    network = UNet(ndim, channels, classes, widths, count, norm, deep_supervision=deep)
    backbone = BackboneSettings(
        widths=tuple(widths), blocks_per_level=count, norm=norm, deep_supervision=deep
    )
    found, exact = parameters_of(ModelSettings(name="unet"), backbone, ndim, channels, classes)
    assert exact
    assert found == sum(one.numel() for one in network.parameters())


@pytest.mark.parametrize(
    ("name", "keys"),
    [("phantom2d", {"size": [32, 32]}), ("phantom3d", {"size": [8, 8, 8]})],
)
def test_prepared_phantoms_take_what_was_said(tmp_path, name, keys):
    one = study(tmp_path, datasets=[{"name": name, **keys}])
    folder = one.layout.prepared(name)
    prepare_dataset(load_entry(name), one.dataset(name), tmp_path / "raw", folder, 1, 4000)
    real = sum(path.stat().st_size for path in folder.iterdir())
    assert sizes(one)["prepared data"] == pytest.approx(real, rel=0.2)


def test_real_pictures_are_estimated_from_the_sizes_of_their_files(tmp_path):
    one = study(tmp_path, datasets=["nuclei_mini"])
    entry, folder = load_entry("nuclei_mini"), one.layout.prepared("nuclei_mini")
    assert not voxels_of(entry, one.dataset("nuclei_mini")).known
    prepare_dataset(entry, one.dataset("nuclei_mini"), tmp_path / "raw", folder, 1, 4000)
    real = sum(path.stat().st_size for path in folder.iterdir())
    (part,) = [part for part in parts_of(one, 1, nothing) if part.name == "prepared data"]
    assert part.least < real < 2 * part.bytes


def test_a_download_takes_the_listed_bytes_of_the_files_that_have_not_come(tmp_path):
    one = study(tmp_path, datasets=["retina_drive"], data={"downloads": str(tmp_path / "raw")})
    rows = {row.path: row for row in load_entry("retina_drive").files()}
    assert sizes(one)["originals of retina_drive"] == sum(row.bytes for row in rows.values())
    first, *others = rows.values()
    path = one.layout.raw("retina_drive") / first.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    left = sizes(one, Path.is_file)["originals of retina_drive"]
    assert left == sum(row.bytes for row in others)
    (one.layout.raw("retina_drive") / "receipt.json").write_text("{}")
    assert "originals of retina_drive" not in sizes(one, Path.is_file)


def test_weights_count_every_training_and_described_models_by_their_own_number(tmp_path):
    few, many = study(tmp_path), study(tmp_path, seeds=[0, 1, 2], data_efficiency=[50])
    assert sizes(many)["weights"] == pytest.approx(6 * sizes(few)["weights"])
    for model, count in (("unet", 1000), ("attention_gate", 3000)):
        path = few.layout.model("phantom2d", model)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"parameters": {count}, "frozen_parameters": 50}}')
    # Two folds each, four bytes a parameter, and a block for what else is in the file.
    assert sizes(few)["weights"] == 2 * 4 * (1050 + 3050) + 4 * 4096


def test_a_finished_study_takes_nothing_more(tmp_path):
    one = study(tmp_path)
    for run in one.runs():
        one.layout.run(run).mkdir(parents=True)
        for name in ("model.pt", "predictions.npz", "scores.csv"):
            (one.layout.run(run) / name).write_text("")
    one.layout.report.write_text("")
    assert [*sizes(one, Path.is_file)] == ["prepared data"]
    one.layout.prepared("phantom2d").mkdir(parents=True)
    (one.layout.prepared("phantom2d") / "dataset.json").write_text("")
    assert rooms_of(one) == [] and room_lines(one) == []


def test_refused_where_what_is_sure_does_not_fit_and_warned_where_a_quarter_more_does_not(tmp_path):
    (room,) = rooms_of(study(tmp_path), there=nothing)
    assert 0 < room.least < room.expected
    for free, short, near in (
        (room.least - 1, True, True),
        (room.least, False, True),
        (1.25 * room.expected - 1, False, True),
        (1.25 * room.expected + 1, False, False),
    ):
        here = replace(room, free=free)
        assert (here.short, here.near) == (short, near), free


def test_what_would_take_more_than_any_disk_is_refused_by_part(tmp_path):
    """Weights of the widest networks that a study may ask for, by a hundred seeds: no network is
    built to say so.
    """
    widest = {"widths": [2**16] * 4, "blocks_per_level": 8}
    giant = study(tmp_path, backbone=widest, seeds=list(range(100)))
    with pytest.raises(DiskError) as raised:
        refuse_too_little(giant)
    said = str(raised.value).splitlines()
    assert "too little space" in said[0] and "free there: too little" in said[1]
    assert [line.split(":")[0].strip() for line in said[2:4]] == ["weights", "checkpoints"]
    assert "quotas are not seen" in said[1] and "clean STUDY" in said[-1]
    assert refuse_too_little(study(tmp_path)) == []


def test_downloads_elsewhere_are_another_file_system(tmp_path):
    if not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no other file system here")
    one = study(tmp_path, datasets=["retina_drive"], data={"downloads": "/dev/shm/attnbench-none"})
    rooms: dict[str, Room] = {
        part.name: room for room in rooms_of(one, there=nothing) for part in room.parts
    }
    elsewhere = rooms["originals of retina_drive"]
    assert elsewhere is not rooms["weights"]
    facts = os.statvfs("/dev/shm")
    assert elsewhere.free == pytest.approx(facts.f_bavail * facts.f_frsize, rel=0.1)
    assert existing(elsewhere.folder) == Path("/dev/shm")

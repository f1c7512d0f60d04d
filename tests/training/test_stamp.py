"""What a run's weights belong to is in every file of them, and other weights are never taken."""

import json
import pickle
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from attnbench.check import check_study
from attnbench.errors import AttnBenchError, CheckpointError, DataError, SealError
from attnbench.files import hash_of
from attnbench.study.groups import ComputeSettings
from attnbench.study.paths import Run
from attnbench.training.checkpoint import hash_of_weights, load_checkpoint, save_checkpoint
from attnbench.training.device import claim_device, resolved_precision, set_products
from attnbench.training.provenance import machine_of
from attnbench.training.stamp import (
    identities,
    identity,
    read_facts,
    recipe_hash,
    recipe_of,
    refuse_other,
    stamp_of,
)

STAMP = {"dataset": "d", "model": "m", "fold": 0, "seed": 3, "percent": 100, "recipe_hash": "r"}


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


@pytest.fixture
def saved(tmp_path):
    """A checkpoint, and the hash of the weights in it."""
    path, own = tmp_path / "model.pt", network()
    save_checkpoint(path, own, STAMP, [])
    return path, hash_of_weights(own)


@pytest.fixture(scope="module")
def study():
    content = {"name": "s", "datasets": ["phantom2d"], "models": ["unet", "attention_gate"]}
    return check_study(content | {"data_efficiency": [50], "seeds": [0, 1]})


def test_weights_come_back_with_their_stamp(saved):
    path, digest = saved
    other = network(1)
    assert load_checkpoint(path, other, STAMP, digest, "train again") == STAMP
    assert hash_of_weights(other) == digest


@pytest.mark.parametrize("key", STAMP)
def test_weights_of_another_run_are_refused(saved, key):
    path, digest = saved
    expected = STAMP | {key: "another" if isinstance(STAMP[key], str) else STAMP[key] + 1}
    with pytest.raises(SealError, match=rf"model\.pt: belongs to another .*found {STAMP[key]}, "):
        load_checkpoint(path, network(), expected, digest, "train again")


def test_other_weights_under_the_right_stamp_are_refused(saved):
    path, digest = saved
    save_checkpoint(path, network(1), STAMP, [])
    with pytest.raises(CheckpointError, match=r"not the weights that were trained.*; train again"):
        load_checkpoint(path, network(), STAMP, digest, "train again")


def test_one_number_of_one_weight_in_its_last_place_is_another_weight():
    own = network()
    before = hash_of_weights(own)
    with torch.no_grad():
        flat = own[0].weight.view(-1)
        flat[0] = torch.nextafter(flat[0], torch.tensor(1.0))
    assert hash_of_weights(own) != before


@given(data=st.data())
def test_a_flipped_bit_of_a_checkpoint_never_gives_other_weights(data, tmp_path_factory):
    path, own = tmp_path_factory.mktemp("flip") / "model.pt", network()
    save_checkpoint(path, own, STAMP, [])
    digest, content = hash_of_weights(own), bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(content))
    other = network(1)
    try:
        load_checkpoint(path, other, STAMP, digest, "train again")
    except AttnBenchError as error:
        assert "model.pt" in str(error)
        assert "train again" in str(error)
        assert "weights_only" not in str(error)
    else:
        assert hash_of_weights(other) == digest


class Payload:
    def __reduce__(self):
        return print, ("code of a pickle ran",)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"no zip at all", pickle.dumps(Payload()), pickle.dumps({"weights": {}})],
)
def test_what_is_no_checkpoint_is_named_and_never_advised_to_be_run(content, tmp_path, capsys):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.pt: no checkpoint.*; train again") as caught:
        load_checkpoint(path, network(), STAMP, "0", "train again")
    assert "weights_only" not in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "content", [[], {"weights": {}}, {"stamp": STAMP, "weights": 3}, {"stamp": 3, "weights": {}}]
)
def test_a_checkpoint_without_stamp_or_weights_is_refused(content, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(content, path)
    with pytest.raises(AttnBenchError, match=r"model\.pt: .*; train again"):
        load_checkpoint(path, network(), STAMP, "0", "train again")


def test_the_recipe_hash_is_that_of_the_recipe_and_of_the_share_of_groups(study):
    every = Run("phantom2d", "unet", 0, 0)
    assert recipe_hash(study, every) == hash_of(study.recipe("phantom2d", "unet"))
    few = Run("phantom2d", "unet", 0, 0, 50)
    expected = hash_of(study.recipe("phantom2d", "unet") | {"percent": 50})
    assert recipe_hash(study, few) == expected != recipe_hash(study, every)
    assert recipe_hash(study, Run("phantom2d", "unet", 1, 1)) == recipe_hash(study, every)


def test_many_identities_are_each_as_of_one(study):
    runs = [*study.runs(), *study.data_efficiency_runs()]
    assert identities(study, runs) == {run: identity(study, run) for run in runs}
    distinct = {tuple(sorted(one.items())) for one in identities(study, runs).values()}
    assert len(distinct) == len(runs)


def test_what_is_not_said_in_a_study_leaves_its_recipes_as_they_were(study):
    said = study.model_dump(mode="json") | {"compute": {"precision": "auto"}}
    assert recipe_hash(check_study(said), Run("phantom2d", "unet", 0, 0)) == recipe_hash(
        study, Run("phantom2d", "unet", 0, 0)
    )


def test_stamps_are_flat_and_plain():
    machine = {"device": "cpu", "precision": "float32", "torch": "2.13.0"}
    stamp = stamp_of(Run("d", "m", 1, 2, 50), {"recipe": "r", "data": "x"}, machine)
    assert stamp == {"dataset": "d", "model": "m", "fold": 1, "seed": 2, "percent": 50,
                     "recipe_hash": "r", "data_hash": "x", **machine}  # fmt: skip
    assert json.loads(json.dumps(stamp)) == stamp


def test_a_message_names_file_found_expected_and_what_to_do(tmp_path):
    with pytest.raises(SealError) as caught:
        refuse_other(STAMP, {"recipe_hash": "s"}, tmp_path / "a.csv", "make it again")
    text = str(caught.value)
    for word in (str(tmp_path / "a.csv"), "found r", "expected s", "output: ", "make it again"):
        assert word in text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000])
def test_damaged_facts_are_refused_with_path_and_remedy(content, tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    for read in (read_facts, recipe_of):
        with pytest.raises(DataError, match=r"run\.json: no facts.*delete it and start Snakemake"):
            read(path)


def test_the_recipe_of_a_finished_run_is_read_without_torch(tmp_path):
    path = tmp_path / "run.json"
    path.write_text('{"recipe_hash": "abc"}')
    assert recipe_of(path) == "abc"
    path.write_text('{"origin": "nnU-Net"}')
    assert recipe_of(path) is None
    path.write_text("{}")
    with pytest.raises(DataError, match="recipe_hash"):
        recipe_of(path)
    with pytest.raises(DataError, match="no such file"):
        recipe_of(tmp_path / "absent.json")


PRECISIONS = {
    ("auto", "cuda"): "bfloat16", ("auto", "mps"): "float32", ("auto", "cpu"): "float32",
    ("tf32", "cuda"): "tf32",
    **{(one, kind): one for one, kind in product(("float32", "bfloat16"), ("cuda", "mps", "cpu"))},
}  # fmt: skip


@pytest.mark.parametrize(("asked", "ran"), PRECISIONS.items())
def test_precision_is_recorded_as_what_ran(asked, ran):
    assert resolved_precision(*asked) == ran
    if ran != "tf32":
        compute = ComputeSettings(precision=asked[0])
        assert machine_of(compute, torch.device(asked[1])) == {
            "device": asked[1], "precision": ran, "torch": torch.__version__,
        }  # fmt: skip


@pytest.mark.parametrize("kind", ["cpu", "mps"])
def test_tf32_is_refused_where_there_is_none(kind):
    with pytest.raises(AttnBenchError, match=rf"compute\.precision: tf32 .*device is {kind}"):
        resolved_precision("tf32", kind)


@pytest.fixture
def products():
    """What torch is told of products in float32; as it was afterwards."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield lambda: (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


@pytest.mark.parametrize(
    ("precision", "allowed"), [("float32", False), ("tf32", True), ("bfloat16", True)]
)
def test_float32_on_a_gpu_is_no_tf32(precision, allowed, products):
    """What torch is told of a GPU: the machine of the tests need not have one."""
    set_products(precision, "cuda")
    assert products() == (allowed, allowed)
    with claim_device(ComputeSettings(device="cpu")):
        assert products() == (False, False)

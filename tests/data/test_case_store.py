"""The case store: what goes in comes out, whole or not at all."""

import hashlib
import json
import weakref
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.data.case import PreparedCase
from attnbench.data.info import DatasetInfo
from attnbench.data.store import CaseStore
from attnbench.data.write import write_store
from attnbench.errors import DataError


def make_info(**changes):
    info = DatasetInfo(
        name="toy", title="Toy", task="two things", modality="none", ndim=2, channels=2,
        classes={1: "thing", 2: "other"}, spacing_unit="mm", spacing=None,
        size=None, resampled=False, has_fov=False, has_second_rater=False, groups_inferred=False,
        licence="MIT", citation="nobody",
    )  # fmt: skip
    return replace(info, **changes)


def make_case(rng, name, shape, channels=2, group="a", **changes):
    mask = rng.integers(0, 3, shape).astype(np.uint8)
    case = PreparedCase(
        case=name, group=group, image=rng.normal(size=(channels, *shape)).astype(np.float32),
        mask=mask, reference=mask,
        spacing=(1.0,) * len(shape), original_spacing=(1.0,) * len(shape),
    )  # fmt: skip
    return replace(case, **changes)


@st.composite
def datasets(draw):
    """Ragged cases with every combination of the optional arrays."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ndim, channels = draw(st.sampled_from([2, 3])), draw(st.integers(1, 3))
    fov, second, resampled = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    name = st.text("abcNA017._- ,é", min_size=1, max_size=5)
    cases = []
    for word in draw(st.lists(name, min_size=1, max_size=6, unique=True)):
        own = tuple(rng.integers(1, 6, ndim).tolist())
        grid = tuple(rng.integers(1, 6, ndim).tolist()) if resampled else own
        case = make_case(rng, word, grid, channels, draw(name))
        cases.append(
            replace(
                case,
                reference=rng.integers(0, 3, own).astype(np.uint8) if resampled else case.mask,
                spacing=tuple(rng.uniform(0.1, 3, ndim)),
                original_spacing=tuple(rng.uniform(0.1, 3, ndim)),
                fov=(rng.random(own) > 0.5) | (np.indices(own).sum(axis=0) == 0) if fov else None,
                second_rater=rng.integers(0, 3, own).astype(np.uint8)
                if second and rng.random() > 0.5
                else None,
                facts={"blur": float(rng.random())},
            )
        )
    return make_info(
        ndim=ndim, channels=channels, has_fov=fov, has_second_rater=second, resampled=resampled
    ), cases


def same(found, expected):
    if expected is None:
        return found is None
    return (
        found.shape == expected.shape
        and found.dtype == expected.dtype
        and np.array_equal(found, expected)
    )


@given(datasets())
@settings(max_examples=40, deadline=None)
def test_every_case_comes_back_as_it_was(tmp_path_factory, dataset):
    info, cases = dataset
    folder = tmp_path_factory.mktemp("store") / "toy"
    returned = write_store(folder, iter(cases), info)
    store = CaseStore.open(folder)
    assert store.info == returned
    assert (store.info.cases, store.info.groups) == (
        len(cases),
        len({case.group for case in cases}),
    )
    assert store.cases["blur"].tolist() == [case.facts["blur"] for case in cases]
    for i, case in enumerate(cases):
        assert store.index(case.case) == i
        assert store.cases["group"][i] == case.group
        for name in ("image", "mask", "reference", "fov", "second_rater"):
            assert same(getattr(store, name)(i), getattr(case, name)), name
        assert (store.shape(i), store.original_shape(i)) == (case.mask.shape, case.reference.shape)
        assert (store.spacing(i), store.original_spacing(i)) == (
            case.spacing,
            case.original_spacing,
        )
        assert [store.cases[f"voxels_{k}"][i] for k in (1, 2)] == [
            (case.reference == k).sum() for k in (1, 2)
        ]


TYPES = (np.uint8, np.int16, np.uint16, np.float32)


@given(st.lists(st.sampled_from(TYPES), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_images_have_the_narrowest_type_that_holds_every_value(tmp_path_factory, types, seed):
    rng = np.random.default_rng(seed)
    cases = [
        make_case(rng, str(n), (5, 6), image=(rng.random((2, 5, 6)) * 250).astype(dtype))
        for n, dtype in enumerate(types)
    ]
    for case in cases:
        if case.image.dtype != np.uint8:
            case.image[0, 0, :2] = (
                (0.1, 1e30)
                if case.image.dtype == np.float32
                else (np.iinfo(case.image.dtype).min, np.iinfo(case.image.dtype).max)
            )
    folder = tmp_path_factory.mktemp("store") / "toy"
    info = write_store(folder, cases, make_info())
    store = CaseStore.open(folder)
    for i, case in enumerate(cases):
        np.testing.assert_array_equal(store.image(i), case.image)
    holding = [
        dtype for dtype in TYPES if all(np.can_cast(case.image.dtype, dtype) for case in cases)
    ]
    assert store.images.dtype == holding[0]
    assert {path.suffix for path in folder.iterdir()} == {".npy", ".csv", ".json"}
    # The order of the cases decides neither type nor values; the hash is that of a store written
    # in the wide type from the start.
    wide = [replace(case, image=case.image.astype(holding[0])) for case in cases]
    assert write_store(folder, wide, make_info()).content_hash == info.content_hash


def test_the_type_of_the_images_is_part_of_the_hash(tmp_path):
    image = np.zeros((2, 3, 4), np.uint8)
    hashes = {
        write_store(
            tmp_path / "toy",
            [make_case(np.random.default_rng(0), "1", (3, 4), image=image.astype(dtype))],
            make_info(),
        ).content_hash
        for dtype in TYPES
    }
    assert len(hashes) == len(TYPES)


def test_images_are_read_only_views_with_adjacent_channels(tmp_path):
    rng = np.random.default_rng(0)
    write_store(
        tmp_path / "toy", [make_case(rng, "1", (4, 5)), make_case(rng, "2", (3, 7))], make_info()
    )
    store = CaseStore.open(tmp_path / "toy")
    image = store.image(1)
    assert np.shares_memory(image, store.images)
    assert image.strides[0] == image.itemsize
    assert store.offsets.tolist() == [0, 20]
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0, 0] = 1


def test_cases_are_streamed_not_collected(tmp_path):
    living, most = [], 0

    def stream():
        nonlocal most
        for i in range(20):
            case = make_case(np.random.default_rng(i), str(i), (30, 30))
            living.append(weakref.ref(case.image))
            yield case
            del case
            most = max(most, sum(ref() is not None for ref in living))

    write_store(tmp_path / "toy", stream(), make_info())
    assert most <= 2


def test_a_failure_midway_leaves_the_old_store_and_nothing_else(tmp_path):
    rng = np.random.default_rng(0)
    write_store(tmp_path / "toy", [make_case(rng, "old", (2, 2))], make_info())

    def broken():
        yield make_case(rng, "new", (2, 2))
        raise DataError("unreadable")

    with pytest.raises(DataError, match="unreadable"):
        write_store(tmp_path / "toy", broken(), make_info())
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
    assert CaseStore.open(tmp_path / "toy").cases["case"].tolist() == ["old"]


def test_a_new_store_replaces_the_old_one(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("old", "new"):
        write_store(tmp_path / "toy", [make_case(rng, name, (2, 2))], make_info())
    assert CaseStore.open(tmp_path / "toy").cases["case"].tolist() == ["new"]


def test_the_content_hash_follows_data_and_preparation_but_not_the_wording(tmp_path):
    def hash_of(info, **changes):
        case = make_case(np.random.default_rng(0), "1", (3, 4), **changes)
        return write_store(tmp_path / "toy", [case], info).content_hash

    original = hash_of(make_info())
    assert hash_of(make_info()) == original
    assert hash_of(make_info(citation="somebody", title="Other words")) == original
    image = np.zeros((2, 3, 4), np.float32)
    changed = [
        hash_of(make_info(), image=image),
        hash_of(make_info(), image=image + np.float32(1e-30)),
        hash_of(make_info(), group="b"),
        hash_of(make_info(), spacing=(1.0, 2.0)),
        hash_of(make_info(resampled=True, spacing=(1.0, 1.0))),
    ]
    assert len({original, *changed}) == 1 + len(changed)


def test_dataset_json_states_what_others_read(tmp_path):
    info = make_info(resampled=True, size=(3, 4))
    write_store(tmp_path / "toy", [make_case(np.random.default_rng(0), "1", (3, 4))], info)
    content = json.loads((tmp_path / "toy" / "dataset.json").read_text())
    assert content["classes"] == {"1": "thing", "2": "other"}
    assert content["size"] == [3, 4]
    assert content["spacing"] is None
    assert set(content) == {*asdict(info), "info_hash"}
    said = {key: value for key, value in content.items() if key != "info_hash"}
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    assert content["info_hash"] == hashlib.sha256(canonical).hexdigest()
    table = (tmp_path / "toy" / "cases.csv").read_bytes()
    assert content["digests"]["cases.csv"] == hashlib.sha256(table).hexdigest()
    for name in ("images", "masks", "references"):
        array = np.load(tmp_path / "toy" / f"{name}.npy")
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        assert content["digests"][name] == f"{array.dtype.name} {digest}"


def cut_short(folder):
    path = folder / "images.npy"
    path.write_bytes(path.read_bytes()[:-4])


def exchange(folder):
    np.save(folder / "masks.npy", np.zeros(3, np.uint8))


def drop_row(folder):
    path = folder / "cases.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def drop_column(folder):
    path = folder / "cases.csv"
    path.write_text(path.read_text().replace("original_offset", "elsewhere"))


def drop_field(folder):
    path = folder / "dataset.json"
    content = json.loads(path.read_text())
    del content["content_hash"], content["ndim"]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("damage", [cut_short, exchange, drop_row, drop_column, drop_field])
def test_a_damaged_store_is_refused(tmp_path, damage):
    rng = np.random.default_rng(0)
    write_store(
        tmp_path / "toy", [make_case(rng, "1", (2, 2)), make_case(rng, "2", (2, 2))], make_info()
    )
    damage(tmp_path / "toy")
    with pytest.raises(DataError, match=r"toy: not a whole case store: .*; remove .*toy and type"):
        CaseStore.open(tmp_path / "toy")


@pytest.mark.parametrize(
    "file", ["images.npy", "masks.npy", "fov.npy", "cases.csv", "dataset.json"]
)
def test_a_store_that_lacks_a_file_is_refused(tmp_path, file):
    case = make_case(np.random.default_rng(0), "1", (2, 2), fov=np.ones((2, 2), bool))
    write_store(tmp_path / "toy", [case], make_info(has_fov=True))
    (tmp_path / "toy" / file).unlink()
    with pytest.raises(DataError, match=file):
        CaseStore.open(tmp_path / "toy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fov": np.ones((2, 2), bool)}, "field of view"),
        ({"second_rater": np.ones((2, 2), np.uint8)}, "second rater"),
        ({"image": np.zeros((3, 2, 2), np.float32)}, r"image has shape \(3, 2, 2\)"),
        ({"image": np.zeros((2, 2, 2))}, "image is float64; a store holds uint8, int16, uint16"),
        ({"reference": np.zeros((4, 4), np.uint8)}, "resampled"),
    ],
)
def test_a_case_that_does_not_fit_its_dataset_is_named(tmp_path, changes, message):
    case = make_case(np.random.default_rng(0), "odd", (2, 2), **changes)
    with pytest.raises(DataError, match=rf"toy: case 'odd': .*{message}"):
        write_store(tmp_path / "toy", [case], make_info())


def test_no_case_and_a_name_used_twice_are_refused(tmp_path):
    with pytest.raises(DataError, match="no case"):
        write_store(tmp_path / "toy", [], make_info())
    case = make_case(np.random.default_rng(0), "1", (2, 2))
    with pytest.raises(DataError, match="'1': occurs twice"):
        write_store(tmp_path / "toy", [case, case], make_info())
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_case_is_refused(tmp_path):
    write_store(tmp_path / "toy", [make_case(np.random.default_rng(0), "1", (2, 2))], make_info())
    with pytest.raises(DataError, match="no case '2'"):
        CaseStore.open(tmp_path / "toy").index("2")

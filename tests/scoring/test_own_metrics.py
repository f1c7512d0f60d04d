"""Own metrics: planned without being run, computed as any other, and checked where they return."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from monai.metrics import compute_surface_dice

from attnbench.check import check_study
from attnbench.errors import OwnCodeError, StudyError
from attnbench.scoring.case import score_masks
from attnbench.scoring.definitions import METRICS, metric
from attnbench.scoring.run import case_scores

HEAD = "from attnbench.scoring.definitions import metric\nimport numpy as np\n"
WORTH = "both_empty=1.0, prediction_empty=0.0, reference_empty=0.0"
SHARED = f"higher_is_better=True, {WORTH}, rule='A rule.'"


def metric_file(folder, body, declared=SHARED, arguments="prediction, reference, spacing"):
    text = f"{HEAD}@metric({declared})\ndef mine({arguments}):\n    {body}\n"
    (folder / "my_metrics.py").write_text(text)


def content(*metrics, **more):
    named = list(metrics) or ["dice", "./my_metrics.py:mine"]
    return {"name": "x", "datasets": ["phantom2d"], "models": ["unet"], "metrics": named, **more}


def planned(folder, body="return 0.5", *metrics, **text):
    metric_file(folder, body, **text)
    return check_study(content(*metrics), "my.yaml")


def score(prediction, reference, metrics=("mine",), spacing=None, region=None):
    masks = np.asarray(prediction, np.uint8), np.asarray(reference, np.uint8)
    spacing = spacing or (1.0,) * masks[0].ndim
    return score_masks(*masks, spacing, "mm", [1], metrics, region)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


ONE, NOTHING = np.array([[0, 1, 1, 0]]), np.zeros((1, 4), int)
OTHER = np.array([[0, 0, 1, 0]])


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning:monai")
def test_a_wrapped_metric_equals_its_library_and_ours(folder, random_pair):
    (folder / "my_metrics.py").write_text(
        f"{HEAD}import torch\nfrom monai.metrics import compute_surface_dice\n"
        f"@metric({SHARED}, bounded=True)\n"
        "def mine(prediction, reference, spacing):\n"
        "    masks = (torch.from_numpy(m)[None, None] for m in (prediction, reference))\n"
        "    return compute_surface_dice(*masks, [1.0], include_background=True, spacing=spacing)\n"
    )
    check_study(content())
    for seed in range(12):
        prediction, reference, spacing = random_pair(seed)
        own, ours = score(prediction, reference, ("mine", "nsd"), spacing)
        masks = (torch.from_numpy(mask)[None, None] for mask in (prediction, reference))
        library = compute_surface_dice(*masks, [1.0], include_background=True, spacing=spacing)
        assert own["value"] == pytest.approx(float(library), abs=1e-6)
        assert own["value"] == pytest.approx(ours["value"], abs=1e-6)


@given(
    data=st.data(),
    shape=array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6),
)
def test_specificity_counts_the_background_within_the_field_of_view_alone(
    tmp_path_factory, data, shape
):
    path = tmp_path_factory.mktemp("own") / "my_metrics.py"
    path.write_text(
        f"{HEAD}@metric(higher_is_better=True, both_empty='computed', prediction_empty='computed',"
        "reference_empty='computed', rule='x.')\n"
        "def mine(prediction, reference, spacing, region):\n"
        "    back = region & ~reference\n"
        "    return (back & ~prediction).sum() / back.sum() if back.any() else np.nan\n"
    )
    check_study(content("dice", f"{path}:mine"))
    prediction, reference, region = (data.draw(arrays(bool, shape)) for _ in range(3))
    right = wrong = 0
    for index in np.ndindex(shape):
        if region[index] and not reference[index]:
            right, wrong = right + (not prediction[index]), wrong + bool(prediction[index])
    [row] = score(prediction, reference, region=region)
    expected = right / (right + wrong) if right + wrong else math.nan
    assert row["value"] == pytest.approx(expected, nan_ok=True)
    [whole] = score(prediction, reference)
    free = ~reference.astype(bool)
    if free.any():
        assert whole["value"] == pytest.approx((free & ~prediction).sum() / free.sum())


def test_empty_masks_have_the_declared_values(folder):
    declared = (
        "unit='distance', higher_is_better=False, both_empty=0.25, prediction_empty='diagonal',"
        "reference_empty='undefined', rule='x.'"
    )
    planned(folder, "raise RuntimeError('called')", declared=declared)
    pairs = (NOTHING, NOTHING), (NOTHING, ONE), (ONE, NOTHING)
    rows = [score(*pair, spacing=(3.0, 1.0))[0] for pair in pairs]
    # The diagonal of 1 x 4 voxels of 3 x 1 mm is that of 3 x 4 mm.
    assert [row["value"] for row in rows] == pytest.approx([0.25, 5.0, math.nan], nan_ok=True)
    assert [row["status"] for row in rows] == ["both_empty", "prediction_empty", "reference_empty"]
    assert {row["unit"] for row in rows} == {"mm"}


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        ("1", 1.0),
        ("np.float32(0.5)", 0.5),
        ("np.array([0.5])", 0.5),
        ("np.array([[3]], dtype=np.uint8)", 3.0),
        ("__import__('torch').tensor(0.25)", 0.25),
    ],
)
def test_whatever_is_one_number_is_taken(folder, returned, value):
    planned(folder, f"return {returned}")
    assert score(ONE, OTHER)[0]["value"] == value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return None", "returned a NoneType; a metric returns one number"),
        ("return '0.5'", "returned a str, '0.5'; a metric returns one number"),
        ("return True", "returned a bool, True; a metric returns one number"),
        ("return 1 + 0j", "returned a complex"),
        ("return np.array([0.1, 0.2])", r"returned a ndarray of shape \(2,\)"),
        ("return [0.1, [0.2]]", "returned a list"),
        ("return 1e400", "returned inf; a metric returns a finite number"),
        ("return 10 ** 400", "returned a int"),
        ("return {}['key']", r"raises KeyError: 'key' \(my_metrics.py, line 5\)"),
        ("raise SystemExit(0)", "raises SystemExit: 0"),
        ("yield 1", "returned a generator"),
        ("import no_such_package", "raises ModuleNotFoundError: No module named 'no_such_package'"),
    ],
)
def test_what_is_no_number_is_refused_with_class_and_line(folder, body, said):
    planned(folder, body)
    with pytest.raises(OwnCodeError, match=f"^class 1: ./my_metrics.py:mine {said}"):
        score(ONE, OTHER)


@pytest.mark.parametrize(
    ("declared", "returned", "said"),
    [
        (f"{SHARED}, bounded=True", 1.01, "declared as bounded"),
        (f"{SHARED}, bounded=True", -0.01, "declared as bounded"),
        (f"{SHARED}, unit='distance'", -1, "declared as a distance"),
        (f"{SHARED}, unit='count'", -1, "declared as a count"),
    ],
)
def test_a_value_that_the_declaration_does_not_allow_is_refused(folder, declared, returned, said):
    planned(folder, f"return {returned}", declared=declared)
    with pytest.raises(OwnCodeError, match=said):
        score(ONE, OTHER)


def test_rounding_does_not_leave_the_bounds(folder):
    planned(folder, "return 1.0000000000000002", declared=f"{SHARED}, bounded=True")
    assert score(ONE, OTHER)[0]["value"] == 1.0


def test_nan_is_a_status_and_nothing_else_changes(folder):
    planned(folder, "return float('nan')")
    own, dice = score(ONE, OTHER, ("mine", "dice"))
    assert math.isnan(own["value"])
    assert (own["status"], dice["status"]) == ("not_a_number", "ok")


def test_a_metric_that_changes_its_masks_changes_no_other(folder):
    planned(folder, "prediction[:] = reference[:] = True; print('changed'); return 0.5")
    before = score(ONE, OTHER, ("dice", "hd", "lesion_f1"))
    after = score(ONE, OTHER, ("mine", "dice", "mine", "hd", "lesion_f1"))
    assert [row for row in after if row["metric"] != "mine"] == before


def test_a_metric_that_has_changed_since_planning_is_refused(folder):
    study = planned(folder, "return 0.5")
    metric_file(folder, "return 0.6")
    kept = check_study(study.model_dump(mode="json"))
    assert kept.own_metrics == study.own_metrics
    with pytest.raises(OwnCodeError, match="has changed since this study was planned"):
        score(ONE, OTHER)


def test_a_written_study_needs_the_file_for_scoring_alone(folder):
    study = planned(folder)
    (folder / "my_metrics.py").unlink()
    METRICS.pop("mine")
    assert check_study(study.model_dump(mode="json")) == study
    assert METRICS["mine"].rule == "A rule."


def test_planning_runs_no_metric(folder):
    metric_file(folder, "return 0.5")
    path = folder / "my_metrics.py"
    path.write_text(f"raise SystemExit('it ran')\n{path.read_text()}")
    study = check_study(content())
    assert study.metrics == ("dice", "mine")
    assert study.own_metrics["mine"].code == "./my_metrics.py:mine"


def test_a_recipe_knows_no_metric(folder):
    study, plain = planned(folder), check_study(content("dice"))
    assert study.recipe("phantom2d", "unet") == plain.recipe("phantom2d", "unet")


def test_a_package_brings_metrics_by_name(folder, monkeypatch):
    metric_file(folder, "return 0.5")
    info = folder / "mine_of_lab-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-of-lab\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[attnbench.metrics]\nlab_ratio = my_metrics:mine\ndice = my_metrics:mine\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    from attnbench.own.packages import brought

    brought.cache_clear()
    try:
        study = check_study(content("dice", "lab_ratio"))
        assert {name: own.code for name, own in study.own_metrics.items()} == {
            "lab_ratio": "my_metrics.mine"
        }
        assert score(ONE, OTHER, ("lab_ratio",))[0]["value"] == 0.5
        with pytest.raises(StudyError, match="did you mean 'lab_ratio'"):
            check_study(content("dice", "lab_ration"))
    finally:
        brought.cache_clear()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def mine(prediction, reference, spacing): return 1", "nothing says its direction"),
        (f"@metric({SHARED})\nclass mine: ...", "found a class; a metric is a function"),
        (f"@metric({SHARED})\nasync def mine(a, b, c): ...", "mine is async"),
        (f"@metric({SHARED})\ndef mine(a, b): ...", "it takes 2 arguments; a metric takes three"),
        (f"@metric({SHARED})\ndef mine(a, b, c, d): ...", "it needs d as well"),
        (f"@metric({SHARED})\ndef mine(a, b, c, *, d): ...", "it needs d as well"),
        (
            f"@metric({SHARED}, bounded=BOUND)\ndef mine(a, b, c): ...",
            "`bounded` of @metric.*BOUND",
        ),
        (f"@metric(True, {SHARED})\ndef mine(a, b, c): ...", "arguments by name only"),
        ("@metric(**WORDS)\ndef mine(a, b, c): ...", "arguments by name only"),
        (f"@metric({WORTH}, rule='x.')\ndef mine(a, b, c): ...", "higher_is_better: missing"),
        (f"@metric({SHARED}, untis='1')\ndef mine(a, b, c): ...", "did you mean 'unit'"),
        (f"@metric({SHARED}, unit='mm')\ndef mine(a, b, c): ...", "distance"),
        (
            f"@metric({SHARED}, label='Dice')\ndef mine(a, b, c): ...",
            "label 'Dice' is that of dice",
        ),
        (f"@metric({SHARED}, label='a\\nb')\ndef mine(a, b, c): ...", "label"),
        (
            f"@metric({SHARED}, bounded=True, unit='count')\ndef mine(a, b, c): ...",
            "a bounded metric is a plain number",
        ),
        (
            f"@metric({SHARED.replace('1.0', '2')}, bounded=True)\ndef mine(a, b, c): ...",
            "between 0 and 1",
        ),
        (
            f"@metric({SHARED.replace('1.0', 'chr(1)')})\ndef mine(a, b, c): ...",
            "is not written out",
        ),
        (
            SHARED.join(("@metric(", ")\ndef mine(a, b, c): ...")).replace("1.0", "'diagonal'"),
            "a length",
        ),
        (f"@metric({SHARED})\ndef mien(a, b, c): ...", "did you mean 'mien'"),
    ],
)
def test_what_is_no_declared_metric_is_refused_when_a_study_is_checked(folder, text, said):
    (folder / "my_metrics.py").write_text(f"{HEAD}{text}\n")
    with pytest.raises(StudyError, match=f"(?s)my.yaml: .*{said}"):  # and so no job starts
        check_study(content(), "my.yaml")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"metrics": ["dice", "./a.py:mine", "./b.py:mine"]},
            "another metric of this study",
        ),
        ({"metrics": ["dice", "./a.py:mine", "./a.py:mine"]}, "'mine' stands there more than once"),
        ({"metrics": ["./a.py:dice"]}, "'dice' .* is the name of a metric that"),
        ({"metrics": ["./a.py:Mine"]}, "own_metrics: {my_metric: {code: ./a.py:Mine}}"),
        ({"metrics": ["./a.py"]}, "neither a metric's name nor own code"),
        (
            {"metrics": ["dice"], "own_metrics": {"mine": {"code": "./a.py:mine"}}},
            "not among the me",
        ),
        ({"metrics": ["mine"], "own_metrics": {"mine": {"code": "a"}}}, "own_metrics.mine.code"),
        (
            {
                "metrics": ["mine"],
                "own_metrics": {"mine": {"code": "./a.py:mine", "source": "0" * 64}},
            },
            "written together when a study is planned",
        ),
        (
            {"metrics": ["./a.py:mine"], "analysis": {"primary": {"metric": "mien"}}},
            "did you mean 'mine'",
        ),
    ],
)
def test_names_that_cannot_be_told_apart_are_refused(folder, settings, said):
    for name in "ab":
        (folder / f"{name}.py").write_text(
            HEAD
            + "".join(
                f"@metric({SHARED})\ndef {name}(a, b, c): ...\n"
                for name in ("mine", "dice", "Mine")
            )
        )
    with pytest.raises(StudyError, match=said):
        check_study({**content(), **settings})


def test_a_decorated_function_stays_a_function_and_is_checked_when_imported(folder):
    metric_file(folder, "return 0.5")
    space: dict = {}
    exec((folder / "my_metrics.py").read_text(), space)
    assert space["mine"](ONE, OTHER, (1.0,)) == 0.5
    words = {"higher_is_better": True, "rule": "x.", "prediction_empty": 0, "reference_empty": 0}
    with pytest.raises(OwnCodeError, match="both_empty is nan: say 'undefined'"):
        metric(**words, both_empty=math.nan)(lambda *masks: 0.5)


def test_another_study_of_the_process_does_not_know_the_metric(folder):
    planned(folder)
    with pytest.raises(StudyError, match="no such metric"):
        check_study(content("dice", "mine"))


def test_every_kind_of_prediction_has_the_metric_and_its_error_names_the_case(folder, store):
    study = planned(folder, "return float(prediction.sum()) + 1000 * spacing[-1]")
    reference, spacing = store.reference(1), store.original_spacing(1)
    rows = case_scores(store, 1, reference, study, None)
    assert {row["class"]: row["value"] for row in rows if row["metric"] == "mine"} == {
        number: (reference == number).sum() + 1000 * spacing[-1] for number in (1, 2)
    }
    assert {row["metric"] for row in rows} == {"dice", "mine"}
    failing = planned(folder, "return 1 / 0")
    said = r"case 'case1': class 1: \./my_metrics\.py:mine raises ZeroDivisionError"
    with pytest.raises(OwnCodeError, match=said):
        case_scores(store, 1, reference, failing, None)

"""Losses against MONAI's, the authors' formulas and slow explicit versions; and what breaks them.

`python tests/training/test_loss.py` prints the largest difference of each.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.losses import (
    DiceCELoss,
    DiceLoss,
    FocalLoss,
    TverskyLoss,
)
from monai.losses.cldice import soft_skel
from pydantic import ValidationError
from scipy.ndimage import distance_transform_edt
from torch.nn import functional as F

from attnbench.errors import OwnCodeError
from attnbench.study.loss import LossSettings
from attnbench.training.loss import loss_of, losses_of, pooled_dice
from attnbench.training.loss_check import CERTAIN, loss_problems
from attnbench.training.loss_names import facts_of_loss, known_losses
from attnbench.training.losses import loss_names
from attnbench.training.losses._distance import signed_distance

SHAPES = [(3, 12, 9), (2, 6, 5, 7)]
CLASSES = 4
SMOOTH = 1e-5
POOLED = {"softmax": True, "to_onehot_y": True, "include_background": False, "batch": True}
SMOOTHED = {"smooth_nr": SMOOTH, "smooth_dr": SMOOTH}


def random_case(shape, classes=CLASSES):
    torch.manual_seed(0)
    logits = torch.randn(shape[0], classes, *shape[1:], requires_grad=True)
    return logits, torch.randint(0, classes, shape)


def total(name, logits, masks, **options):
    return loss_of(LossSettings(name=name, options=options))(logits, masks).values.sum()


# References: each a function of logits and masks, none with a line of ours.


def monai_dice(logits, masks):
    return DiceLoss(**POOLED, **SMOOTHED)(logits, masks.unsqueeze(1))


def monai_dice_ce(logits, masks):
    return DiceCELoss(**POOLED, **SMOOTHED)(logits, masks.unsqueeze(1))


def monai_focal(logits, masks, gamma, alpha):
    focal = FocalLoss(to_onehot_y=True, use_softmax=True, gamma=gamma, alpha=alpha)
    return focal(logits, masks.unsqueeze(1)) * logits.shape[1]  # MONAI's mean is over classes too


def monai_tversky(logits, masks, alpha, beta):
    tversky = TverskyLoss(**POOLED, **SMOOTHED, alpha=alpha, beta=beta)
    return tversky(logits, masks.unsqueeze(1))


def explicit_focal_tversky(logits, masks, alpha, beta, gamma):
    """Abraham and Khan's formula, class by class and with sums of products."""
    probabilities, losses = logits.softmax(1), []
    for label in range(1, logits.shape[1]):
        p, g = probabilities[:, label], (masks == label).float()
        hit, surplus, missed = (p * g).sum(), (p * (1 - g)).sum(), ((1 - p) * g).sum()
        index = (hit + SMOOTH) / (hit + alpha * surplus + beta * missed + SMOOTH)
        losses.append((1 - index) ** (1 / gamma))
    return sum(losses) / len(losses)


def sorted_top_k(logits, masks, percent):
    """TopKLoss of nnU-Net, by sorting."""
    losses = F.cross_entropy(logits, masks, reduction="none").flatten().sort(descending=True).values
    return losses[: int(len(losses) * percent / 100)].mean()


def authors_boundary(logits, masks, alpha):
    """`one_hot2dist` and `SurfaceLoss` of Kervadec's code, with SciPy's distances."""
    distances = np.zeros((len(masks), logits.shape[1], *masks.shape[1:]))
    for image, mask in enumerate(masks.numpy()):
        for label in range(1, logits.shape[1]):
            inside = mask == label
            if inside.any():
                outward = distance_transform_edt(~inside) * ~inside
                inward = (distance_transform_edt(inside) - 1) * inside
                distances[image, label] = outward - inward
    weighed = (logits.softmax(1) * torch.from_numpy(distances).float())[:, 1:].mean()
    return monai_dice(logits, masks) + alpha * weighed


def authors_cldice(logits, masks, alpha, iterations):
    """`soft_cldice` of the authors' code for each class, with MONAI's soft skeletons."""
    losses = []
    for label in range(1, logits.shape[1]):
        p, g = logits.softmax(1)[:, label : label + 1], (masks == label).float().unsqueeze(1)
        lines = soft_skel(p, iterations), soft_skel(g, iterations)
        precision = ((lines[0] * g).sum() + 1) / (lines[0].sum() + 1)
        sensitivity = ((lines[1] * p).sum() + 1) / (lines[1].sum() + 1)
        losses.append(1 - 2 * (precision * sensitivity) / (precision + sensitivity))
    dice = monai_dice(logits, masks)
    return (1 - alpha) * dice + alpha * sum(losses) / len(losses)


REFERENCES = [
    ("dice_ce", {}, "MONAI DiceCELoss", monai_dice_ce),
    ("dice", {}, "MONAI DiceLoss", monai_dice),
    ("cross_entropy", {}, "torch cross_entropy", F.cross_entropy),
    ("focal", {"gamma": 2.0, "alpha": None}, "MONAI FocalLoss", monai_focal),
    ("focal", {"gamma": 0.5, "alpha": 0.25}, "MONAI FocalLoss, alpha", monai_focal),
    (
        "dice_focal",
        {"gamma": 2.0, "alpha": None},
        "MONAI DiceLoss + FocalLoss",
        lambda logits, masks, **own: monai_dice(logits, masks) + monai_focal(logits, masks, **own),
    ),
    ("tversky", {"alpha": 0.3, "beta": 0.7}, "MONAI TverskyLoss", monai_tversky),
    (
        "focal_tversky",
        {"alpha": 0.3, "beta": 0.7, "gamma": 4 / 3},
        "the paper's formula",
        explicit_focal_tversky,
    ),
    ("top_k", {"percent": 10}, "nnU-Net's formula, sorted", sorted_top_k),
    (
        "dice_top_k",
        {"percent": 25},
        "MONAI DiceLoss + nnU-Net's",
        lambda logits, masks, **own: monai_dice(logits, masks) + sorted_top_k(logits, masks, **own),
    ),
    ("boundary", {"alpha": 0.01}, "authors' code, SciPy's distances", authors_boundary),
    (
        "cldice",
        {"alpha": 0.5, "iterations": 3},
        "authors' code, MONAI's skeletons",
        authors_cldice,
    ),
]


def compared(name, options, reference, shape):
    """Value and gradient of ours and of the reference."""
    logits, masks = random_case(shape)
    losses = total(name, logits, masks, **options), reference(logits, masks, **options)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in losses]
    return losses, gradients


def test_every_loss_has_a_reference():
    assert {name for name, *_ in REFERENCES} == set(loss_names())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "options", "by", "reference"), REFERENCES)
def test_equals_its_reference_with_gradient(name, options, by, reference, shape):
    losses, gradients = compared(name, options, reference, shape)
    torch.testing.assert_close(*losses, msg=lambda text: f"{by}: {text}")
    torch.testing.assert_close(*gradients, atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize(("name", "options"), [case[:2] for case in REFERENCES])
def test_gradient_is_that_of_finite_differences(name, options):
    """In float32, as losses are computed: along a random direction, by central differences."""
    logits, masks = random_case((2, 5, 6))
    direction = torch.randn(logits.shape)
    loss = total(name, logits, masks, **options)
    slope = (torch.autograd.grad(loss, logits)[0] * direction).sum().item()
    with torch.no_grad():
        step = 2e-3  # small: the maxima of a skeleton change places soon
        ahead, behind = (
            total(name, logits + sign * step * direction, masks, **options).item()
            for sign in (1, -1)
        )
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=2e-2, abs=4e-4)


@pytest.mark.parametrize("name", loss_names())
@pytest.mark.parametrize("ndim", [2, 3])
def test_contract_on_grids_of_deep_supervision_and_empty_masks(name, ndim):
    assert list(loss_problems(LossSettings(name=name), (16,) * ndim, 3)) == []


@pytest.mark.parametrize("name", loss_names())
def test_a_certain_network_has_finite_loss_and_gradient(name):
    """Right or wrong everywhere, with a class that occurs nowhere: no 0 / 0 and no 0 ** -0.25."""
    masks = torch.tensor([[[0, 1, 1], [0, 1, 0]]])
    for factor in (1e4, -1e4):
        logits = (factor * F.one_hot(masks, CLASSES).movedim(-1, 1).float()).requires_grad_()
        loss = total(name, logits, masks)
        loss.backward()
        assert loss.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize("name", sorted(set(loss_names()) - {"boundary"}))
def test_a_right_prediction_costs_nothing_though_a_class_is_absent(name):
    masks = torch.zeros(1, 12, 12, dtype=torch.long)
    masks[0, 3:9, 4:10] = 1
    right = 100.0 * F.one_hot(masks, 3).movedim(-1, 1).float()
    assert total(name, right, masks).item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", loss_names())
def test_half_precision_logits_lose_nothing_but_their_own_rounding(name):
    logits, masks = random_case((2, 16, 16))
    half = logits.detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = total(name, half, masks)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, total(name, half.float(), masks))


@pytest.mark.parametrize("name", loss_names())
def test_no_step_asks_the_device_for_a_number(name):
    """On the meta device there are none: `.item()`, `nonzero` and `if tensor` fail there."""
    masks = torch.zeros(2, 8, 8, dtype=torch.long, device="meta")
    outputs = [torch.zeros(2, 3, side, side, device="meta", requires_grad=True) for side in (8, 4)]
    loss = loss_of(LossSettings(name=name))
    losses_of(loss, outputs, masks).values.sum().backward()
    assert outputs[1].grad.shape == outputs[1].shape


@pytest.mark.parametrize("name", loss_names())
def test_nothing_much_larger_than_the_batch_is_allocated(name):
    """The largest tensor of a step on four times the pixels has four times the bytes."""
    largest = []
    for side in (32, 64):
        logits = torch.randn(2, 3, side, side, requires_grad=True)
        masks = torch.randint(0, 3, (2, side, side))
        with torch.profiler.profile(profile_memory=True) as profile:
            total(name, logits, masks).backward()
        events = profile.profiler.kineto_results.events()
        largest.append(max(event.nbytes() for event in events if event.name() == "[memory]"))
    assert largest[1] <= 4.5 * largest[0]


@given(
    st.integers(1, 3).flatmap(
        lambda ndim: st.tuples(
            st.lists(st.integers(1, 9), min_size=ndim, max_size=ndim),
            st.integers(0, 2**32 - 1),
            st.floats(0, 1),
        )
    )
)
def test_signed_distances_are_scipys(case):
    sides, seed, share = case
    inside = np.random.default_rng(seed).random((3, *sides)) < share
    found = signed_distance(torch.from_numpy(inside)).numpy()
    for mask, distance in zip(inside, found, strict=True):
        expected = np.zeros(sides)
        if mask.any() and not mask.all():
            expected = np.where(
                mask, 1 - distance_transform_edt(mask), distance_transform_edt(~mask)
            )
        np.testing.assert_allclose(distance, expected, atol=1e-5)


def test_special_cases_are_the_simpler_losses():
    logits, masks = random_case((2, 8, 8))
    pairs = [
        (total("focal", logits, masks, gamma=0), total("cross_entropy", logits, masks)),
        (total("top_k", logits, masks, percent=100), total("cross_entropy", logits, masks)),
        (
            total("focal_tversky", logits, masks, gamma=1),
            total("tversky", logits, masks),
        ),
    ]
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_cldice_tells_a_broken_line_from_a_thin_one():
    """A vessel that is broken keeps its Dice, and loses its centre line."""
    masks = torch.zeros(1, 32, 32, dtype=torch.long)
    masks[0, 14:17, 2:30] = 1
    thin, broken = masks.clone(), masks.clone()
    thin[0, 16, 2:30] = 0  # a row less: 28 pixels
    broken[0, :, 11:20] = 0  # a gap: 27 pixels
    loss = loss_of(LossSettings(name="cldice"))
    thin_loss, broken_loss = (
        loss(CERTAIN * F.one_hot(one, 2).movedim(-1, 1), masks) for one in (thin, broken)
    )
    assert thin_loss.names == ("dice", "cldice")
    (thin_dice, thin_line), (broken_dice, broken_line) = thin_loss.values, broken_loss.values
    assert thin_dice > broken_dice and thin_line < broken_line


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("tversky", {"alpha": -1}, "alpha is -1"),
        ("focal", {"gamma": "two"}, "gamma is 'two'"),
        ("top_k", {"percent": 0}, "percent is 0"),
        ("cldice", {"iterations": 10**9}, "iterations is 1000000000"),
        ("boundary", {"alpha": True}, "alpha is True"),
    ],
)
def test_options_out_of_range_are_refused(name, options, said):
    (problem,) = loss_problems(LossSettings(name=name, options=options), (8, 8), 2)
    assert said in problem and "allowed: a number from" in problem


def test_options_that_are_not_finite_are_refused_before():
    for value in (math.inf, -math.inf, math.nan):
        with pytest.raises(ValidationError, match=f"a finite number is expected, found {value}"):
            LossSettings(name="cldice", options={"iterations": value})


@pytest.mark.parametrize("name", loss_names())
def test_every_loss_says_its_title_and_source(name):
    facts = facts_of_loss(name)
    assert facts.title and any(year in facts.source for year in map(str, range(2015, 2022)))
    assert name in known_losses()


OWN = """
import torch
from torch.nn import functional as F

def right(logits, masks, weight=1.0):
    \"\"\"Weighted cross-entropy.\"\"\"
    return weight * F.cross_entropy(logits, masks)
def named(logits, masks):
    return {"dice": 1 - logits.softmax(1)[:, 1].mean() * 0, "rest": F.cross_entropy(logits, masks)}
def per_image(logits, masks):
    return F.cross_entropy(logits, masks, reduction="none").mean((1, 2))
def a_number(logits, masks):
    return F.cross_entropy(logits, masks).item()
def hard(logits, masks):
    return (logits.argmax(1) != masks).float().mean()
def flat(logits, masks):
    return F.cross_entropy(logits * 0 + 1, masks)
def upside_down(logits, masks):
    return -F.cross_entropy(logits, masks)
def infinite(logits, masks):
    return F.cross_entropy(logits, masks) / (masks > 0).sum()
def of_full_size(logits, masks):
    return F.cross_entropy(logits[:, :, :9, :9].reshape(2, 3, 9, 9), masks[:, :9, :9])
def changes(logits, masks):
    masks[masks > 1] = 1
    return F.cross_entropy(logits, masks)
def bare(logits):
    return logits.mean()
class Module:
    def __call__(self, logits, masks):
        return F.cross_entropy(logits, masks)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_losses.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return lambda name, **options: LossSettings(name=f"./own_losses.py:{name}", options=options)


def test_an_own_loss_takes_options_or_names_its_terms(own):
    logits, masks = random_case((2, 8, 8), 3)
    expected = F.cross_entropy(logits, masks)
    torch.testing.assert_close(
        loss_of(own("right", weight=2.0))(logits, masks).values[0], 2 * expected
    )
    assert loss_of(own("named"))(logits, masks).names == ("dice", "rest")
    for name in ("right", "named"):
        assert list(loss_problems(own(name), (16, 16), 3)) == []
    assert facts_of_loss("./own_losses.py:right").title == "Weighted cross-entropy"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("per_image", "a tensor of shape (2,)"),
        ("a_number", "a float; a loss returns a scalar tensor"),
        ("hard", "it has no gradient"),
        ("flat", "its gradient is zero everywhere"),
        ("upside_down", "training lowers it: return 1 - it, or -it"),
        ("infinite", "where masks have no foreground; a loss is finite for every mask"),
        ("of_full_size", "invalid for input of size"),
        ("changes", "it changes the masks in place"),
        ("Module", "no function; a loss is `def my_loss(logits, masks)`"),
    ],
)
def test_an_own_loss_that_breaks_the_contract_is_refused_with_what_to_do(own, name, said):
    problems = list(loss_problems(own(name), (16, 16), 3))
    assert problems and said in problems[0]


@pytest.mark.parametrize(
    ("name", "said"), [("bare", "takes logits; a loss"), ("Module", "a class")]
)
def test_what_is_no_loss_is_refused_without_running_it(own, name, said):
    with pytest.raises(OwnCodeError, match=said):
        facts_of_loss(f"./own_losses.py:{name}")


def test_pooled_counts_equal_counting():
    torch.manual_seed(1)
    logits, masks = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))
    predicted = logits.argmax(1)
    expected = [
        [((predicted == k) & (masks == k)).sum().item() for k in (1, 2)],
        [(predicted == k).sum().item() for k in (1, 2)],
        [(masks == k).sum().item() for k in (1, 2)],
    ]
    assert pooled_dice(logits, masks).tolist() == expected


if __name__ == "__main__":
    for name, options, by, reference in REFERENCES:
        far, steep = 0.0, 0.0
        for shape in SHAPES:
            losses, gradients = compared(name, options, reference, shape)
            far = max(far, (losses[0] - losses[1]).abs().item())
            steep = max(steep, (gradients[0] - gradients[1]).abs().max().item())
        print(f"| `{name}` | {by} | {far:.1e} | {steep:.1e} |")

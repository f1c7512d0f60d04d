"""The loss against MONAI's and against hand-made cases."""

import pytest
import torch
from torch.nn import functional as F

from attnbench.training.loss import dice_and_cross_entropy, pooled_dice


@pytest.mark.parametrize("shape", [(3, 12, 9), (2, 6, 5, 7)])
def test_equals_monai(shape):
    from monai.losses import DiceCELoss

    torch.manual_seed(0)
    logits = torch.randn(shape[0], 4, *shape[1:], requires_grad=True)
    masks = torch.randint(0, 4, shape)
    monai = DiceCELoss(
        softmax=True,
        to_onehot_y=True,
        include_background=False,
        batch=True,
        smooth_nr=1e-5,
        smooth_dr=1e-5,
    )
    dice, cross_entropy = dice_and_cross_entropy(logits, masks)
    expected = monai(logits, masks.unsqueeze(1))
    torch.testing.assert_close(dice + cross_entropy, expected)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (dice + cross_entropy, expected)]
    torch.testing.assert_close(*gradients, atol=1e-7, rtol=1e-4)


def test_perfect_prediction_has_no_dice_loss_and_a_wrong_one_all():
    masks = torch.tensor([[[0, 1], [2, 2]]])
    certain = 100.0 * F.one_hot(masks, 3).movedim(-1, 1)
    assert dice_and_cross_entropy(certain, masks)[0].item() == pytest.approx(0, abs=1e-4)
    assert dice_and_cross_entropy(certain.roll(1, dims=1), masks)[0].item() == pytest.approx(
        1, abs=1e-4
    )


def test_class_absent_from_prediction_and_reference_costs_nothing():
    masks = torch.tensor([[[0, 1], [1, 0]]])
    certain = 100.0 * F.one_hot(masks, 3).movedim(-1, 1)
    assert dice_and_cross_entropy(certain, masks)[0].item() == pytest.approx(0, abs=1e-4)


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

"""Kinds of blocks and deep supervision: what the study's `backbone` may say beside widths."""

import pytest
import torch
from torch.nn import functional as F

from attnbench.models.blocks import Recurrent, RecurrentResidualBlock, ResidualBlock
from attnbench.models.unet import UNet
from attnbench.study.loss import DEFAULT_LOSS
from attnbench.training.loss import loss_of, losses_of

WIDTHS = (4, 8, 12, 16)


@pytest.mark.parametrize("block", ["plain", "residual", "recurrent_residual"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_any_block_keeps_the_size_and_learns(block, ndim):
    network = UNet(ndim, 2, 3, WIDTHS, block=block)
    size = (17, 24, 16)[:ndim]
    logits = network(torch.randn(2, 2, *size))
    assert logits.shape == (2, 3, *size)
    logits.square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_residual_block_is_its_formula():
    block = ResidualBlock(2, 3, 5, "instance")
    x = torch.randn(2, 3, 6, 7)
    first, second = block.body[0].weight, block.body[3].weight
    y = F.leaky_relu(F.instance_norm(F.conv2d(x, first, padding=1)), 0.01)
    y = F.instance_norm(F.conv2d(y, second, padding=1))
    expected = F.leaky_relu(y + F.instance_norm(F.conv2d(x, block.shortcut[0].weight)), 0.01)
    torch.testing.assert_close(block(x), expected)
    same = ResidualBlock(2, 5, 5, "instance")
    assert not list(same.shortcut.parameters())


def test_a_recurrent_block_applies_one_unit_three_times():
    block = Recurrent(2, 4, "instance", steps=2)
    x = torch.randn(1, 4, 6, 6)
    y = block.unit(x)
    y = block.unit(x + y)
    torch.testing.assert_close(block(x), block.unit(x + y))
    whole = RecurrentResidualBlock(2, 3, 4, 2, "instance")
    x = torch.randn(1, 3, 6, 6)
    y = whole.widen(x)
    torch.testing.assert_close(whole(x), y + whole.recurrent[1](whole.recurrent[0](y)))
    kernels = [p for p in whole.parameters() if p.dim() == 4]
    assert sorted(kernel.numel() for kernel in kernels) == [3 * 4, 4 * 4 * 9, 4 * 4 * 9]


@pytest.mark.parametrize(
    ("widths", "levels"), [((4, 8), 1), ((4, 8, 12), 1), (WIDTHS, 2), ((4, 4, 4, 4, 4, 4), 4)]
)
def test_deep_supervision_has_a_head_at_all_but_the_two_deepest_resolutions(widths, levels):
    network = UNet(2, 1, 3, widths, deep_supervision=True)
    outputs = network(torch.randn(2, 1, 33, 64))
    outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
    assert [tuple(x.shape) for x in outputs] == [
        (2, 3, -(-33 // 2**k), 64 // 2**k) for k in range(levels)
    ]
    assert network.eval()(torch.randn(2, 1, 33, 64)).shape == (2, 3, 33, 64)


def test_deep_supervision_leaves_the_network_itself_as_it_is():
    torch.manual_seed(0)
    plain = UNet(2, 1, 2, WIDTHS).eval()
    torch.manual_seed(0)
    deep = UNet(2, 1, 2, WIDTHS, deep_supervision=True).eval()
    x = torch.randn(1, 1, 16, 16)
    assert torch.equal(plain(x), deep(x))


def test_losses_of_deep_supervision_are_weighted_halves():
    masks, loss = torch.randint(0, 3, (2, 8, 8)), loss_of(DEFAULT_LOSS)
    outputs = [torch.randn(2, 3, side, side) for side in (8, 4, 2)]
    single = [loss(x, masks[:, :: 8 // x.shape[2], :: 8 // x.shape[2]]).values for x in outputs]
    found = losses_of(loss, outputs, masks)
    assert found.names == ("dice", "cross_entropy")
    torch.testing.assert_close(found.values, (4 * single[0] + 2 * single[1] + single[2]) / 7)
    assert torch.equal(losses_of(loss, outputs[0], masks).values, single[0])

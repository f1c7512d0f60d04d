"""Attention equals its formula in every form it is computed in, and holds memory linear in the
number of queries.
"""

import pytest
import torch
from formulas import close, softmax

from attnbench.models.attention._attend import SHORT, attend
from attnbench.models.registry import create_mechanism


def double(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def explicit(query, key, value, scale, bias=0):
    scores = scale * torch.einsum("...nd,...md->...nm", query, key) + bias
    return torch.einsum("...nm,...mc->...nc", softmax(scores), value)


def assert_equal_with_gradients(inputs, expected, actual):
    close(actual, expected, 1e-10)
    wave = torch.cos(torch.arange(actual.numel(), dtype=actual.dtype)).reshape(actual.shape)
    exact, found = (torch.autograd.grad((wave * y).sum(), inputs) for y in (expected, actual))
    for first, second in zip(found, exact, strict=True):
        close(first, second, 1e-10)


@pytest.mark.parametrize("keys", [1, SHORT, SHORT + 1, 2 * SHORT])
@pytest.mark.parametrize("queries", [1, 75, 84])  # of one case or two in one, two and four parts
@pytest.mark.parametrize("sequences", [(1,), (2,), (5,), (2, 3)])
def test_attention_equals_the_explicit_form_with_gradients(sequences, queries, keys):
    inputs = (
        double(*sequences, queries, 3),
        double(*sequences, keys, 3),
        double(*sequences, keys, 10),
    )
    assert_equal_with_gradients(inputs, explicit(*inputs, 0.7), attend(*inputs, 0.7))


@pytest.mark.parametrize("keys", [SHORT, SHORT + 1])
@pytest.mark.parametrize("spread", [(), (2,), (5, 1)])
def test_bias_is_added_to_the_scores(spread, keys):
    inputs = (
        double(5, 2, 7, 4),
        double(5, 2, keys, 4),
        double(5, 2, keys, 4),
        double(*spread, 7, keys),
    )
    *parts, bias = inputs
    assert_equal_with_gradients(inputs, explicit(*parts, 0.5, bias), attend(*parts, 0.5, bias))


def bytes_kept(module, x):
    """Bytes that the forward pass keeps for the backward pass, beside the weights."""
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = module(x)
    weights = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    assert y.requires_grad
    return sum(size for pointer, size in kept.items() if pointer not in weights)


@pytest.mark.parametrize(
    ("name", "side"), [("self_attention", 8), ("dual_attention", 8), ("non_local", 16)]
)
def test_memory_is_linear_in_positions(name, side):
    """From the largest size whose pairs are held, where the explicit form would keep 256 times
    as much.
    """
    module = create_mechanism(name, 16, 2)
    small, large = (
        bytes_kept(module, torch.randn(1, 16, s, s, requires_grad=True)) for s in (side, 4 * side)
    )
    assert large < 17 * small

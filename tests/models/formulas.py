"""Layers written out from their formulas: what the mechanisms' tests compare with."""

import itertools

import torch


def close(actual, expected, tolerance=1e-9):
    """Assert that two tensors agree to double precision's liking."""
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def softmax(x, dim=-1):
    weights = torch.exp(x - x.amax(dim, keepdim=True))
    return weights / weights.sum(dim, keepdim=True)


def spread(weights, ndim):
    """(..., C) as (..., C, 1, ...) with `ndim` ones behind."""
    return weights.reshape(*weights.shape, *[1] * ndim)


def gelu(x):
    return x * (1 + torch.erf(x / 2**0.5)) / 2


def affine(layer, x):
    """A linear layer on (..., C)."""
    return torch.einsum("oc,...c->...o", layer.weight, x) + layer.bias


def layer_norm(norm, x):
    """Layer normalisation of (..., C)."""
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    return scaled * norm.weight + norm.bias


def linear(layer, x):
    """A linear layer or one of kernel 1 on (B, C, ...), as a matrix product over channels."""
    y = torch.einsum("oc,bc...->bo...", layer.weight.flatten(1), x)
    return y if layer.bias is None else y + spread(layer.bias[None], x.dim() - 2)


def normalise(norm, x):
    """Batch normalisation of (B, C, ...) with the running statistics."""
    mean, variance, weight, bias = (
        spread(t[None], x.dim() - 2)
        for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (x - mean) / (variance + norm.eps).sqrt() * weight + bias


def convolve(layer, x, groups=1, dilation=1):
    """A convolution padded to keep its size, as a sum over taps and groups."""
    weight = layer.weight
    ndim, kernel = x.dim() - 2, weight.shape[2]
    pad = (kernel - 1) * dilation // 2
    padded = torch.nn.functional.pad(x, [pad] * (2 * ndim))
    total = torch.zeros(x.shape[0], weight.shape[0], *x.shape[2:], dtype=x.dtype)
    inputs, outputs = x.shape[1] // groups, weight.shape[0] // groups
    for tap in itertools.product(range(kernel), repeat=ndim):
        moved = padded[
            (
                ...,
                *(
                    slice(t * dilation, t * dilation + n)
                    for t, n in zip(tap, x.shape[2:], strict=True)
                ),
            )
        ]
        for group in range(groups):
            given = moved[:, group * inputs : (group + 1) * inputs]
            rows = slice(group * outputs, (group + 1) * outputs)
            total[:, rows] += torch.einsum(
                "oc,bc...->bo...", weight[(rows, slice(None), *tap)], given
            )
    return total if layer.bias is None else total + spread(layer.bias[None], ndim)

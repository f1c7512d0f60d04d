"""The selective scan: a linear recurrence over positions, in memory linear in their number.

Gu, Dao: Mamba: Linear-Time Sequence Modeling with Selective State Spaces. arXiv:2312.00752,
algorithm 2 and section 3.3 (states are recomputed, not kept); for every channel e and state n

    h_t[n, e] = exp(delta_t[e] rates[n, e]) h_(t-1)[n, e] + delta_t[e] read_t[n] values_t[e]
    y_t[e] = sum over n of write_t[n] h_t[n, e]

with h_0 = 0 before the first position. It is an operator of its own, `attnbench::selective_scan`,
so that it is one node of an exported network, needs no computing on the meta device, and has a
FLOP count: 9 per position, channel and state, as VMamba's code counts (MzeroMiko/VMamba).

Shapes, as everywhere below, for B cases, K sequences with rates of their own, L positions, E
channels, N states:

    values, delta   (B, K, L, E), delta > 0
    rates           (K, N, E), below 0
    read, write     (B, K, L, N)

Only exponentials of numbers below 0 are taken, so nothing overflows however long the sequence.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import register_flop_formula

from attnbench.models.layers import single_precision

# Positions between two states that are kept: those kept are then as large as the values for 16
# states, and a block of all states in between fits the cache of a CPU.
BLOCK = 16

_NAME = "attnbench::selective_scan"
torch.library.define(
    _NAME,
    "(Tensor values, Tensor delta, Tensor rates, Tensor read, Tensor write) -> (Tensor, Tensor)",
)


def selective_scan(
    values: Tensor, delta: Tensor, rates: Tensor, read: Tensor, write: Tensor
) -> Tensor:
    """Results y of the recurrence, (B, K, L, E); shapes as in the header of this file.

    At least in single precision, whatever the arguments have. It can be differentiated once.
    """
    arguments = (at_least_single(x) for x in (values, delta, rates, read, write))
    results: Tensor = torch.ops.attnbench.selective_scan(*arguments)[0]
    return results


def at_least_single(x: Tensor) -> Tensor:
    """`x` in single precision, or double where it is."""
    return x if x.dtype == torch.float64 else x.float()


def weights_of_values(delta: Tensor, rates: Tensor, read: Tensor, write: Tensor) -> Tensor:
    """Weight with which each value enters the sum of all results, (B, K, L, E).

    The results are linear in the values: this is the sum of each column of the matrix that maps
    the one to the other (Ali, Zimerman, Wolf: The Hidden Attention of Mamba Models,
    arXiv:2403.01590), found as the adjoint of the scan without that matrix.
    """
    delta, rates, read, write = map(at_least_single, (delta, rates, read, write))
    ones = torch.ones_like(delta)
    _, borders = scan(ones, delta, rates, read, write)
    return scan_backward(ones, ones, delta, rates, read, write, borders)[0]


def segments_on(device: torch.device, positions: int) -> int:
    """Number of segments that are scanned side by side, one position of each per step.

    A CPU does least in one; a GPU needs few steps of many numbers instead.
    """
    return 1 if device.type == "cpu" else max(1, math.isqrt(positions))


@torch.no_grad()
def scan(
    values: Tensor,
    delta: Tensor,
    rates: Tensor,
    read: Tensor,
    write: Tensor,
    segments: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Results (B, K, L, E), and the states before every block of positions.

    The latter are (B, K, segments, blocks, N, E): what `scan_backward` starts from.
    """
    length = values.shape[2]
    segments = segments or segments_on(values.device, length)
    values, delta, read, write = (cut(x, segments) for x in (values, delta, read, write))
    rates = rates[:, None, None]  # the same for all segments and positions
    with single_precision(values):
        state = _first_states(values, delta, rates, read)
        results, borders = torch.empty_like(values), []
        for block in _blocks(values):
            borders.append(state)
            _, states = _states(values[block], delta[block], rates, read[block], state)
            results[block] = _contract(write[block], states)
            state = states.select(3, -1).clone()  # not all of them
    return join(results, length), torch.stack(borders, 3)


@torch.no_grad()
def scan_backward(
    gradient: Tensor,
    values: Tensor,
    delta: Tensor,
    rates: Tensor,
    read: Tensor,
    write: Tensor,
    borders: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of values, delta, rates, read and write from that of the results.

    The adjoint g of the states is the same recurrence run backwards, g_t = write_t gradient_t +
    exp(delta_(t+1) rates) g_(t+1); the states themselves are computed again, block by block.
    """
    length, segments = values.shape[2], borders.shape[2]
    gradient, values, delta, read, write = (
        cut(x, segments) for x in (gradient, values, delta, read, write)
    )
    all_rates, rates = rates, rates[:, None, None]
    of_values, of_delta, of_read, of_write = map(torch.empty_like, (values, delta, read, write))
    of_rates = torch.zeros_like(all_rates)
    with single_precision(values):
        passed = _last_adjoints(gradient, delta, rates, write)
        for number, block in reversed(list(enumerate(_blocks(values)))):
            before = borders.select(3, number)
            decays, states = _states(values[block], delta[block], rates, read[block], before)
            of_write[block] = _over_channels(states, gradient[block])
            adjoints = write[block].unsqueeze(-1) * gradient[block].unsqueeze(-2)
            # From here on `decays` holds decay times adjoint: what a position passes back.
            passed = _run_back(adjoints, decays, passed).clone()
            of_read[block] = _over_channels(adjoints, delta[block] * values[block])
            of_input = _contract(read[block], adjoints)
            of_exponent = decays
            of_exponent[:, :, :, 1:].mul_(states[:, :, :, :-1])
            of_exponent[:, :, :, 0].mul_(before)
            of_rates += (of_exponent * delta[block].unsqueeze(-2)).sum((0, 2, 3))
            of_values[block] = of_input * delta[block]
            of_delta[block] = of_exponent.mul_(rates).sum(-2).addcmul_(of_input, values[block])
    of_values, of_delta, of_read, of_write = (
        join(x, length) for x in (of_values, of_delta, of_read, of_write)
    )
    return of_values, of_delta, of_rates, of_read, of_write


def cut(x: Tensor, segments: int) -> Tensor:
    """Sequences (B, K, L, ...) as segments (B, K, segments, length, ...), zeros behind the last.

    A delta of zero neither decays a state nor adds to it.
    """
    return F.pad(x, (0, 0, 0, -x.shape[2] % segments)).unflatten(2, (segments, -1))


def join(x: Tensor, length: int) -> Tensor:
    """Inverse of `cut`: the first `length` positions, (B, K, L, ...), on their own memory."""
    return x.flatten(2, 3)[:, :, :length].contiguous()


def _blocks(x: Tensor) -> list[tuple[slice, ...]]:
    """Index of every block of at most `BLOCK` positions of each segment."""
    every = slice(None)
    return [(every, every, every, slice(i, i + BLOCK)) for i in range(0, x.shape[3], BLOCK)]


def _states(
    values: Tensor, delta: Tensor, rates: Tensor, read: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Decays, and states from the one before the first position; all (..., positions, N, E)."""
    decays = torch.mul(delta.unsqueeze(-2), rates).exp_()
    states = read.unsqueeze(-1) * (delta * values).unsqueeze(-2)
    # In place: what is added to a state becomes that state.
    for decay, current in zip(decays.unbind(3), states.unbind(3), strict=True):
        state = current.addcmul_(decay, state)
    return decays, states


def _run_back(adjoints: Tensor, decays: Tensor, passed: Tensor) -> Tensor:
    """Run the adjoint recurrence from the last position to the first, in place.

    `adjoints` starts as what each position adds. `decays` becomes what each passes back; that of
    the first is returned.
    """
    for decay, current in zip(
        reversed(decays.unbind(3)), reversed(adjoints.unbind(3)), strict=True
    ):
        passed = decay.mul_(current.add_(passed))
    return passed


def _contract(weights: Tensor, states: Tensor) -> Tensor:
    """Sum over states, (..., E), of weights (..., N) times states (..., N, E)."""
    return (weights.unsqueeze(-2) @ states).squeeze(-2)


def _over_channels(states: Tensor, weights: Tensor) -> Tensor:
    """Sum over channels, (..., N), of states (..., N, E) times weights (..., E)."""
    return (states @ weights.unsqueeze(-1)).squeeze(-1)


def _first_states(values: Tensor, delta: Tensor, rates: Tensor, read: Tensor) -> Tensor:
    """State before each segment, (B, K, segments, N, E).

    All segments but the last run from zero; what one leaves behind decays through the next.
    """
    state = values.new_zeros(*values.shape[:3], rates.shape[-2], values.shape[-1])
    if values.shape[2] == 1:
        return state
    for block in _blocks(values):
        _, states = _states(values[block], delta[block], rates, read[block], state)
        state = states.select(3, -1).clone()
    return _carry(state, torch.exp(delta.sum(3).unsqueeze(-2) * rates.squeeze(2)))


def _last_adjoints(gradient: Tensor, delta: Tensor, rates: Tensor, write: Tensor) -> Tensor:
    """What the segments behind pass back to each segment, (B, K, segments, N, E)."""
    passed = gradient.new_zeros(*gradient.shape[:3], rates.shape[-2], gradient.shape[-1])
    if gradient.shape[2] == 1:
        return passed
    for block in reversed(_blocks(gradient)):
        decays = torch.mul(delta[block].unsqueeze(-2), rates).exp_()
        adjoints = write[block].unsqueeze(-1) * gradient[block].unsqueeze(-2)
        passed = _run_back(adjoints, decays, passed).clone()
    decay = torch.exp(delta.sum(3).unsqueeze(-2) * rates.squeeze(2))
    return _carry(passed.flip(2), decay.flip(2)).flip(2)


def _carry(left: Tensor, decay: Tensor) -> Tensor:
    """State before each segment, from what each leaves behind of itself and its total decay."""
    state, states = torch.zeros_like(left[:, :, 0]), []
    for own, kept in zip(left.unbind(2), decay.unbind(2), strict=True):
        states.append(state)
        state = own + kept * state
    return torch.stack(states, 2)


def _on_meta(
    values: Tensor, delta: Tensor, rates: Tensor, read: Tensor, write: Tensor
) -> tuple[Tensor, Tensor]:
    """Tensors of the shapes that `scan` returns, nothing computed."""
    batch, sequences, length, channels = values.shape
    # Of one segment: the states of several are as many, but for those of the last blocks.
    blocks = -(-length // BLOCK)
    shape = (batch, sequences, 1, blocks, rates.shape[1], channels)
    return values.new_empty(values.shape), values.new_empty(shape)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, output[1])
    # Or the states' gradient, which is not asked for, would be as many zeros.
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    return (None,) * 5 if gradient is None else scan_backward(gradient, *ctx.saved_tensors)


def _flops(
    values: tuple[int, ...],
    delta: tuple[int, ...],
    rates: tuple[int, ...],
    *_: tuple[int, ...],
    **__: object,
) -> int:
    return 9 * math.prod(values) * rates[1]


torch.library.impl(_NAME, "CompositeExplicitAutograd", scan)
torch.library.impl(_NAME, "Meta", _on_meta)
torch.library.register_autograd(_NAME, _differentiate, setup_context=_keep)
register_flop_formula(torch.ops.attnbench.selective_scan)(_flops)

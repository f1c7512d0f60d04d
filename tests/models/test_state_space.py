"""The selective scan equals the recurrence, position by position; the block equals its formula."""

import itertools

import pytest
import torch
from formulas import close, convolve, linear
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attnbench.models.attention import _scan
from attnbench.models.attention._scan import scan, scan_backward, selective_scan, weights_of_values
from attnbench.models.cost import count_activation_bytes
from attnbench.models.describe import count_parameters
from attnbench.models.registry import create_mechanism

C = 6
SIZES = {2: (3, 5), 3: (2, 3, 4)}
both = pytest.mark.parametrize("ndim", [2, 3])


def arguments(length, batch=2, sequences=2, channels=3, states=2, seed=0, strength=1.0):
    """Random arguments of the scan in double precision; decays as strong as `strength`."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return (
        draw(batch, sequences, length, channels),
        strength * draw(batch, sequences, length, channels).exp(),
        -draw(sequences, states, channels).exp(),
        draw(batch, sequences, length, states),
        draw(batch, sequences, length, states),
    )


def recurrence(values, delta, rates, read, write):
    """The equations of the scan, one position after the other."""
    state, results = 0, []
    for t in range(values.shape[2]):
        decay = torch.exp(torch.einsum("bke,kne->bkne", delta[:, :, t], rates))
        entering = torch.einsum("bke,bkn,bke->bkne", delta[:, :, t], read[:, :, t], values[:, :, t])
        state = decay * state + entering
        results.append(torch.einsum("bkn,bkne->bke", write[:, :, t], state))
    return torch.stack(results, 2)


@settings(deadline=None, max_examples=60)
@given(
    length=st.integers(1, 70),
    segments=st.integers(1, 9),
    block=st.integers(1, 20),
    strength=st.sampled_from([0.01, 1.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_any_cut_gives_the_recurrence_and_its_gradients(length, segments, block, strength, seed):
    given_ = [x.requires_grad_() for x in arguments(length, seed=seed, strength=strength)]
    expected = recurrence(*given_)
    gradient = torch.randn_like(expected)
    gradients = torch.autograd.grad(expected, given_, gradient)
    before, _scan.BLOCK = _scan.BLOCK, block
    try:
        results, borders = scan(*given_, segments=segments)
        found = scan_backward(gradient, *given_, borders)
    finally:
        _scan.BLOCK = before
    close(results, expected.detach())
    for ours, theirs in zip(found, gradients, strict=True):
        close(ours, theirs)


def test_gradients_are_those_of_finite_differences():
    assert torch.autograd.gradcheck(
        selective_scan, [x.requires_grad_() for x in arguments(21, batch=1)]
    )


def test_the_operator_is_registered_as_torch_asks():
    torch.library.opcheck(
        torch.ops.attnbench.selective_scan.default,
        tuple(x.requires_grad_() for x in arguments(19)),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )


@pytest.mark.parametrize("segments", [1, 64])
def test_long_sequences_stay_finite_whatever_the_decay(segments):
    """Cumulative sums of the exponents reach -1e7 here: their exponential would overflow when
    divided by.
    """
    for strength in (1e-6, 1.0, 1e3):
        values, delta, *others = (x.float() for x in arguments(4096, strength=strength))
        results, borders = scan(values, delta, *others, segments=segments)
        gradients = scan_backward(torch.ones_like(results), values, delta, *others, borders)
        assert all(x.isfinite().all() for x in (results, borders, *gradients))


def test_a_scan_in_half_precision_runs_in_single():
    exact = [x.float() for x in arguments(300)]
    rounded = [x.bfloat16() for x in exact]
    with torch.autocast("cpu", torch.bfloat16):
        results = selective_scan(*rounded)
    assert results.dtype == torch.float32
    torch.testing.assert_close(results, selective_scan(*(x.float() for x in rounded)))


def test_the_weight_of_a_value_is_its_column_of_the_matrix_of_all_pairs():
    values, *selection = arguments(17, batch=1)
    length, eye = values.shape[2], torch.eye(values.shape[2], dtype=values.dtype)
    # Column t of the matrix: the results of a value of one at position t alone.
    columns = [
        recurrence(eye[t].reshape(1, 1, -1, 1).expand_as(values), *selection).sum(2)
        for t in range(length)
    ]
    close(weights_of_values(*selection), torch.stack(columns, 2))


class Allocated(TorchDispatchMode):
    """Elements of the largest tensor that an operation returns."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.largest = max(self.largest, *sizes, 0)
        return result


@pytest.mark.parametrize("segments", [1, None])
def test_no_tensor_holds_all_states(segments):
    """What is kept, and what is held at any moment, is no more than a few times the values."""
    for length in (1024, 4096):
        values, *others = arguments(length, batch=1, channels=8, states=16)
        with Allocated() as allocated:
            results, borders = scan(values, *others, segments=segments or length // 64)
            scan_backward(results, values, *others, borders)
        assert borders.numel() <= 1.1 * values.numel()
        assert allocated.largest <= 4.1 * values.numel() < values.numel() * 16


def saved_bytes(module, x):
    """Bytes that automatic differentiation keeps, each storage once."""
    saved = {}

    def keep(tensor):
        saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = module(x)
    del result
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


@both
def test_memory_of_a_step_is_linear_in_the_positions(ndim):
    module = create_mechanism("selective_state_space", 16, ndim)
    small, large = {2: ((16, 16), (64, 64)), 3: ((8, 8, 8), (16, 16, 32))}[ndim]
    kept = [saved_bytes(module, torch.randn(1, 16, *sides)) for sides in (small, large)]
    ratio = torch.tensor(large).prod() / torch.tensor(small).prod()
    assert kept[1] <= ratio * kept[0]
    counted = count_activation_bytes(module, (1, 16, *large))
    weights = sum(parameter.nbytes for parameter in module.parameters())
    assert counted == pytest.approx(kept[1] - weights, rel=0.01)


def paths(sides):
    """Positions in the order of each direction: every axis fastest once, there and back."""
    ndim = len(sides)
    for axis in reversed(range(ndim)):
        slow = [other for other in range(ndim) if other != axis]
        order = []
        for outer in itertools.product(*(range(sides[other]) for other in slow)):
            for inner in range(sides[axis]):
                position = dict(zip(slow, outer, strict=True)) | {axis: inner}
                order.append(tuple(position[a] for a in range(ndim)))
        yield axis, order


def by_hand(module, x):
    """The block, one direction and one position after the other."""
    ndim, sides = x.dim() - 2, tuple(x.shape[2:])
    inner, states, rank = module.output.in_features, module.states, module.rank

    def normalised(norm, y):  # over channels
        centred = y - y.mean(1, keepdim=True)
        scaled = centred / (centred.square().mean(1, keepdim=True) + norm.eps).sqrt()
        shape = (1, -1, *[1] * ndim)
        return scaled * norm.weight.reshape(shape) + norm.bias.reshape(shape)

    both_halves = linear(module.input, normalised(module.norm, x))
    value, gate = both_halves[:, :inner], both_halves[:, inner:]
    mixed = convolve(module.conv, value, groups=inner)
    mixed = mixed / (1 + torch.exp(-mixed))
    total, weights = torch.zeros_like(mixed), torch.zeros_like(mixed)
    orders = [order for _, order in paths(sides)]
    for k, order in enumerate(orders + [order[::-1] for order in orders]):
        rates = -module.log_rates.reshape(-1, states, inner)[k].exp()
        direct = module.direct.reshape(-1, inner)[k]
        state, decayed = torch.zeros(len(x), states, inner, dtype=x.dtype), []
        for at in order:
            v = mixed[(..., *at)]
            parts = v @ module.select[k].T
            step = parts[:, :rank] @ module.step[k].T + module.step_bias.reshape(-1, inner)[k]
            delta = torch.log(1 + torch.exp(step))
            read, write = parts[:, rank : rank + states], parts[:, rank + states :]
            decay = torch.exp(delta[:, None] * rates)
            state = decay * state + read[:, :, None] * (delta * v)[:, None]
            total[(..., *at)] += (write[:, :, None] * state).sum(1) + direct * v
            # What each earlier value has left in the results so far.
            decayed = [(place, decay * left) for place, left in decayed]
            decayed.append((at, read[:, :, None] * delta[:, None]))
            for place, left in decayed:
                weights[(..., *place)] += (write[:, :, None] * left).sum(1)
            weights[(..., *at)] += direct
    gated = normalised(module.output_norm, total) * gate / (1 + torch.exp(-gate))
    return x + linear(module.output, gated), weights.abs().mean(1, keepdim=True)


@both
@pytest.mark.parametrize("training", [True, False])
def test_the_block_scans_every_direction(ndim, training, randomise):
    module = randomise(create_mechanism("selective_state_space", C, ndim, states=3)).double()
    x = torch.randn(2, C, *SIZES[ndim], dtype=torch.float64)
    with torch.no_grad():
        expected, weights = by_hand(module, x)
    close(module.train(training)(x), expected)
    close(module.attention_map(x), weights)


def test_starts_as_mamba_does():
    """Rates -1 to -16, a softplus of the steps' bias from 0.001 to 0.1, D of one."""
    module = create_mechanism("selective_state_space", 32, 2)
    rates = -module.log_rates.exp().reshape(4, 16, 64)
    expected = -torch.arange(1.0, 17).reshape(1, 16, 1).expand(4, 16, 64)
    torch.testing.assert_close(rates, expected)
    steps = torch.nn.functional.softplus(module.step_bias)
    assert 0.00099 < steps.min() < 0.002 and 0.05 < steps.max() < 0.1001
    assert (module.direct == 1).all()


@both
@pytest.mark.parametrize("c", [8, 64])
def test_parameters_are_those_of_the_formula(ndim, c):
    inner, rank, k, n = 2 * c, -(-c // 16), 2 * ndim, 16
    layers = 2 * c + c * 2 * inner + 3**ndim * inner + inner + 2 * inner + inner * c
    scanned = k * inner * (rank + 2 * n + rank + 1 + n + 1)
    assert count_parameters(create_mechanism("selective_state_space", c, ndim)) == layers + scanned

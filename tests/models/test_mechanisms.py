"""The contract that every mechanism of the registry keeps, in 2-D and 3-D."""

import copy
import io
from functools import cache

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attnbench.errors import ModelError
from attnbench.models.attention import mechanism_names
from attnbench.models.names import known_models
from attnbench.models.registry import create_mechanism, get_mechanism
from attnbench.models.unet import UNet
from attnbench.study.models import BackboneSettings, ModelSettings, Placement, resolve_model
from attnbench.study.names import SLOTS

NAMES = mechanism_names()
FORMS = [(name, ndim) for name in NAMES for ndim in get_mechanism(name).ndims]
CHANNELS = 16
GATE_CHANNELS = 24
EVEN = {2: (8, 12), 3: (4, 6, 8)}
ODD = {2: (7, 5), 3: (3, 5, 7)}
every_form = pytest.mark.parametrize(
    ("name", "ndim"), FORMS, ids=[f"{name}-{ndim}d" for name, ndim in FORMS]
)


@cache
def _built(name, ndim):
    found = get_mechanism(name)
    channels = (CHANNELS, 2 * CHANNELS) if found.joint else CHANNELS
    torch.manual_seed(0)
    return create_mechanism(
        name, channels, ndim, gate_channels=GATE_CHANNELS if found.gate else None
    )


def build(name, ndim):
    return copy.deepcopy(_built(name, ndim))


def halved(size):
    return tuple(-(-side // 2) for side in size)


def inputs(name, size, batch=2, seed=1):
    """The arguments of a mechanism's forward for features of `size`, as random numbers."""
    found = get_mechanism(name)
    generator = torch.Generator().manual_seed(seed)

    def draw(channels, sides):
        return torch.randn(batch, channels, *sides, generator=generator)

    if found.joint:
        return ([draw(CHANNELS, size), draw(2 * CHANNELS, halved(size))],)
    x = draw(CHANNELS, size)
    if not found.gate:
        return (x,)
    return x, draw(GATE_CHANNELS, halved(size) if found.gate == "coarse" else size)


def apply(function, arguments):
    """The same arguments with `function` applied to each tensor."""
    return tuple(
        [function(x) for x in item] if isinstance(item, list) else function(item)
        for item in arguments
    )


def features(arguments):
    """The features a mechanism maps, as a list: the gate is not one of them."""
    return list(arguments[0]) if isinstance(arguments[0], list) else [arguments[0]]


def run(module, arguments):
    """The mechanism's results as a list."""
    result = module(*arguments)
    return list(result) if isinstance(result, list | tuple) else [result]


@pytest.mark.parametrize("name", NAMES)
def test_is_registered_with_a_title_a_paper_and_slots_it_can_take(name):
    found = get_mechanism(name)
    assert found.name == name
    assert found.module.__module__ == f"attnbench.models.attention.{name}"
    assert found.title and found.paper.title
    # Given and family name of every author, for BibTeX.
    assert all(" " in author for author in found.paper.authors.split(", "))
    assert "et al" not in found.paper.authors
    assert 2014 <= found.paper.year <= 2026
    assert any(word in found.paper.source for word in ("arXiv:", "doi:", "PMLR"))
    assert found.default and set(found.default) <= set(found.slots) <= set(SLOTS)
    assert found.gate is None or found.slots == ("skip",)
    assert set(found.ndims) <= {2, 3} and 2 in found.ndims


def test_titles_are_distinct():
    titles = [get_mechanism(name).title for name in NAMES]
    assert len(set(titles)) == len(titles)


@every_form
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_keeps_shape_and_dtype_for_any_size_and_batch(name, ndim, training):
    module = build(name, ndim).train(training)
    for size, batch in [(EVEN[ndim], 2), (ODD[ndim], 2), (ODD[ndim], 1)]:
        arguments = inputs(name, size, batch)
        results = run(module, arguments)
        for x, y in zip(features(arguments), results, strict=True):
            assert y.shape == x.shape and y.dtype == x.dtype and y.isfinite().all()


@every_form
def test_double_precision_stays_double(name, ndim):
    module = build(name, ndim).double()
    arguments = apply(torch.Tensor.double, inputs(name, ODD[ndim]))
    assert all(y.dtype == torch.float64 for y in run(module, arguments))


@every_form
def test_gradients_reach_every_parameter_and_input(name, ndim, randomise):
    module = randomise(build(name, ndim).double())
    arguments = apply(lambda x: x.double().requires_grad_(), inputs(name, EVEN[ndim]))
    sum(y.square().sum() for y in run(module, arguments)).backward()
    for x in tree_leaves(arguments):
        assert x.grad.isfinite().all() and x.grad.any()
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        # A bias may have a gradient of zero: before a normalisation, or added to all keys of a
        # softmax.
        assert parameter.grad.any() or key.endswith("bias"), key


@every_form
def test_evaluation_treats_each_case_alone_and_repeats_exactly(name, ndim, randomise):
    module = randomise(build(name, ndim)).double().eval()
    arguments = apply(torch.Tensor.double, inputs(name, EVEN[ndim], batch=3))
    together = run(module, arguments)
    assert all(
        torch.equal(first, second)
        for first, second in zip(together, run(module, arguments), strict=True)
    )
    for case in range(3):
        alone = run(module, apply(lambda x, case=case: x[case : case + 1], arguments))
        for y, expected in zip(alone, together, strict=True):
            torch.testing.assert_close(y, expected[case : case + 1], rtol=1e-9, atol=1e-9)


@every_form
def test_saved_and_loaded_weights_give_the_same_output(name, ndim, randomise):
    module = randomise(build(name, ndim)).eval()
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other = build(name, ndim).eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    arguments = inputs(name, ODD[ndim])
    assert all(
        torch.equal(a, b)
        for a, b in zip(run(module, arguments), run(other, arguments), strict=True)
    )


@every_form
def test_mixed_precision_is_near_single_precision(name, ndim):
    module = build(name, ndim)
    # A joint mechanism sees patches: were there only one, batch normalisation would blow up its
    # rounding.
    arguments = inputs(
        name, tuple((3 if get_mechanism(name).joint else 1) * side for side in EVEN[ndim])
    )
    expected = run(module, arguments)
    module = build(name, ndim)
    with torch.autocast("cpu", torch.bfloat16):
        results = run(module, apply(torch.Tensor.requires_grad_, arguments))
        sum(y.float().square().sum() for y in results).backward()
    for y, exact in zip(results, expected, strict=True):
        assert (y.float() - exact).abs().max() < 0.05 * exact.abs().max()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


@every_form
def test_channels_last_gives_the_same_output(name, ndim, randomise):
    module = randomise(build(name, ndim)).double().eval()
    arguments = apply(torch.Tensor.double, inputs(name, EVEN[ndim]))
    expected = run(module, arguments)
    layout = {2: torch.channels_last, 3: torch.channels_last_3d}[ndim]
    permuted = apply(lambda x: x.contiguous(memory_format=layout), arguments)
    for y, exact in zip(run(module.to(memory_format=layout), permuted), expected, strict=True):
        torch.testing.assert_close(y, exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_survives_export(name):
    module, arguments = build(name, 2).eval(), inputs(name, ODD[2])
    exported = torch.export.export(module, arguments).module()
    for y, expected in zip(run(exported, arguments), run(module, arguments), strict=True):
        torch.testing.assert_close(y, expected)


class LargestTensor(TorchDispatchMode):
    """Records the number of elements of the largest tensor that any operation returns."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.elements = max(self.elements, *sizes, 0)
        return result


def largest_tensor(name, side):
    module = build(name, 2)
    arguments = apply(torch.Tensor.requires_grad_, inputs(name, (side, side), batch=1))
    with LargestTensor() as largest:
        sum(y.sum() for y in run(module, arguments)).backward()
    return largest.elements


@pytest.mark.parametrize("name", NAMES)
def test_never_holds_a_value_per_pair_of_positions(name):
    """With twice the side, pairs of positions grow 16 times, pairs of a position and a line 8
    times.
    """
    assert largest_tensor(name, 48) <= 8 * largest_tensor(name, 24)


@every_form
def test_has_a_map_of_weights_per_position_or_per_channel(name, ndim, randomise):
    module = randomise(build(name, ndim)).eval()
    kinds = [kind for kind in ("attention_map", "channel_map") if hasattr(module, kind)]
    assert len(kinds) == 1
    for size in (EVEN[ndim], ODD[ndim]):
        arguments = inputs(name, size)
        weights = getattr(module, kinds[0])(*arguments)
        maps = list(weights) if isinstance(weights, list | tuple) else [weights]
        for x, weight in zip(features(arguments), maps, strict=False):
            per_position, per_channel = (2, 1, *x.shape[2:]), (2, x.shape[1], *([1] * ndim))
            assert weight.shape == (per_position if kinds == ["attention_map"] else per_channel)
            assert weight.isfinite().all() and (weight >= 0).all()
            assert weight.flatten(1).std(1).min() > 0  # it depends on the position or channel


@every_form
@pytest.mark.parametrize("slot", SLOTS)
def test_sits_in_every_slot_it_allows_and_in_no_other(name, ndim, slot):
    model = ModelSettings(name="mine", slots={slot: [Placement(name=name)]})
    backbone = BackboneSettings(widths=(16, 32))
    if slot not in get_mechanism(name).slots:
        with pytest.raises(ValueError, match=f"cannot sit in slot '{slot}'; allowed: "):
            resolve_model(model, {}, backbone, known_models())
        return
    slots = resolve_model(model, {}, backbone, known_models()).slots
    network = UNet(ndim, 1, 2, (16, 32), slots=slots)
    x = torch.randn(2, 1, *ODD[ndim])
    assert network(x).shape == (2, 2, *ODD[ndim])
    assert len(list(network.modules())) > len(list(UNet(ndim, 1, 2, (16, 32)).modules()))


@pytest.mark.parametrize("name", NAMES)
def test_refuses_an_option_it_does_not_have(name):
    with pytest.raises(ModelError, match="has no option 'colour'; "):
        create_mechanism(name, CHANNELS, 2, gate_channels=GATE_CHANNELS, colour="red")


@pytest.mark.parametrize("name", NAMES)
def test_refuses_a_number_of_axes_it_has_no_form_for(name):
    ndims = get_mechanism(name).ndims
    for ndim in {2, 3, 4}.difference(ndims):
        with pytest.raises(
            ModelError, match=f"has no {ndim}-D form; allowed: 2-D{', 3-D' if 3 in ndims else ''}$"
        ):
            create_mechanism(name, CHANNELS, ndim, gate_channels=GATE_CHANNELS)


@pytest.mark.parametrize("name", [name for name in NAMES if get_mechanism(name).gate])
def test_refuses_to_be_built_without_its_gate(name):
    with pytest.raises(ModelError, match="needs gate_channels"):
        create_mechanism(name, CHANNELS, 2)


@pytest.mark.parametrize(
    "name",
    [
        found.name
        for found in map(get_mechanism, NAMES)
        if "heads" in found.options() and not found.joint
    ],
)
def test_refuses_channels_that_do_not_split_into_heads_and_names_the_nearest(name):
    with pytest.raises(ModelError, match=rf"{CHANNELS + 1}.*nearest.* \d+"):
        create_mechanism(name, CHANNELS + 1, 2, gate_channels=GATE_CHANNELS, heads=8)


def test_an_unknown_mechanism_is_refused_with_the_nearest_name():
    with pytest.raises(
        ModelError, match="no mechanism 'self_atention'; did you mean 'self_attention'"
    ):
        create_mechanism("self_atention", CHANNELS, 2)

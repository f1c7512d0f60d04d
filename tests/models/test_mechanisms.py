"""The contract that every mechanism of the registry keeps, in 2-D and 3-D."""

from functools import cache

import pytest

from attnbench.errors import ModelError
from attnbench.models.attention import mechanism_names
from attnbench.models.contract import CHECKS, examine, specimen_of
from attnbench.models.names import known_models
from attnbench.models.registry import create_mechanism, get_mechanism
from attnbench.models.specimen import EVEN, off_start
from attnbench.study.models import BackboneSettings, ModelSettings, Placement, resolve_model
from attnbench.study.names import SLOTS

NAMES = mechanism_names()
FORMS = [(name, ndim) for name in NAMES for ndim in get_mechanism(name).ndims]
CHANNELS = 16
GATE_CHANNELS = 24
every_form = pytest.mark.parametrize(
    ("name", "ndim"), FORMS, ids=[f"{name}-{ndim}d" for name, ndim in FORMS]
)
specimen = cache(specimen_of)


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


# These take as long as the rest together, and hardly depend on the number of axes.
_ONCE = ("can be exported", "needs memory in proportion to positions")
PROMISED = [
    (name, ndim, check)
    for name, ndim in FORMS
    for check in CHECKS
    if ndim == 2 or check.promise not in _ONCE
]


@pytest.mark.parametrize(
    ("name", "ndim", "check"),
    PROMISED,
    ids=[f"{name}-{ndim}d-{check.promise}" for name, ndim, check in PROMISED],
)
def test_keeps_its_contract_without_a_warning(name, ndim, check):
    finding = examine(check, specimen(name, ndim))
    assert (finding.verdict, finding.found) == ("ok", "")


@every_form
def test_has_a_map_of_weights_per_position_or_per_channel_that_depends_on_them(name, ndim):
    module = off_start(specimen(name, ndim).build()).eval()
    (kind,) = (kind for kind in ("attention_map", "channel_map") if hasattr(module, kind))
    weights = getattr(module, kind)(*specimen(name, ndim).inputs(EVEN[ndim]))
    for weight in weights if isinstance(weights, list | tuple) else [weights]:
        assert weight.flatten(1).std(1).min() > 0


@pytest.mark.parametrize("name", NAMES)
def test_sits_in_no_slot_but_those_it_allows(name):
    for slot in set(SLOTS) - set(get_mechanism(name).slots):
        model = ModelSettings(name="mine", slots={slot: [Placement(name=name)]})
        with pytest.raises(ValueError, match=f"cannot sit in slot '{slot}'; allowed: "):
            resolve_model(model, {}, BackboneSettings(widths=(16, 32)), known_models())


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

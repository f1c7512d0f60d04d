"""What `study check` says of networks that cannot be trained as they are, and of those that can."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from attnbench.errors import AttnBenchError
from attnbench.models.external import ExternalNetwork
from attnbench.models.spec import NetworkSpec
from attnbench.models.trial_pass import try_external
from attnbench.study.models import ModelSettings


@pytest.fixture(autouse=True)
def _networks(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)


def attempt(network, patch=(24, 24), batch=4, **keys):
    reference = network if "." in network else f"hostile_networks.{network}"
    model = ModelSettings(name="mine", network=reference, **keys)
    spec = NetworkSpec(len(patch), 1, 2, patch)
    try_external(model, spec, batch)
    return ExternalNetwork(model, spec)


HOSTILE = {
    "Pair": "tuple with 2 entries (0: (2, 2, 24, 24), 1: (2, 2, 12, 12)); name the entry",
    "Listed": "as in `output: 0`",
    "Mapped": "as in `output: out`",
    "Named": "as in `output: logits`",
    "DeepInTraining": "mine in training, for input (2, 1, 24, 24): returns a list with 2 entries",
    "Nothing": "returns NoneType",
    "Array": "returns ndarray",
    "Softmaxed": "probabilities in evaluation (all lie between 0 and 1, as of a softmax)",
    "SoftmaxedInEvaluation": "probabilities in evaluation",
    "Sigmoid": "as of a sigmoid",
    "OneChannel": "1 channel for 2 classes: background is a class, too: give it '{classes}'",
    "ThreeClasses": "3 channels for 2 classes: give it '{classes}'",
    "Mask": "leave out its argmax",
    "HardMask": "its logits have no gradient",
    "Detached": "its logits have no gradient",
    "ChannelsLast": "movedim(-1, 1)",
    "Quarter": "found output (2, 2, 6, 6); expected (2, 2, 24, 24)",
    "Twice": "interpolate its logits",
    "Stacked": "in training, for input (2, 1, 24, 24): found output (2, 2, 2, 24, 24)",
    "Double": "returns float64",
    "Brain": "returns bfloat16",
    "NotFinite": "not finite",
    "InPlace": "changes its input in place",
    "InPlaceAfterwards": "modified by an inplace operation",
    "ByValue": "makes no decision by values",
    "LeftBehind": "`register_buffer`",
    "TwoArguments": "missing 1 required positional argument: 'mask'",
    "Frozen": "has no parameter to train",
    "forgetful": "gives a NoneType",
}


@pytest.mark.parametrize("network", HOSTILE)
def test_what_cannot_be_trained_is_refused_with_the_reason(network):
    with pytest.raises(AttnBenchError) as refusal:
        attempt(network)
    assert HOSTILE[network] in str(refusal.value)


@pytest.mark.parametrize(
    ("network", "output"),
    [("Pair", 0), ("Listed", -1), ("Mapped", "out"), ("Named", "logits"), ("Named", 0),
     ("Nested", 1), ("DeepInTraining", 0)],
)  # fmt: skip
def test_the_entry_that_is_named_has_the_logits(network, output):
    torch.manual_seed(0)
    built = attempt(network, output=output)
    x = torch.randn(2, 1, 24, 24)
    own = built.network
    for mode in (True, False):
        assert torch.equal(built.train(mode)(x), own.last(F.relu(own.first(x))))


@pytest.mark.parametrize(
    ("network", "output", "said"),
    [
        ("Pair", 5, "there is no `output: 5`; allowed: 0, 1"),
        ("Mapped", "oud", "did you mean 'out'?"),
        ("Nested", 0, "`output: 0` is no tensor"),
        ("Good", 0, "remove `output: 0`"),
    ],
)
def test_an_entry_that_is_not_there_is_refused(network, output, said):
    with pytest.raises(AttnBenchError) as refusal:
        attempt(network, output=output)
    assert said in str(refusal.value)


@pytest.mark.parametrize("network", ["Good", "Zeroed", "Small", "Pooled", "Strided", "factory"])
def test_logits_pass_even_where_they_lie_between_0_and_1(network):
    attempt(network)


def test_log_probabilities_pass_since_they_are_logits_of_the_same_prediction_and_loss():
    network = attempt("LogSoftmaxed")
    x, masks = torch.randn(2, 1, 24, 24), torch.randint(2, (2, 24, 24))
    logits = network.network.last(F.relu(network.network.first(x)))
    assert torch.allclose(network(x).softmax(dim=1), logits.softmax(dim=1), atol=1e-6)
    losses = [F.cross_entropy(one, masks) for one in (network(x), logits)]
    assert torch.isclose(*losses, atol=1e-6)


def test_a_divisor_is_found_by_trying_and_suggested():
    with pytest.raises(AttnBenchError, match="multiples of 12: set `divisor: 12`"):
        attempt("Strided", patch=(32, 32))
    attempt("Strided", patch=(32, 32), divisor=12)


def test_a_network_of_one_size_is_told_how_to_get_it():
    with pytest.raises(AttnBenchError, match=r"`fixed_size: true`"):
        attempt("Positions", patch=(32, 32))
    attempt("Positions", patch=(72, 72), arguments={"size": "{patch}"}, fixed_size=True)
    # A small image is no obstacle to a network that takes the patch alone.
    attempt("Positions", patch=(72, 72), arguments={"size": "{patch}"})


def test_batch_normalisation_of_one_value_is_found_where_the_batch_has_one_image():
    with pytest.raises(AttnBenchError, match=r"training\.batch: 2` at least"):
        attempt("Pooled", batch=1)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("numpy.save", "an object of type _ArrayFunctionDispatcher"),
        ("pandas.read_pickle", "a function of pandas, which has nothing to do with networks"),
        ("torch.load", "a function of torch.serialization"),
        ("torch.hub.load", "a function of torch.hub"),
        ("yaml.load", "a function of yaml"),
        ("torch.utils.data.DataLoader", "not derived from torch.nn.Module"),
        ("hostile_networks.NoModule", "not derived from torch.nn.Module"),
        ("hostile_networks.built", "a network that is built already"),
        ("hostile_networks.part", "an object of type partial"),
        ("pip._internal.main", "a function of pip._internal"),
    ],
)
def test_what_builds_no_networks_is_refused_before_it_is_called(network, said):
    if network.startswith("pip."):
        pytest.importorskip("pip")
    with pytest.raises(AttnBenchError) as refusal:
        attempt(network, arguments={"there_is": "no such argument"})
    assert said in str(refusal.value) and "refuses" not in str(refusal.value)


def test_a_functions_own_package_may_be_imported_into_a_users_file(tmp_path):
    (tmp_path / "mine.py").write_text("from torch import load\nfrom shutil import rmtree\n")
    for name in ("load", "rmtree"):
        with pytest.raises(AttnBenchError, match="nothing to do with networks"):
            attempt(f"{tmp_path}/mine.py:{name}")

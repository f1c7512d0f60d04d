"""A batch taken in parts: gradients, weights and refusals against the whole batch."""

import pytest
import torch
from torch import nn

from attnbench.errors import ModelError, StudyError
from attnbench.models.batch_norm import refuse_batch_norm
from attnbench.models.unet import UNet
from attnbench.study.groups import TrainingSettings
from attnbench.study.loss import LossSettings
from attnbench.study.settings import parse_study
from attnbench.training.accumulate import gradients
from attnbench.training.loop import take_step, train, validation_dice
from attnbench.training.loss import Loss, loss_of
from attnbench.training.losses import loss_names
from attnbench.training.optimiser import make_optimiser

BATCH = 6


def batch(ndim=2, channels=1, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(BATCH, channels, *[16] * ndim, generator=generator)
    masks = torch.randint(classes, (BATCH, *[16] * ndim), generator=generator)
    # One patch without foreground, one of one class: a mean of the parts' Dice would differ.
    masks[0] = 0
    masks[1] = 2
    return images, masks


def net(ndim=2, norm="instance", classes=3):
    torch.manual_seed(1)
    return UNet(ndim, 1, classes, (4, 8), 1, norm).train()


def gradient_of(network, loss, parts, ndim=2, dtype=torch.float32):
    network = network.to(dtype)
    network.zero_grad()
    images, masks = batch(ndim)
    terms = gradients(network, images.to(dtype), masks, loss, None, parts)
    return terms, torch.cat([one.grad.flatten() for one in network.parameters()])


@pytest.mark.parametrize("name", loss_names())
@pytest.mark.parametrize("parts", [2, 4, BATCH])
def test_gradient_and_value_are_those_of_the_whole_batch_for_every_loss(name, parts):
    loss = loss_of(LossSettings(name=name))
    whole, expected = gradient_of(net(), loss, 1)
    terms, found = gradient_of(net(), loss, parts)
    assert terms.names == whole.names
    torch.testing.assert_close(terms.values, whole.values, rtol=1e-5, atol=1e-7)
    assert (found - expected).norm() <= 1e-4 * expected.norm()


# Independent: each loss of the parts, weighted by their patches, as accumulation usually is done.
def mean_of_parts(name):
    loss = loss_of(LossSettings(name=name))
    network, (images, masks) = net(), batch()
    for part in (slice(0, 2), slice(2, 6)):
        values = loss(network(images[part]), masks[part]).values.sum()
        (values * len(images[part]) / BATCH).backward()
    return torch.cat([one.grad.flatten() for one in network.parameters()])


MEANS = ("cross_entropy", "focal")


@pytest.mark.parametrize("name", loss_names())
def test_of_the_losses_all_but_two_pool_over_the_batch(name):
    _, expected = gradient_of(net(), loss_of(LossSettings(name=name)), 1)
    differs = (mean_of_parts(name) - expected).norm() > 1e-3 * expected.norm()
    assert differs == (name not in MEANS)


def test_own_loss_that_ranks_the_whole_batch_and_deep_supervision():
    def hardest_patch(logits, masks):
        return nn.functional.cross_entropy(logits, masks, reduction="none").mean((1, 2)).max()

    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.coarse = net(), nn.AvgPool2d(2)

        def forward(self, x):
            fine = self.net(x)
            return [fine, self.coarse(fine).tanh()]

    loss = Loss("hardest_patch", hardest_patch)
    _, expected = gradient_of(Deep(), loss, 1)
    _, found = gradient_of(Deep(), loss, 3)
    assert (found - expected).norm() <= 1e-4 * expected.norm()


def test_dropout_draws_the_same_in_both_passes_and_goes_on_from_there():
    class Dropped(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.seen = nn.Parameter(torch.full((3, 1), 0.5)), []

        def forward(self, x):
            kept = nn.functional.dropout(torch.ones_like(x), 0.5, self.training)
            self.seen.append(kept.detach().clone())
            return self.weight.view(1, 3, 1, 1) * (x * kept)

    torch.manual_seed(7)
    network = Dropped()
    gradients(network, *batch(), loss_of(LossSettings(name="dice_ce")), None, 3)
    after = torch.rand(1)
    first, second = network.seen[:3], network.seen[3:]
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])
    # What would have been drawn had every part passed once.
    torch.manual_seed(7)
    for _ in range(3):
        nn.functional.dropout(torch.ones(2, 1, 16, 16), 0.5)
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize("ndim", [2, 3])
def test_steps_of_a_training_end_in_the_same_weights_to_rounding(ndim):
    ends = []
    for parts in (1, 3):
        network = net(ndim).double()
        settings = TrainingSettings(
            steps=5, batch=BATCH, optimiser="sgd", learning_rate=0.01, accumulate=parts
        )
        data = [batch(ndim, seed=seed) for seed in range(5)]
        data = [(images.double(), masks) for images, masks in data]
        rows = list(train(network, data, data[:1], settings, 5, torch.device("cpu"), None))
        ends.append((torch.nn.utils.parameters_to_vector(network.parameters()), rows))
    (whole, rows), (taken, other) = ends
    # The loss itself is in float32, whatever the network is in.
    torch.testing.assert_close(taken, whole, rtol=1e-4, atol=1e-6)
    for one, two in zip(rows, other, strict=True):
        assert one["learning_rate"] == two["learning_rate"] and one["step"] == two["step"]
        assert two["validation_dice"] == pytest.approx(one["validation_dice"], nan_ok=True)


def test_one_part_is_a_plain_step_bit_for_bit():
    networks, loss = (net(), net()), loss_of(LossSettings(name="dice_ce"))
    optimisers = [make_optimiser(one, TrainingSettings(), torch.device("cpu")) for one in networks]
    take_step(networks[0], *batch(), loss, optimisers[0], None)
    images, masks = batch()
    loss(networks[1](images), masks).values.sum().backward()
    nn.utils.clip_grad_norm_(networks[1].parameters(), 12.0)
    optimisers[1].step()
    taken, plain = (nn.utils.parameters_to_vector(one.parameters()) for one in networks)
    assert torch.equal(taken, plain)


def test_validation_counts_the_same_in_parts():
    network, data = net(), [batch(seed=seed) for seed in range(2)]
    cpu = torch.device("cpu")
    assert validation_dice(network, data, cpu, None, 4) == validation_dice(network, data, cpu, None)


def test_batch_norm_is_another_training_and_refused():
    loss = loss_of(LossSettings(name="dice_ce"))
    _, whole = gradient_of(net(norm="batch"), loss, 1)
    _, parts = gradient_of(net(norm="batch"), loss, 3)
    assert (whole - parts).norm() > 1e-2 * whole.norm()
    with pytest.raises(ModelError, match=r"accumulate is 3, and \d+ layer.*batch norm"):
        refuse_batch_norm(net(norm="batch"), 3)
    refuse_batch_norm(net(norm="batch"), 1)
    refuse_batch_norm(net(norm="group"), 3)


def study(**keys):
    return {"name": "s", "datasets": ["phantom2d"], "models": ["unet"], **keys}


def test_a_study_refuses_more_parts_than_patches_and_batch_norm():
    with pytest.raises(StudyError, match=r"`accumulate` is 3, and a step has 2 patch"):
        parse_study(study(training={"batch": 2, "accumulate": 3}))
    with pytest.raises(StudyError, match=r"its norm is batch"):
        parse_study(study(training={"accumulate": 2}, backbone={"norm": "batch"}))
    with pytest.raises(StudyError, match=r"training\.accumulate"):
        parse_study(study(training={"accumulate": 0}))


def test_the_recipe_has_it_only_where_it_is_set():
    plain = parse_study(study()).recipe("phantom2d", "unet")
    assert "accumulate" not in plain["training"]
    assert parse_study(study(training={"accumulate": 1})).recipe("phantom2d", "unet") == plain
    two = parse_study(study(training={"accumulate": 2})).recipe("phantom2d", "unet")
    assert two["training"]["accumulate"] == 2
    models = ["unet", {"name": "cbam", "training": {"accumulate": 4}}]
    one = parse_study(study(models=models))
    assert one.recipe("phantom2d", "unet") == plain
    assert one.recipe("phantom2d", "cbam")["model"]["training"] == {"accumulate": 4}

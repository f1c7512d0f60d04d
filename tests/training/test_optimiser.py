"""The optimisers of a run are torch's own bit for bit, and neither they nor a whole step load
torch's compiler.
"""

import subprocess
import sys

import pytest
import torch
from torch import nn

from attnbench.study.groups import TrainingSettings
from attnbench.training.loop import train
from attnbench.training.optimiser import make_optimiser


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def weights_after(steps, net, optimiser):
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        net(torch.randn(2, 1, 8, 8, generator=generator)).square().mean().backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("adamw", torch.optim.AdamW, {}),
        ("sgd", torch.optim.SGD, {"momentum": 0.99, "nesterov": True}),
    ],
)
def test_steps_are_those_of_torch_bit_for_bit(name, kind, options):
    settings = TrainingSettings(optimiser=name, learning_rate=0.01, weight_decay=0.03)
    net = network()
    ours = weights_after(7, net, make_optimiser(net, settings, torch.device("cpu")))
    net = network()
    groups = [
        {"params": [p for p in net.parameters() if (p.dim() > 1) == kernel], "weight_decay": decay}
        for kernel, decay in ((True, 0.03), (False, 0.0))
    ]
    theirs = weights_after(7, net, kind(groups, lr=0.01, fused=True, **options))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("warm_up", "expected"),
    [
        (0, [(1 - i / 10) ** 0.9 for i in range(10)]),
        (0.3, [1 / 4, 2 / 4, 3 / 4, *[(1 - i / 7) ** 0.9 for i in range(7)]]),
        (0.99, [i / 10 for i in range(1, 10)] + [1.0]),  # a step is left to reach the rate
    ],
)
def test_the_rate_rises_linearly_over_its_share_of_the_steps_and_decays_over_the_others(
    warm_up, expected
):
    settings = TrainingSettings(learning_rate=0.02, warm_up=warm_up, validate_every=5)
    net = nn.Conv2d(1, 2, 1)
    batch = (torch.randn(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long))
    rows = train(net, [batch] * 10, [batch], settings, 10, torch.device("cpu"), None)
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.02 * f for f in expected])


def test_a_step_does_not_load_the_compiler():
    script = """
import sys, torch
from attnbench.study.groups import TrainingSettings
from attnbench.study.loss import DEFAULT_LOSS
from attnbench.training.loop import take_step
from attnbench.training.loss import loss_of
from attnbench.training.optimiser import make_optimiser
net = torch.nn.Conv2d(1, 2, 1)
optimiser = make_optimiser(net, TrainingSettings(), torch.device("cpu"))
loss = loss_of(DEFAULT_LOSS)
masks = torch.zeros(2, 4, 4, dtype=torch.long)
take_step(net, torch.randn(2, 1, 4, 4), masks, loss, optimiser, None)
print("torch._dynamo" in sys.modules)
"""
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "False"

"""What the tests of mechanisms share."""

import pytest
import torch
from torch import nn


def _randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Move every parameter and every running statistic off its starting value, so that nothing
    is hidden by a zero.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(
                0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            )
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(
                    0.3 * torch.randn(buffer.shape, generator=generator, dtype=buffer.dtype)
                )
            if name.endswith("running_var"):
                buffer.mul_(0.5 + torch.rand(buffer.shape, generator=generator, dtype=buffer.dtype))
    return module


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Tensors of a few hundred values gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def randomise():
    """A function that gives a module arbitrary weights and running statistics, and returns it."""
    return _randomise

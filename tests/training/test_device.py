"""What a device is set up for."""

import pytest
import torch
from torch import nn

from attnbench.study.groups import ComputeSettings
from attnbench.training.device import autocast_type, claim_device


@pytest.mark.parametrize("groups", [1, 4, 16])
@pytest.mark.parametrize(("kernel", "sides"), [(5, (4, 6, 8)), (3, (2, 2, 2))])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_bfloat16_on_the_cpu_has_the_gradients_of_float32(groups, kernel, sides, layout):
    """Up to bfloat16's eight bits: torch's own, by oneDNN, are others in small volumes."""
    torch.manual_seed(0)
    layer = nn.Conv3d(16, 16, kernel, padding=kernel // 2, groups=groups)
    images = torch.randn(2, 16, *sides).to(memory_format=layout)
    layer(images).square().sum().backward()
    exact = layer.weight.grad.clone()
    layer.zero_grad()
    enabled = torch._C._get_mkldnn_enabled()
    with claim_device(ComputeSettings(device="cpu", precision="bfloat16")) as device:
        dtype = autocast_type("bfloat16", device)
        with torch.autocast("cpu", dtype):
            outputs = layer(images)
        assert outputs.dtype == torch.bfloat16
        outputs.float().square().sum().backward()
    assert torch._C._get_mkldnn_enabled() == enabled
    assert (layer.weight.grad - exact).norm() < 0.02 * exact.norm()

"""One U-Net, the mechanisms that fit its slots, and the registry that joins them.

`build_model` and `create_mechanism` are imported on first use, so that light modules here do not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnbench.models.build import build_model
    from attnbench.models.registry import create_mechanism

__all__ = ["build_model", "create_mechanism"]


def __getattr__(name: str) -> Any:
    if name == "build_model":
        from attnbench.models.build import build_model

        return build_model
    if name == "create_mechanism":
        from attnbench.models.registry import create_mechanism

        return create_mechanism
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Predictions and references in, scores out. This import is cheap; scipy and medpy come with a score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnbench.scoring.case import score_case

__all__ = ["score_case"]


def __getattr__(name: str) -> Any:
    if name == "score_case":
        from attnbench.scoring.case import score_case

        return score_case
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

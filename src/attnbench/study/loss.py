"""The loss that a network is trained by, as a study names it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from attnbench.study.base import NameOrOwnCode, Options, Settings, name_as_mapping, one_of
from attnbench.study.describe import InWords


class LossSettings(Settings):
    """A loss and its options."""

    name: Annotated[NameOrOwnCode, one_of("losses")] = Field(
        description="The loss's name (docs/losses.md), or own code: `./my_losses.py:my_loss` or "
        "`my_package.my_loss`."
    )
    options: Options = Field(default_factory=dict, description="The loss's own arguments.")
    source: str | None = Field(
        None, description="Fingerprint of own code; written when the study is planned."
    )


DEFAULT_LOSS = LossSettings(name="dice_ce")


def loss_in_words(loss: LossSettings) -> str:
    """Return a loss as a study writes it, with its options.

    >>> loss_in_words(LossSettings(name="tversky", options={"alpha": 0.3}))
    'tversky (alpha 0.3)'
    """
    options = ", ".join(f"{name} {value}" for name, value in loss.options.items())
    return f"{loss.name} ({options})" if options else loss.name


Loss = Annotated[
    LossSettings,
    BeforeValidator(name_as_mapping, json_schema_input_type=str | LossSettings),
    InWords(loss_in_words),
]
"""A loss by its name alone, or a mapping with its options."""

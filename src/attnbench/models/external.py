"""External networks, by reference: the same recipe, padded where they ask for sizes."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.errors import ModelError, nearest
from attnbench.models.constructors import constructor_of
from attnbench.models.outputs import logits_of, wrong_shape
from attnbench.models.spec import NetworkSpec
from attnbench.models.unet import crop, pad_to_multiple
from attnbench.study.models import ModelSettings


class ExternalNetwork(nn.Module):
    """The network that a model refers to, mapping images to logits.

    It maps (B, in_channels, *spatial) to (B, classes, *spatial). Its arguments are the model's,
    in which '{ndim}', '{in_channels}', '{classes}' (background included) and '{patch}' are
    replaced by values. With a `divisor` the input is zero-padded at the far ends to a multiple,
    with `fixed_size` to the `patch`, and the logits are cropped; nothing is resized. Of a network
    that returns a list, tuple or mapping the entry `output` counts, in training too; without
    `output` it is refused. Raises `OwnCodeError` for what cannot be imported or builds no
    networks, `ModelError` for what cannot be built, and for logits of the wrong shape.
    """

    def __init__(self, model: ModelSettings, spec: NetworkSpec) -> None:
        super().__init__()
        self.name, self.classes, self.divisor = model.name, spec.classes, model.divisor
        self.output = model.output
        self.size = spec.patch if model.fixed_size else None
        arguments = {key: _filled(value, vars(spec)) for key, value in model.arguments.items()}
        constructor = constructor_of(str(model.network), model.source)
        try:
            self.network = constructor(**arguments)
        except Exception as error:  # a constructor may raise anything; it is passed on
            kind = type(error).__name__
            raise ModelError(
                f"{model.name}: {model.network} refuses {arguments}: {kind}: {error}{_hint(error)}"
            ) from error
        if not isinstance(self.network, nn.Module):
            raise ModelError(
                f"{model.name}: {model.network} gives a {type(self.network).__name__}, not a "
                "torch module"
            )

    def forward(self, x: Tensor) -> Tensor:
        padded = self._padded(x)
        found = self.network(padded)
        try:
            logits = logits_of(found, self.output)
            wrong = wrong_shape(logits.shape, (len(x), self.classes, *padded.shape[2:]))
        except ModelError as error:
            wrong = str(error)
        if wrong:
            when = " in training" if self.training else ""
            raise ModelError(f"{self.name}{when}, for input {tuple(padded.shape)}: {wrong}")
        return crop(logits, x.shape[2:])

    def _padded(self, x: Tensor) -> Tensor:
        if self.size is None:
            return pad_to_multiple(x, self.divisor)
        missing = [side - given for side, given in zip(self.size, x.shape[2:], strict=True)]
        if min(missing) < 0:
            raise ModelError(
                f"{self.name}: input {tuple(x.shape[2:])} is larger than its fixed size {self.size}"
            )
        # F.pad counts axes from the last one, two amounts each: before and behind.
        return F.pad(x, [amount for side in reversed(missing) for amount in (0, side)])


def _hint(error: Exception) -> str:
    missing = isinstance(error, ImportError) or "No module" in str(error)
    return "; pip install 'attnbench[external]'" if missing else ""


def _filled(value: Any, values: dict[str, Any]) -> Any:
    """`value` with every placeholder in it, at any depth, replaced."""
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, values) for item in value]
    placeholder = re.fullmatch(r"\{(\w+)\}", value) if isinstance(value, str) else None
    if not placeholder:
        return value
    if placeholder[1] not in values:
        allowed = [f"{{{name}}}" for name in values]
        raise ModelError(f"arguments: no placeholder {value!r}; {nearest(value, allowed)}")
    return values[placeholder[1]]

"""What own mechanisms do in a network, refused where it breaks their contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from attnbench.errors import AttnBenchError, ModelError
from attnbench.models.gate_readings import mechanisms_of
from attnbench.models.own_names import reference_of
from attnbench.models.registry import mechanism_of, said
from attnbench.models.specimen import shapes_of, wrong_output


@contextmanager
def watched(network: nn.Module) -> Iterator[None]:
    """Within it, a pass of the network says which own mechanism fails, where, and what to do.

    Raises:
        ModelError: an own mechanism raises an error, or its output has not the shape of its
            features. Whatever else fails is passed on.
    """
    places = {
        module: (entry.name, f"{entry.name} in {slot} {', '.join(map(str, levels))}")
        for slot, levels, module in mechanisms_of(network)
        if (entry := mechanism_of(module)) and reference_of(entry.name)
    }
    running: list[tuple[nn.Module, tuple[Any, ...]]] = []

    def enter(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        running.append((module, arguments))

    def leave(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        running.pop()
        if problem := wrong_output(output, arguments):
            raise ModelError("; ".join((f"{places[module][1]}: {problem[0]}", *problem[1:])))

    with ExitStack() as hooks:
        for module in places:
            hooks.callback(module.register_forward_pre_hook(enter).remove)
            hooks.callback(module.register_forward_hook(leave).remove)
        try:
            yield
        except AttnBenchError:
            raise
        except Exception as error:  # own code may raise anything; it is passed on
            if not running:
                raise
            module, arguments = running[-1]
            name, place = places[module]
            raise ModelError(
                f"{place}: {said(error)}, for {shapes_of(arguments)}; "
                f"`attnbench model check {name}` tries it alone"
            ) from error

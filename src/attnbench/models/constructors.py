"""What may be called to build an external network: its class, or a function that returns one."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

from torch import nn

from attnbench.errors import OwnCodeError
from attnbench.own import load
from attnbench.own.meaning import tree_of
from attnbench.own.packages import is_installed

_RULE = (
    "`network` is a class derived from torch.nn.Module, or a function that returns one: of your "
    "own, or of a package's module that imports torch"
)


def constructor_of(reference: str, source: str | None) -> Callable[..., nn.Module]:
    """Import what builds the network at a reference; nothing of it is called.

    The rule keeps a slip from doing harm (`numpy.save`, `torch.load`, `pip._internal.main`). It is
    no sandbox: importing own code runs it.

    Args:
        reference: `./file.py:Name` or `package.module.Name`.
        source: fingerprint that it had when the study was planned; None: any.

    Raises:
        OwnCodeError: it cannot be imported, has changed, or is nothing that builds networks.
    """
    found = load(reference, source)
    if isinstance(found, type):
        if issubclass(found, nn.Module):
            return found
        what = "a class that is not derived from torch.nn.Module"
    elif isinstance(found, nn.Module):
        what = "a network that is built already, which all runs would share; name its class"
    elif isinstance(found, FunctionType):
        defined = Path(inspect.unwrap(found).__code__.co_filename)
        if not is_installed(defined.resolve()) or _builds_networks(found, defined):
            return found
        what = f"a function of {found.__module__}, which has nothing to do with networks"
    else:
        what = f"an object of type {type(found).__name__}"
    raise OwnCodeError(f"{reference}: found {what}; {_RULE}")


def _builds_networks(function: FunctionType, defined: Path) -> bool:
    """True where the module of a package's function imports torch, and is not torch's own."""
    if function.__module__.split(".")[0] == "torch" or not defined.is_file():
        return False
    imported: list[Any] = []
    for node in ast.walk(tree_of(defined)):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.append(node.module)
    return any(str(name).split(".")[0] == "torch" for name in imported)

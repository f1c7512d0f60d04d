"""Names of losses, and what their files say: read without importing torch."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from attnbench.errors import OwnCodeError, nearest
from attnbench.own import entry_points, locate
from attnbench.own.meaning import tree_of
from attnbench.study.loss import LossSettings
from attnbench.training.losses import FOLDER, loss_names, reference_of


@dataclass(frozen=True)
class LossFacts:
    """What readers are told of a loss, and the names of its options.

    `title` is the first line of its docstring, empty without one; `source` is the paper, empty for
    own code. `options` are names with the defaults as written, empty without one; None where any
    name is taken.
    """

    title: str
    source: str
    options: Mapping[str, str] | None


def known_losses() -> tuple[str, ...]:
    """Names of all losses: this package's, and those that installed packages bring."""
    return tuple(sorted({*loss_names(), *entry_points("attnbench.losses")}))


def facts_of_loss(name: str) -> LossFacts:
    """What a loss's file says of it, by name or reference.

    Raises:
        OwnCodeError: own code that is not there, or is no function of logits and masks.
    """
    if name in loss_names():
        tree = tree_of(FOLDER / f"{name}.py")
        (function,) = (
            node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name
        )
        said = ast.get_docstring(tree) or ""
        source = next(part for part in said.split("\n\n") if part.startswith("Source: "))
        return LossFacts(
            said.split("\n", maxsplit=1)[0].rstrip("."),
            " ".join(source.removeprefix("Source: ").split()),
            _options(function.args),
        )
    reference = reference_of(name)
    if reference is None:
        raise OwnCodeError(f"no loss {name!r}; {nearest(name, known_losses())}")
    return _of_own_code(reference)


def _of_own_code(reference: str) -> LossFacts:
    node = locate(reference).node
    if not isinstance(node, ast.FunctionDef):
        raise OwnCodeError(
            f"{reference}: found a class; a loss is a function, `def my_loss(logits, masks)`, "
            "which returns a scalar tensor"
        )
    given = node.args
    positional = [argument.arg for argument in (*given.posonlyargs, *given.args)]
    if len(positional) < 2 and not given.vararg:
        raise OwnCodeError(
            f"{reference}: takes {', '.join(positional) or 'nothing'}; a loss takes logits (B, K, "
            "*spatial) and masks (B, *spatial), then its options"
        )
    words = inspect.cleandoc(ast.get_docstring(node) or "").split("\n", maxsplit=1)[0]
    return LossFacts(words.rstrip("."), "", None if given.kwarg else _options(given))


def _options(given: ast.arguments) -> dict[str, str]:
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + given.defaults
    pairs = [
        *zip(positional[2:], defaults[2:], strict=True),
        *zip(given.kwonlyargs, given.kw_defaults, strict=True),
    ]
    return {one.arg: "" if default is None else ast.unparse(default) for one, default in pairs}


def option_problems(loss: LossSettings) -> Iterator[str]:
    """Yield options that the loss does not have.

    Raises:
        OwnCodeError: as of `facts_of_loss`.
    """
    options = facts_of_loss(loss.name).options
    for option in loss.options:
        if options is not None and option not in options:
            has = nearest(option, options) if options else "it has none"
            yield f"{loss.name} has no option {option!r}; {has}"

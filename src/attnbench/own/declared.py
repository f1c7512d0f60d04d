"""What own code declares by a decorator, read from its file without running it."""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import Any

from attnbench.errors import OwnCodeError


def decorations(node: ast.ClassDef | ast.FunctionDef, decorator: str) -> list[ast.Call]:
    """Calls of a decorator above a class or function, by its last name: `@x.metric(...)` too."""
    calls = [item for item in node.decorator_list if isinstance(item, ast.Call)]
    return [call for call in calls if _name_of(call.func) == decorator]


def declared(
    reference: str,
    node: ast.ClassDef | ast.FunctionDef,
    decorator: str,
    left_out: Collection[str] = (),
) -> dict[str, Any]:
    """Arguments of the decorator's call above a class or function; empty without one.

    Args:
        reference: what names the code, for messages.
        node: the class or function.
        decorator: name of the decorator, such as `mechanism` or `metric`.
        left_out: arguments that may be anything, and are not returned.

    Raises:
        OwnCodeError: an argument is no literal.
    """
    found: dict[str, Any] = {}
    but = f" but {' and '.join(f'`{name}`' for name in left_out)}" if left_out else ""
    for call in decorations(node, decorator):
        if call.args or any(keyword.arg is None for keyword in call.keywords):
            raise OwnCodeError(
                f"{reference}: @{decorator}(...) takes arguments by name only, each written out"
            )
        for keyword in call.keywords:
            if keyword.arg in left_out:
                continue
            try:
                found[str(keyword.arg)] = ast.literal_eval(keyword.value)
            except ValueError:
                raise OwnCodeError(
                    f"{reference}: `{keyword.arg}` of @{decorator}(...) is not written out, found "
                    f"{ast.unparse(keyword.value)}; studies are checked without running code, so "
                    f"every argument{but} is a literal"
                ) from None
    return found


def _name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")

"""The meaning of Python source: its syntax tree, without what only readers see."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any


def tree_of(path: Path) -> ast.Module:
    """Syntax tree of a file; a file is read once, and again when it has changed."""
    status = path.stat()
    return _tree(path, status.st_mtime_ns, status.st_size)


@cache
def _tree(path: Path, _changed: int, _size: int) -> ast.Module:
    # Bytes: a byte order mark or a line on the encoding is then read as Python does.
    return ast.parse(path.read_bytes(), str(path))


def meaning(node: ast.AST, decorator: str = "", silent: tuple[str, ...] = ()) -> str:
    """Text that two trees share exactly where they mean the same.

    Positions, comments, and strings that stand alone (docstrings) are left out, and so are the
    keywords in `silent` of calls of `decorator`.
    """
    return " ".join(_written(node, decorator, silent))


def _written(node: Any, decorator: str, silent: tuple[str, ...]) -> Iterator[str]:
    # Not `ast.dump`: it takes twice as long, and writes the same tree differently in other
    # versions of Python.
    if not isinstance(node, ast.AST):
        yield repr(node)
        return
    yield f"{type(node).__name__}("
    unheard = silent if _calls(node, decorator) else ()
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            for item in value:
                if not _stands_alone(item) and not _is_keyword(item, unheard):
                    yield name
                    yield from _written(item, decorator, silent)
        elif value is not None:
            yield name
            yield from _written(value, decorator, silent)
    yield ")"


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _stands_alone(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_keyword(node: Any, names: tuple[str, ...]) -> bool:
    return isinstance(node, ast.keyword) and node.arg in names

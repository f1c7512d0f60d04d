"""Fingerprints of own code: the meaning of a file, and of what it imports of the user's own."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from attnbench.errors import OwnCodeError
from attnbench.own.locate import absolute, file_of, find_module, find_origin, taken_apart
from attnbench.own.meaning import meaning, tree_of
from attnbench.own.packages import is_installed, version_of

PACKAGE = Path(__file__).parents[1]
# Their versions stand in every `run.json`; a new one reruns nothing, as with our own mechanisms.
_UNCOUNTED = frozenset({"attnbench", "torch", "numpy"})


@dataclass
class _Closure:
    """What own code consists of: its files, the packages it imports, and modules of ours.

    `files` are Python, with their modules' names; `compiled` are libraries.
    """

    files: dict[Path, str] = field(default_factory=dict)
    compiled: set[Path] = field(default_factory=set)
    packages: set[str] = field(default_factory=set)
    ours: set[str] = field(default_factory=set)


def fingerprint(reference: str) -> str:
    """SHA-256 of what own code means: of its file and every own file that it imports.

    Comments, docstrings, formatting and the folder that the files lie in do not count. Of packages
    that are installed name and version count, not those of torch and numpy. What a file imports by
    a name that it computes, or reads as data, is not seen.

    Raises:
        OwnCodeError: the file is not there, or is no Python.
    """
    closure = _closure(reference)
    digest = hashlib.sha256()
    for text in sorted(meaning(tree_of(path)) for path in closure.files):
        digest.update(text.encode())
    for library in sorted(hashlib.sha256(path.read_bytes()).digest() for path in closure.compiled):
        digest.update(library)
    for package in sorted(closure.packages):
        digest.update(version_of(package).encode())
    return digest.hexdigest()


def imported_modules(reference: str) -> tuple[str, ...]:
    """Modules of this package that own code imports: a change of theirs reruns it, too."""
    return tuple(sorted(_closure(reference).ours))


def own_modules(reference: str) -> dict[str, Path]:
    """The user's own files that a reference consists of, by the names they are imported by."""
    return {name: path for path, name in _closure(reference).files.items() if name}


def _closure(reference: str) -> _Closure:
    path, module, _ = taken_apart(reference)
    start = file_of(reference)
    closure = _Closure()
    if path is None and is_installed(start):
        closure.packages.add(module.split(".")[0])
        return closure
    folder = start.parent if path is not None else None
    waiting: list[tuple[Path, str]] = [(start, module), *_parents(module, folder)]
    while waiting:
        file, name = waiting.pop()
        if file in closure.files:
            continue
        closure.files[file] = name
        for imported in _imports(file, name):
            waiting += _sorted_in(imported, folder, closure)
    return closure


def _sorted_in(module: str, folder: Path | None, closure: _Closure) -> list[tuple[Path, str]]:
    """Note what a module is; return the user's own files behind it."""
    top = module.split(".")[0]
    if top == "attnbench":
        inside = PACKAGE.joinpath(*module.split(".")[1:])
        if inside.with_suffix(".py").is_file() or (inside / "__init__.py").is_file():
            closure.ours.add(module)
        return []
    if top in sys.stdlib_module_names or top in _UNCOUNTED:
        return []
    found = find_module(module, folder)
    if found is None:
        # A name in a module, or a compiled one.
        origin = find_origin(module, folder) or find_origin(top, folder)
        if origin is not None and is_installed(origin):
            closure.packages.add(top)
        elif origin is not None and origin.suffix != ".py":
            closure.compiled.add(origin)
        return []
    if is_installed(found):
        closure.packages.add(top)
        return []
    return [(found, module), *_parents(module, folder)]


def _parents(module: str, folder: Path | None) -> list[tuple[Path, str]]:
    """The `__init__.py` files that Python runs before a module."""
    parts = module.split(".")
    names = [".".join(parts[:number]) for number in range(1, len(parts))]
    found = ((find_module(name, folder), name) for name in names)
    return [(path, name) for path, name in found if path is not None]


def _imports(path: Path, module: str) -> Iterator[str]:
    """Dotted names that a file imports anywhere in it, names of its modules among them."""
    try:
        tree = tree_of(path)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise OwnCodeError(f"{path} is no Python that can be read: {error}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, module, path.name == "__init__.py")
            if not base:
                continue  # relative in a file that is in no package, which Python refuses
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")

"""Where own code is defined, found without importing anything."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

from attnbench.errors import OwnCodeError, nearest
from attnbench.own.meaning import tree_of

_EXTRAS = {
    "monai": "pip install 'attnbench[external]'",
    "segmentation_models_pytorch": "pip install segmentation-models-pytorch and the torchvision "
    "of your torch",
}
Node = ast.ClassDef | ast.FunctionDef


@dataclass(frozen=True)
class Definition:
    """A class or a function in a file; `module` is its dotted name, empty for a path of a file."""

    reference: str
    path: Path
    module: str
    node: Node

    def methods(self) -> dict[str, ast.FunctionDef]:
        """The methods that a class defines itself, by name."""
        return {item.name: item for item in self.node.body if isinstance(item, ast.FunctionDef)}


def taken_apart(reference: str) -> tuple[Path | None, str, str]:
    """File (or None), dotted module (or empty) and name of a reference.

    >>> taken_apart("my_package.gates.MyGate")
    (None, 'my_package.gates', 'MyGate')
    """
    if ".py:" in reference:
        path, _, name = reference.rpartition(":")
        return Path(path), "", name
    module, _, name = reference.rpartition(".")
    return None, module, name


def locate(reference: str) -> Definition:
    """Find the class or function that a reference means; what is imported there is followed.

    Raises:
        OwnCodeError: there is no such file, module or name, or the file is no Python.
    """
    path, module, name = taken_apart(reference)
    file = file_of(reference)
    for _ in range(20):  # of imports from module to module; a circle ends here
        found = _definition(file, name, reference)
        if not isinstance(found, tuple):
            return Definition(reference, file, module if path is None else "", found)
        target, name = found
        following = find_module(target, folder=file.parent)
        if following is None:
            raise OwnCodeError(f"{reference}: {file.name} imports {target}, which is not found")
        file, module = following, target
    raise OwnCodeError(f"{reference}: its imports lead in a circle")


def lineage(reference: str) -> Iterator[Definition]:
    """The definition that a reference means, then those of its base classes, nearest first.

    A base that is not found, or that another name leads to (`layers.Base`), ends its branch.

    Raises:
        OwnCodeError: as of `locate`, for the reference itself.
    """
    waiting, seen = [locate(reference)], set[tuple[Path, str]]()
    while waiting:
        found = waiting.pop(0)
        if (found.path, found.node.name) in seen:
            continue
        seen.add((found.path, found.node.name))
        yield found
        for base in found.node.bases if isinstance(found.node, ast.ClassDef) else ():
            # Following torch's own modules would take longer than all else.
            if isinstance(base, ast.Name) and base.id != "Module":
                of = f"{found.module}." if found.module else f"{found.path}:"
                with suppress(OwnCodeError):
                    waiting.append(locate(f"{of}{base.id}"))


def refuse_standard_library(reference: str) -> None:
    """Refuse a reference into Python's standard library: `os.system` would run what a file says.

    Raises:
        OwnCodeError: it is one.
    """
    _, module, _ = taken_apart(reference)
    if module.split(".")[0] in sys.stdlib_module_names:
        raise OwnCodeError(
            f"{reference}: of Python's standard library, which has no mechanism, network, metric "
            "or loss; name a class or function of your own"
        )


def file_of(reference: str) -> Path:
    """The file that a reference names, or that of its module.

    Raises:
        OwnCodeError: it is not there.
    """
    path, module, _ = taken_apart(reference)
    refuse_standard_library(reference)
    if path is not None:
        if not path.is_file():
            raise OwnCodeError(
                f"{reference}: no file {path.resolve()}; paths of own code count from the folder "
                "that the command is run in"
            )
        return path.resolve()
    found = find_module(module)
    if found is None:
        package = module.split(".")[0]
        raise OwnCodeError(
            f"{reference}: there is no module {module!r} that Python could import; "
            f"{how_to_get(package)}, or name the file: ./my_file.py:Name"
        )
    return found


def how_to_get(package: str) -> str:
    """What makes Python find a package that own code asks for."""
    own = f"install {package}, run in the folder that holds it, or add that folder to PYTHONPATH"
    return _EXTRAS.get(package, own)


def find_module(module: str, folder: Path | None = None) -> Path | None:
    """Python file of a module by dotted name, None without one; nothing is imported.

    Searched are `folder`, sys.path and the working directory, in this order.
    """
    origin = find_origin(module, folder)
    return origin if origin and origin.suffix == ".py" else None


def find_origin(module: str, folder: Path | None = None) -> Path | None:
    """File of a module, as `find_module`, or the library of a compiled one."""
    search: list[str] = [*([str(folder)] if folder else []), *sys.path, str(Path.cwd())]
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for number in range(len(parts)):
        inside = [inner for path in search if (inner := Path(path) / parts[number]).is_dir()]
        try:
            spec = _spec(".".join(parts[: number + 1]), search)
        except KeyError:
            # A namespace within a namespace: Python asks for the outer one, which is not imported.
            spec, search = None, [str(path) for path in inside]
            continue
        if spec is None:
            return None
        search = list(spec.submodule_search_locations or ())
    origin = spec.origin if spec else None
    return Path(origin).resolve() if origin and spec and spec.has_location else None


def _spec(name: str, search: list[str]) -> ModuleSpec | None:
    for finder in sys.meta_path:
        # Editable installs have finders of their own.
        find = getattr(finder, "find_spec", None)
        spec = find(name, search) if find else None
        if spec is not None:
            return spec
    return None


def absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    """Dotted name of the module that `from ... import` means within `module`."""
    if not node.level:
        return node.module or ""
    parts = module.split(".") if module else []
    base = parts[: len(parts) - node.level + is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def _definition(path: Path, name: str, reference: str) -> Node | tuple[str, str]:
    """The node that defines `name` in a file, or module and name that it is imported from."""
    try:
        tree = tree_of(path)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise OwnCodeError(f"{reference}: {path} is no Python that can be read: {error}") from error
    _, module, _ = taken_apart(reference)
    names: list[str] = []
    for node in _top_level(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.append(node.name)
            if node.name == name:
                return node
        elif isinstance(node, ast.AsyncFunctionDef) and node.name == name:
            raise OwnCodeError(f"{reference}: {name} is async; write a plain function")
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names.append(alias.asname or alias.name)
                if names[-1] == name:
                    return absolute(node, module, path.name == "__init__.py"), alias.name
    public = [one for one in names if not one.startswith("_")]
    raise OwnCodeError(
        f"{reference}: {path} defines no class or function {name!r}; {nearest(name, public)}"
    )


def _top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements of a module, those within `if` and `try` too; the last one wins in Python."""
    waiting: list[ast.stmt] = list(tree.body)
    found: list[ast.stmt] = []
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.If | ast.Try):
            inner = [*node.body, *node.orelse]
            if isinstance(node, ast.Try):
                inner += [item for handler in node.handlers for item in handler.body]
            waiting = inner + waiting
        else:
            found.append(node)
    return iter(found)

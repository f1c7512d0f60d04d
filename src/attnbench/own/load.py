"""Own code, imported: here alone does a study run code that is not this package's."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from attnbench.errors import OwnCodeError, nearest
from attnbench.own.fingerprint import PACKAGE, fingerprint, own_modules
from attnbench.own.locate import file_of, how_to_get, refuse_standard_library, taken_apart
from attnbench.own.packages import is_installed


def load(reference: str, source: str | None = None) -> Any:
    """Import the class or function that a reference names.

    Args:
        reference: `./file.py:Name` or `package.module.Name`.
        source: fingerprint that it had when the study was planned; None: any.

    Raises:
        OwnCodeError: there is no such object, importing fails, it is of the standard library, or it
            has changed since the study was planned.
    """
    path, module, name = taken_apart(reference)
    refuse_standard_library(reference)
    if source is not None and fingerprint(reference) != source:
        raise OwnCodeError(
            f"{reference} has changed since this study was planned; start it again, and what "
            "depends on it runs again (`snakemake --configfile <study>`)"
        )
    for own, origin in own_modules(reference).items():
        # Of another folder's network, which has a file of the same name beside it.
        known = getattr(sys.modules.get(own), "__file__", None)
        if known is not None and Path(known).resolve() != origin:
            del sys.modules[own]
    if path is not None:
        file = file_of(reference)
        loaded = _module_of_file(file, file.stat().st_mtime_ns)
    else:
        loaded = _module(reference, module)
    if not hasattr(loaded, name):
        public = [key for key in dir(loaded) if not key.startswith("_")]
        close = nearest(name, public)
        # A large package has hundreds of names: the nearest say more than all of them.
        if len(public) >= 20:
            close = close.partition(" allowed:")[0]
        named = path.name if path is not None else loaded.__name__
        raise OwnCodeError(f"{reference}: {named} has no {name!r}; {close}")
    return getattr(loaded, name)


def line_of(error: BaseException) -> str:
    """The last line of a user's own files that an error passed, ` (my_gate.py, line 12)`.

    Empty where it passed none.
    """
    passed = (
        (Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)
    )
    own = [
        f" ({path.name}, line {line})"
        for path, line in passed
        if path.is_file() and not is_installed(path) and not path.is_relative_to(PACKAGE)
    ]
    return own[-1] if own else ""


def _module(reference: str, module: str) -> ModuleType:
    # As `python -m` does: jobs are started by a script, whose own folder Python searches instead.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = str(error.name or module).split(".")[0]
        raise OwnCodeError(f"{reference}: {error}; {how_to_get(package)}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # own code may raise anything while it is imported
        raise OwnCodeError(
            f"{reference}: importing {module} fails: {type(error).__name__}: {error}"
        ) from error


@cache
def _module_of_file(path: Path, _changed: int) -> ModuleType:
    """The module in a file, imported once; its neighbours can be imported by their names."""
    # Files of two folders may have one name.
    unique = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(unique, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    # First while it is imported, as for a script; last for what it imports when it is called.
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # as above; a script's `argparse` exits
        sys.modules.pop(unique, None)
        package = "relative import" in str(error)
        advice = "; a file of a package is named by its dotted path, `package.module.Name`"
        raise OwnCodeError(
            f"{path}: importing it fails: {type(error).__name__}: {error}{advice * package}"
        ) from error
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)
    return module

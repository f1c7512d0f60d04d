"""Terminals that cannot show every character get one in its place, never an error."""

from __future__ import annotations

import codecs
import io
import sys

_PLAIN = {
    "−": "-",
    "–": "-",
    "×": "x",
    "±": "+-",
    "µ": "u",
    "μ": "u",
    "…": "...",
    "→": "->",
    "↑": "^",
    "↓": "v",
    "≤": "<=",
    "≥": ">=",
    "·": ".",
    "Δ": "d",
    "γ": "g",
    "†": "#",
    "§": "$",
    "⁺": "+",
    "⁻": "-",
    "“": '"',
    "”": '"',
    "’": "'",
}
_NAME = "attnbench_plain"


def print_in_any_encoding() -> None:
    """Have standard output and error write what their encoding lacks in plain characters.

    Of others than signs the code stands there, as in Python: `\\xfc` for an u with two dots.
    """
    codecs.register_error(_NAME, _in_plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NAME)


def _in_plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(sign, ascii(sign)[1:-1]) for sign in lacking), error.end

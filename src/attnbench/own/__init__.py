"""Own code of a user: a mechanism, network, metric or loss that a study names by a reference.

A reference is a file and a name, `./my_attention.py:MyGate`, or a dotted path,
`my_package.gates.MyGate`. Planning reads own code without importing it.
"""

from attnbench.own.declared import declared, decorations
from attnbench.own.fingerprint import fingerprint, imported_modules
from attnbench.own.load import load
from attnbench.own.locate import Definition, locate
from attnbench.own.packages import entry_points

__all__ = [
    "Definition",
    "declared",
    "decorations",
    "entry_points",
    "fingerprint",
    "imported_modules",
    "load",
    "locate",
]

"""What a licence of training data means for weights that were trained on them, in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from attnbench.catalog import Entry

Kind = Literal["open", "share_alike", "non_commercial", "unclear"]

_CREATIVE_COMMONS = re.compile(r"\bCC[ -]BY((?:-(?:NC|ND|SA))*)[ -](\d\.\d)")
_OTHERS = (
    (re.compile(r"\bCC0\b"), "cc0-1.0"),
    (re.compile(r"\bMIT\b"), "mit"),
    (re.compile(r"\bBSD-3\b"), "bsd-3-clause"),
    (re.compile(r"\bGPL[ -]2\b"), "gpl-2.0"),
)
_SHARE_ALIKE = ("-sa-", "gpl-")
_MEANING: dict[Kind, str] = {
    "open": "The data may be used for any purpose, commercial ones too, and it asks at most that "
    "its authors are named. Name them wherever the weights are passed on.",
    "share_alike": "The data may be used for any purpose, but what is adapted from it has to be "
    "passed on under the same licence. Whether weights are such an adaptation is disputed: passed "
    "on under that licence, they are safe either way.",
    "non_commercial": "The data may not be used commercially. Treat the weights alike: do not use "
    "them, or let others use them, in a product or a paid service without leave of whoever owns "
    "the data.",
    "unclear": "Nobody said what the data may be used for, or not clearly. Ask its authors before "
    "the weights are passed on or used beyond your own research.",
}
_NO_DERIVATIVES = (
    " It also forbids to pass on adaptations of the data, which weights may be held to be: ask "
    "before they are passed on at all."
)
NO_ADVICE = "This is no legal advice."


@dataclass(frozen=True)
class Meaning:
    """What a licence of data means for weights.

    `identifier` is the licence's name among those of Hugging Face's cards, `other` where it has
    none there, `unknown` where it is not clear.
    """

    kind: Kind
    identifier: str
    text: str


def meaning_for_weights(entry: Entry) -> Meaning:
    """Return what the licence of a dataset means for weights trained on it.

    By the catalog's `licence_terms`, and by the licence that its text names. A licence that nobody
    stated is unclear, whatever the terms.
    """
    named = identifier_in(entry.licence)
    if entry.licence_terms == "non_commercial":
        text = _MEANING["non_commercial"] + (_NO_DERIVATIVES if "-nd-" in named else "")
        return Meaning("non_commercial", named or "other", text)
    if entry.licence_terms == "unclear" or not named:
        return Meaning("unclear", "unknown", _MEANING["unclear"])
    kind: Kind = "share_alike" if any(part in named for part in _SHARE_ALIKE) else "open"
    return Meaning(kind, named, _MEANING[kind])


def identifier_in(licence: str) -> str:
    """Return the licence that a text names, as Hugging Face spells it; empty if none is known.

    >>> identifier_in("CC BY-NC-SA 4.0, stated in the repository."), identifier_in("ask us")
    ('cc-by-nc-sa-4.0', '')
    """
    # "CC-BY-4.0" is how some spell it.
    found = _CREATIVE_COMMONS.search(licence)
    if found:
        return f"cc-by{found[1].lower()}-{found[2]}"
    return next((name for pattern, name in _OTHERS if pattern.search(licence)), "")

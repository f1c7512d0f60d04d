"""YAML at the head of a Markdown file, as Hugging Face reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def front_matter(fields: Mapping[str, Any]) -> str:
    """Return `fields` as YAML between two lines of dashes.

    Mappings and lists have lines of their own. Texts, numbers and truths are written as JSON
    writes them, which YAML reads; numbers keep every digit.

    >>> print(front_matter({"tags": ["a", "b"], "model-index": [{"name": "x"}]}), end="")
    ---
    tags:
    - "a"
    - "b"
    model-index:
    - name: "x"
    ---
    """
    return "\n".join(["---", *_lines(fields), "---", ""])


def _lines(value: Any) -> Iterator[str]:
    """Yield the lines of a mapping or list that is not empty."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(item, Mapping | list) and item:
                yield f"{key}:"
                # A list may stand as far left as its key.
                indent = "" if isinstance(item, list) else "  "
                yield from (f"{indent}{line}" for line in _lines(item))
            else:
                yield f"{key}: {_scalar(item)}"
        return
    for item in value:
        if isinstance(item, Mapping) and item:
            first, *rest = _lines(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
        else:
            yield f"- {_scalar(item)}"


def _scalar(value: Any) -> str:
    # A comma or a colon in a text means nothing between quotation marks.
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, float) and "." not in text:
        # To YAML 1.1, "1e-07" is a text: a number has a point.
        return text.replace("e", ".0e")
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    """Return the escape of a character that YAML refuses; JSON's is in two halves above 65535."""
    code = ord(character)
    return f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"

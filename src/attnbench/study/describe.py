"""Settings in words, from their own fields: a new key is described without a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class InWords:
    """Annotation of a field whose value is put in words by `text`, not by its type."""

    text: Callable[[Any], str]


PER_AXIS = InWords(lambda values: " × ".join(map(_text, values)))


def describe(settings: BaseModel, base: BaseModel | None = None) -> list[tuple[str, str]]:
    """Return label and value in words of every field but `name`; empty values are left out.

    A label is the field's title, else its name with spaces. With `base`, settings of the same
    kind, only the fields that differ from it.
    """
    return list(_described(settings, base))


def in_words(settings: BaseModel, base: BaseModel | None = None) -> str:
    """Return what `describe` says as one text: `steps 1000; power of the decay 0.9`."""
    return "; ".join(f"{label} {text}" for label, text in describe(settings, base))


def given_in_words(settings: BaseModel) -> str:
    """Return what `in_words` says of the keys that `settings` were given, without defaults."""
    said = []
    for key, field in type(settings).model_fields.items():
        if key in settings.model_fields_set:
            value = getattr(settings, key)
            said_otherwise = any(isinstance(item, InWords) for item in field.metadata)
            inner = isinstance(value, BaseModel) and not said_otherwise
            text = f"({given_in_words(value)})" if inner else _in_words(field, value)
            said.append(f"{_label(key, field)} {text}")
    return "; ".join(said)


def _described(settings: BaseModel, base: BaseModel | None) -> Iterator[tuple[str, str]]:
    for key, field in type(settings).model_fields.items():
        value = getattr(settings, key)
        annotated = [item for item in field.metadata if isinstance(item, InWords)]
        # A field with words of its own also has them for nothing: mirrored along none.
        if key in ("name", "source") or value is None or (value in ((), {}) and not annotated):
            continue
        if base is None or value != getattr(base, key):
            yield _label(key, field), _in_words(field, value)


def _label(key: str, field: FieldInfo) -> str:
    return field.title or key.replace("_", " ")


def _in_words(field: FieldInfo, value: Any) -> str:
    annotated = [item for item in field.metadata if isinstance(item, InWords)]
    return annotated[0].text(value) if annotated else _text(value)


def _text(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            # Every digit that a study writes, none of binary rounding.
            return f"{value:.12g}"
        case BaseModel():
            inner = in_words(value)
            name = str(getattr(value, "name", "")).replace("_", " ")
            return f"{name} ({inner})".lstrip() if inner else name
        case Mapping():
            return ", ".join(f"{key}: {_bracketed(item)}" for key, item in value.items())
        case list() | tuple():
            return ", ".join(map(_bracketed, value))
    return str(value)


def _bracketed(value: Any) -> str:
    """Return a value's text with its own commas in brackets, apart from those around it."""
    match value:
        case Mapping():
            return f"{{{_text(value)}}}"
        case list() | tuple() if not any(isinstance(item, BaseModel) for item in value):
            return f"[{_text(value)}]"
    return _text(value)

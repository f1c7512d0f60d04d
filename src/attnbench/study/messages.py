"""Problems of a YAML file in words: path, value, what is allowed, the nearest valid name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from attnbench.errors import nearest, printable

MOST_PROBLEMS = 50
_LONGEST = 200


def in_lines(problems: Sequence[str]) -> str:
    """Return problems as the lines of a message, after how many they are; at most fifty."""
    shown = [f"  {printable(line)}" for line in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        shown.append(f"  and {len(problems) - MOST_PROBLEMS} more")
    return f"{len(problems)} problem(s)\n" + "\n".join(shown)


def _shown(value: Any) -> str:
    """A value as JSON, cut where it is long; what JSON has no form for as Python shows it."""
    try:
        text = json.dumps(value, default=str)
    except (TypeError, ValueError):
        # Keys that are neither text nor numbers; numbers with too many digits for text.
        text = object.__repr__(value) if isinstance(value, int) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line per problem that pydantic met while it filled `model`.

    A validator's `ValueError` may hold several lines that start with a path of their own.
    """
    return [line for item in error.errors() if _is_cause(item) for line in _problem(item, model)]


def _is_cause(item: Any) -> bool:
    """Return False for a follow-up: pydantic calls a list too short once an entry has failed."""
    return item["type"] != "too_short" or len(item["input"]) < item["ctx"]["min_length"]


def _problem(item: Any, model: type[BaseModel]) -> list[str]:
    # pydantic adds "[key]" where the key of a mapping is at fault, not its value; the kinds that a
    # setting may be of have names in such brackets too.
    keys = (key for key in item["loc"] if not str(key).startswith("["))
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    message = item["msg"].removeprefix("Value error, ").replace("Input should", "should")
    shown = _shown(item["input"])
    value = "" if isinstance(item["input"], Mapping | BaseModel) else f", found {shown}"
    match item["type"]:
        case "extra_forbidden":
            *outer, key = item["loc"]
            return [f"{path}: unknown key; {nearest(str(key), _keys_at(outer, model))}"]
        case "missing":
            return [f"{path}: missing; this key is required"]
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", item["ctx"]["expected"])
            return [f"{path}: found {shown}; {nearest(str(item['input']), allowed)}"]
        case "tuple_type":
            return [f"{path}: should be a list{value}"]
        case "too_short":
            return [f"{path}: should have at least {item['ctx']['min_length']} entry{value}"]
        case "value_error" if message.startswith(path):
            return message.split("\n")
    return [f"{path}: {message}{value}"]


def _keys_at(location: Sequence[Any], model: type[BaseModel]) -> list[str]:
    """Return the keys that the models at `location` below `model` allow."""
    models = [model]
    for step in location:
        fields = [one.model_fields[step] for one in models if step in one.model_fields]
        inner = [model for field in fields for model in _models_in(field.annotation)]
        models = inner or models
    return list(dict.fromkeys(key for one in models for key in one.model_fields))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]

"""What is wrong with a YAML file, in words: the key's path, what was found, what is allowed, the
nearest valid name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from attnbench.errors import nearest


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line per problem that pydantic found while it filled `model`.

    A `ValueError` of a validator of the whole model may hold several lines, each starting with
    its key's path.
    """
    return [line for item in error.errors() if _is_cause(item) for line in _problem(item, model)]


def _is_cause(item: Any) -> bool:
    """False for what pydantic adds once an entry of a list has failed: that the list is now too
    short.
    """
    return item["type"] != "too_short" or len(item["input"]) < item["ctx"]["min_length"]


def _problem(item: Any, model: type[BaseModel]) -> list[str]:
    path = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}"
        for part in item["loc"]
        if part != "[key]"
    )
    path = path.lstrip(".")
    message = item["msg"].removeprefix("Value error, ")
    shown = json.dumps(item["input"], default=str)
    found = "" if isinstance(item["input"], Mapping | BaseModel) else f", found {shown}"
    match item["type"]:
        case "extra_forbidden":
            return [
                f"{path}: unknown key; "
                f"{nearest(str(item['loc'][-1]), _keys_at(item['loc'][:-1], model))}"
            ]
        case "missing":
            return [f"{path}: missing; this key is required"]
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", item["ctx"]["expected"])
            return [f"{path}: found {shown}; {nearest(str(item['input']), allowed)}"]
        case "tuple_type":
            return [f"{path}: should be a list{found}"]
        case "too_short":
            return [f"{path}: should have at least {item['ctx']['min_length']} entry{found}"]
        case "value_error" if not path:
            return message.split("\n")
    return [f"{path}: {message}{found}"]


def _keys_at(location: tuple[Any, ...], model: type[BaseModel]) -> list[str]:
    """Names of the keys that the model at `location` below `model` allows."""
    for step in location:
        if isinstance(step, str) and step in model.model_fields:
            inner = _model_in(model.model_fields[step].annotation)
            model = inner or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is None:
        return None
    return next((found for found in map(_model_in, get_args(annotation)) if found), None)

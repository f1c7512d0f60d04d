"""What all settings of a study have in common: strict keys, names, and what exists."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
)

from attnbench.errors import nearest

LONGEST_NAME = 100
"""Characters of a name: it becomes that of a file, which may have 255 with all that is added."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])")


def refuse_reserved(name: str) -> str:
    """Return a name, unless Windows has it for a device and so makes no file of that name."""
    if _RESERVED.fullmatch(name):
        raise ValueError("a name that Windows keeps for a device, in whose files none can be kept")
    return name


Name = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=LONGEST_NAME),
    AfterValidator(refuse_reserved),
]


def _refuse_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is expected, not a truth value")
    return value


NUMBER = BeforeValidator(_refuse_truth)
"""Behind the bounds of a number: `true` is none. (Before them, schemas would lose the bounds.)"""
Int = Annotated[int, NUMBER]
"""A whole number, which `true` is not."""
Float = Annotated[float, NUMBER]
"""A finite number, which `true` is not."""
Seed = Annotated[int, Field(ge=0, lt=2**31), NUMBER]
"""A seed that every random number generator takes, also with what folds add to it."""


def _refuse_other_than_truth(value: Any) -> Any:
    if isinstance(value, bool) or str(value).lower() in ("true", "false"):
        return value
    raise ValueError("true or false is expected")


Bool = Annotated[bool, BeforeValidator(_refuse_other_than_truth)]
"""A truth value, which 0, 1, `yes` and `no` are not."""


def _refuse_other_values(options: dict[str, Any]) -> dict[str, Any]:
    waiting: list[Any] = [options]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"a finite number is expected, found {value}")
        elif not isinstance(value, str | int | float | None):
            raise ValueError(f"text and numbers are expected, found {type(value).__name__}")
    return options


Options = Annotated[dict[str, Any], AfterValidator(_refuse_other_values)]
"""Arguments of a class or function by name: what YAML and JSON can write."""


def each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a list's entries, unless one stands there twice."""
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{str(value)[:60]} stands there more than once; keep one")
        seen.add(value)
    return values


_FILE = r"[^:*?\"<>|\r\n]*\.py:[A-Za-z_]\w*"
_DOTTED = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+"
_FORMS = "a file and a name, `./my_file.py:Name`, or a dotted path, `my_package.module.Name`"


def is_reference(text: str) -> bool:
    """True for a text that has the form of a reference to own code."""
    return re.fullmatch(rf"{_FILE}|{_DOTTED}", text) is not None


def _refuse_no_reference(reference: str) -> str:
    if not is_reference(reference):
        raise ValueError(f"own code is named by {_FORMS}")
    return reference


def _refuse_neither(name: str) -> str:
    if not re.fullmatch(rf"[a-z0-9][a-z0-9_]*|{_FILE}|{_DOTTED}", name):
        raise ValueError(f"neither a name in small letters nor own code, which is {_FORMS}")
    return name


OwnCode = Annotated[str, Field(max_length=500), AfterValidator(_refuse_no_reference)]
"""A reference to own code: `./my_attention.py:MyGate` or `my_package.gates.MyGate`."""
NameOrOwnCode = Annotated[str, Field(max_length=500), AfterValidator(_refuse_neither)]


def is_own_code(name: str) -> bool:
    """True for a reference to own code, which no bare name is."""
    return "." in name


def name_as_mapping(value: Any) -> Any:
    """Return `cbam` as `{name: cbam}`; anything else unchanged."""
    return {"name": value} if isinstance(value, str) else value


class Settings(BaseModel):
    """Settings of a study: fixed once read, and without any key that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Kind = Literal["datasets", "mechanisms", "losses"]
_ONE: dict[Kind, str] = {
    "datasets": "dataset",
    "mechanisms": "mechanism",
    "losses": "loss",
}


def one_of(kind: Kind) -> AfterValidator:
    """Return a validator that refuses a name that is no known `kind`."""

    def refuse_unknown(name: str, info: ValidationInfo) -> str:
        known = getattr(info.context, kind) if info.context else ()
        if known and name not in known:
            raise ValueError(f"no such {_ONE[kind]}; {nearest(name, known)}")
        return name

    return AfterValidator(refuse_unknown)

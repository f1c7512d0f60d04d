"""What all settings of a study have in common: strict keys, names, and what exists."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationInfo

from attnbench.errors import nearest

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")]


class Settings(BaseModel):
    """Settings of a study: fixed once read, and without any key that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def one_of(kind: Literal["datasets", "mechanisms", "metrics"]) -> AfterValidator:
    """Return a validator that refuses a name that is no known `kind`."""

    def refuse_unknown(name: str, info: ValidationInfo) -> str:
        known = getattr(info.context, kind) if info.context else ()
        if known and name not in known:
            raise ValueError(f"no such {kind[:-1]}; {nearest(name, known)}")
        return name

    return AfterValidator(refuse_unknown)

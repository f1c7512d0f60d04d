"""Scores of a trained run under one kind of shift, by the module that the kind names."""

from __future__ import annotations

from importlib import import_module

from attnbench.errors import StudyError, nearest
from attnbench.shift.kinds import ShiftKind, requested_kinds
from attnbench.study.paths import Run
from attnbench.study.settings import Study


def requested_kind(study: Study, name: str) -> ShiftKind:
    """The kind of that name; raises `StudyError` where the study does not ask for it."""
    kinds = requested_kinds(study)
    if name not in kinds:
        hint = nearest(name, kinds) if kinds else "it asks for no shift"
        raise StudyError(f"the study has no table {name!r}; {hint}")
    return kinds[name]


def score_shift(study: Study, name: str, run: Run) -> None:
    """Score a run under one kind of shift; its part of the table lies in the run's folder."""
    module = import_module(f"attnbench.shift.{requested_kind(study, name).module}")
    getattr(module, f"score_{name}")(study, run)

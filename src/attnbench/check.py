"""A study checked against what exists: catalog, mechanisms, metrics. Imports neither torch nor medpy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnbench.catalog import catalog_names, load_entry
from attnbench.models.names import lacks, mechanism_names, model_words
from attnbench.scoring.definitions import METRICS
from attnbench.study import DatasetFacts, Known, Study, parse_study, read_yaml


def check_study(content: Any, source: str = "study") -> Study:
    """The study in `content`, checked against the catalog, the mechanisms and the metrics; raises `StudyError`."""
    return parse_study(content, _known(content), source)


def load_study(path: Path) -> Study:
    """The study in a YAML file, checked; raises `StudyError` with every problem found."""
    return check_study(read_yaml(path), str(path))


def _known(content: Any) -> Known:
    """Facts of all names; group counts are only read for the datasets that the study uses."""
    used = content.get("datasets") if isinstance(content, Mapping) else None
    words = {
        str(item.get("name") if isinstance(item, Mapping) else item)
        for item in (used if isinstance(used, list | tuple) else ())
    }
    datasets = {}
    for name in catalog_names():
        entry = load_entry(name) if name in words else None
        datasets[name] = DatasetFacts(entry.ndim, entry.count_groups()) if entry else DatasetFacts(0, 0)
    return Known(datasets, mechanism_names(), tuple(METRICS), model_words(), lacks())

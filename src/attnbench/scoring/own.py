"""Own metrics: what they declare, read from their files; and how tables and texts know them."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from attnbench.errors import OwnCodeError
from attnbench.own import declared, decorations, fingerprint, load, locate
from attnbench.scoring.definitions import METRICS, declaration, own_metric
from attnbench.study.metrics import MetricDeclaration, OwnMetric

_SIGNATURE = "def my_metric(prediction, reference, spacing):"


def planned(name: str, own: OwnMetric) -> OwnMetric:
    """An own metric with its fingerprint and what it declares; as it is if it has them.

    Raises:
        OwnCodeError: it is not there, is no function of three arguments, or is not declared.
    """
    if own.source is not None:
        return own
    return own.model_copy(
        update={"source": fingerprint(own.code), "declared": read_declaration(name, own.code)}
    )


def read_declaration(name: str, reference: str) -> MetricDeclaration:
    """What the `@metric(...)` above a function says; nothing is run.

    Raises:
        OwnCodeError: there is no such function, it takes other arguments, or is not declared.
    """
    node = locate(reference).node
    if isinstance(node, ast.ClassDef):
        raise OwnCodeError(f"{reference}: found a class; a metric is a function, {_SIGNATURE}")
    _refuse_arguments(reference, node)
    if not decorations(node, "metric"):
        raise OwnCodeError(
            f"{reference}: nothing says its direction, nor what an empty mask is worth; declare it "
            "by @metric(...) of attnbench.scoring.definitions (docs/your-metric.md)"
        )
    return declaration(declared(reference, node, "metric"), name, reference)


def register(own_metrics: Mapping[str, OwnMetric]) -> None:
    """Make the planned own metrics of a study known to scores, tables and texts.

    A process knows one metric of a name: that of the study that was read last.

    Raises:
        OwnCodeError: two metrics have one label.
    """
    ours = {name: metric for name, metric in METRICS.items() if metric.code is None}
    labels = {metric.label: name for name, metric in ours.items()}
    for name, own in own_metrics.items():
        assert own.declared is not None  # `planned`
        label = own.declared.label
        if label in labels:
            raise OwnCodeError(
                f"{own.code}: its label {label!r} is that of {labels[label]}, too; in tables "
                "nobody could tell them apart: give it another one, @metric(label=...)"
            )
        labels[label] = name
        METRICS[name] = own_metric(name, own.code, own.source, own.declared)


def import_metrics(own_metrics: Mapping[str, OwnMetric]) -> None:
    """Import the own metrics of a study: what they lack shows before anything is trained.

    Raises:
        OwnCodeError: one cannot be imported, or has changed since the study was planned.
    """
    for own in own_metrics.values():
        load(own.code, own.source)


def _refuse_arguments(reference: str, node: ast.FunctionDef) -> None:
    given = node.args
    named = [*given.posonlyargs, *given.args]
    required = named[: len(named) - len(given.defaults)] if given.defaults else named
    pairs = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    needed = {arg.arg for arg in required[3:]} | {arg.arg for arg, own in pairs if own is None}
    if needed - {"region"}:
        found = f"it needs {', '.join(sorted(needed - {'region'}))} as well"
    elif len(named) < 3 and given.vararg is None:
        found = f"it takes {len(named)} argument{'' if len(named) == 1 else 's'}"
    else:
        return
    raise OwnCodeError(
        f"{reference}: {found}; a metric takes three, {_SIGNATURE} and, where it counts the "
        "background, a fourth named region"
    )

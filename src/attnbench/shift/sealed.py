"""Scores beside the test folds under the seals of their jobs, and the rows that they must have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attnbench.files import hash_of
from attnbench.scoring.gather import check_scores, refuse_other_weights
from attnbench.scoring.rows import Part, Tested, part_of_run, refuse_wrong_rows
from attnbench.seals import refuse_changed, write_seal
from attnbench.shift.kinds import ShiftKind
from attnbench.study.paths import STAGES, Run
from attnbench.study.settings import Study
from attnbench.study.shift import LEVELS, TransferSettings
from attnbench.training.diverged import divergence_of
from attnbench.training.sealed import remedy_of, seal_run, sealed_files, settings_of
from attnbench.training.stamp import Stamp, identity, read_facts, refuse_other


def seal_shift(study: Study, run: Run, kind: ShiftKind, stamp: Stamp) -> None:
    """Seal a run's scores of one kind: the last thing that the job does."""
    asked = asked_of(Tested(study), kind, run.dataset)
    seal_run(study, run, f"score_shift/{kind.name}", {**stamp, **asked}, [f"{kind.name}.csv"])


def seal_ensemble(study: Study, kind: ShiftKind, runs: list[Run], stamps: list[Stamp]) -> None:
    """Seal the scores of the ensemble of `runs`, whose members have these stamps."""
    layout, first = study.layout, runs[0]
    stamp = {
        **_identity_of_members(study, runs),
        **{name: stamps[0][name] for name in stamps[0] if name.startswith("predict_")},
        "weights_hash": hash_of([stamp["weights_sha256"] for stamp in stamps]),
        **asked_of(Tested(study), kind, first.dataset),
        **settings_of(study, "score_ensemble"),
    }
    path = layout.seal(f"score_ensemble/{first.dataset}/{first.model}")
    write_seal(path, layout.output, [layout.ensemble(first.dataset, first.model)], stamp)


def asked_of(tested: Tested, kind: ShiftKind, dataset: str) -> dict[str, str]:
    """Hashes of what a study asks of a dataset's models, and of the data that they are shown, as
    far as these are there.
    """
    study = tested.study
    stores = {name: tested.store(name) for name in (dataset, *kind.reads(study, dataset))}
    known = {name: store.info for name, store in stores.items() if store}
    if len(known) < len(stores):
        return {}
    asked: Any = list(study.corruptions) if kind.key == "corruptions" else []
    if kind.key == "transfer":
        of_kind = study.ensembles_of if kind.ensembled else study.transfers_of
        asked = [
            [one.test, [*one.mapped(known[dataset].classes, known[one.test].classes).items()]]
            for one in of_kind(dataset)
        ]
    shown = {name: info.content_hash for name, info in known.items()}
    return {"shift_hash": hash_of(asked), "shown_hash": hash_of(shown)}


def check_shift(tested: Tested, kind: ShiftKind, run: Run, path: Path) -> None:
    """Refuse a file of one kind's scores that is another's, or has other rows than it should.

    Raises:
        DataError: as `refuse_wrong_rows`.
        SealError: the file is not as its job left it, or that of another run, recipe or study.
    """
    study = tested.study
    if kind.ensembled:
        _check_ensemble(tested, kind, run, path)
    elif kind.module:
        expected = {**tested.hashes(run), **asked_of(tested, kind, run.dataset)}
        seal = sealed_files(study, run, path.name, expected=expected)
        refuse_other_weights(study, run, seal)
        remedy = remedy_of(run, f"score_shift/{kind.name}")
        refuse_wrong_rows(path, kind.columns, list(_parts(tested, kind, run)), remedy)
    else:
        check_scores(tested, run, path)


def _check_ensemble(tested: Tested, kind: ShiftKind, run: Run, path: Path) -> None:
    study, remedy = tested.study, "delete it and start Snakemake again"
    layout, runs = study.layout, list(study.runs_of(run.dataset, run.model))
    seal = layout.seal(f"score_ensemble/{run.dataset}/{run.model}")
    stamp = refuse_changed(seal, layout.output, [path], remedy).stamp
    expected = {
        **_identity_of_members(study, runs),
        **asked_of(tested, kind, run.dataset),
        **settings_of(study, "score_ensemble"),
    }
    facts = [layout.run(one) / STAGES["train"] for one in runs]
    if all(file.is_file() for file in facts):
        for one in runs:
            sealed_files(study, one, STAGES["train"])
        expected["weights_hash"] = hash_of([read_facts(file)["weights_sha256"] for file in facts])
    refuse_other(stamp, expected, path, remedy)
    refuse_wrong_rows(path, kind.columns, list(_parts(tested, kind, run)), remedy)


def _identity_of_members(study: Study, runs: list[Run]) -> dict[str, Any]:
    first = identity(study, runs[0])
    kept = {name: first[name] for name in ("dataset", "model", "recipe_hash")}
    return {**kept, "members": [f"fold{run.fold}-seed{run.seed}" for run in runs]}


def _parts(tested: Tested, kind: ShiftKind, run: Run) -> Iterator[Part]:
    """What a file of one kind's scores has to hold."""
    study, whole = tested.study, part_of_run(tested, run)
    if kind.name == "corrupted":
        axes = {"corruption": study.corruptions, "level": LEVELS}
        yield Part(whole.fixed, whole.metrics, whole.cases, whole.classes, axes)
    elif kind.name == "held_out":
        yield Part(whole.fixed, whole.metrics, tested.held_out(run), whole.classes)
    elif kind.ensembled:
        whole_runs = [
            one
            for one in study.runs_of(run.dataset, run.model)
            if not divergence_of(study.layout, one)
        ]
        members = {"members": len(whole_runs)}
        fixed = {"dataset": run.dataset, "model": run.model, **members}
        for transfer in study.ensembles_of(run.dataset):
            yield _part_of_test(tested, transfer, fixed, whole)
    else:
        for transfer in study.transfers_of(run.dataset):
            yield _part_of_test(tested, transfer, whole.fixed, whole)


def _part_of_test(
    tested: Tested, transfer: TransferSettings, fixed: Mapping[str, object], whole: Part
) -> Part:
    own, other = tested.store(transfer.train), tested.store(transfer.test)
    mapped = transfer.mapped(own.info.classes, other.info.classes) if own and other else None
    return Part(
        {**fixed, "test": transfer.test},
        whole.metrics,
        tested.every(transfer.test),
        None if mapped is None else tuple(mapped),
    )

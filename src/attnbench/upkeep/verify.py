"""A study's files hashed again: which are not as their jobs left them, and what rests on those."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.catalog import load_entry
from attnbench.data.download.receipt import read_receipt
from attnbench.data.download.wanted import mismatch, wanted_files
from attnbench.data.folds import load_folds
from attnbench.data.store import CaseStore
from attnbench.errors import AttnBenchError, SealError, listed
from attnbench.files import read_json
from attnbench.locks import holder_of
from attnbench.seals import problem_of, read_seal
from attnbench.training.sealed import remedy_of
from attnbench.training.stamp import identities
from attnbench.upkeep.belonging import files_by_job, files_of_nobody, runs_by_job

if TYPE_CHECKING:
    from attnbench.catalog import Entry
    from attnbench.seals import Seal
    from attnbench.study.paths import Run
    from attnbench.study.settings import Study

Say = Callable[[str], object]
LINE_EVERY_S = 5.0
_SHOWN = 10


@dataclass(frozen=True)
class Finding:
    """A file that is not as its job left it: what is wrong, what rests on it, what to do."""

    file: Path
    problem: str
    rests: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}"


@dataclass(frozen=True)
class Verified:
    """What `verify_study` found.

    files and bytes: hashed and as they should be or not. strangers: files that belong to no job of
    the study. at_work: runs that a process is writing, which were left out.
    """

    files: int
    bytes: int
    findings: tuple[Finding, ...]
    strangers: tuple[Path, ...]
    at_work: tuple[str, ...]

    @property
    def well(self) -> bool:
        """True where every file is as its job left it, for this very study."""
        return not self.findings

    def lines(self) -> Iterator[str]:
        """What a person is told: findings by what to do about them, then the rest in a line each.

        Yields:
            lines without an end.
        """
        together: dict[tuple[str, str], list[Finding]] = {}
        for one in self.findings:
            together.setdefault((one.rests, one.remedy), []).append(one)
        for (rests, remedy), found in [*together.items()][:_SHOWN]:
            yield from map(str, found[:_SHOWN])
            if len(found) > _SHOWN:
                yield f"and {len(found) - _SHOWN} more"
            yield f"  rests on it: {rests}"
            yield f"  {remedy}"
        if left := [one for found in [*together.values()][_SHOWN:] for one in found]:
            yield f"and {len(left)} files more, the first {left[0]}"
        for run in self.at_work:
            yield f"left out, being written: {run}"
        if self.strangers:
            yield (
                f"{len(self.strangers)} file(s) belong to no job of this study, which reads none "
                f"of them: {listed(self.strangers, 5)}"
            )
        what = "all as their jobs left them" if self.well else f"{len(self.findings)} are not"
        yield f"{self.files} files, {self.bytes / 1e6:,.1f} MB hashed: {what}"


class _Count:
    """Files and bytes that were hashed so far, said aloud every few seconds."""

    def __init__(self, say: Say) -> None:
        self.files, self.bytes, self._say, self._last = 0, 0, say, time.monotonic()

    def add(self, file: Path) -> None:
        self.files += 1
        self.bytes += file.stat().st_size if file.is_file() else 0
        if time.monotonic() - self._last > LINE_EVERY_S:
            self._last = time.monotonic()
            self._say(f"{self.files} files, {self.bytes / 1e6:,.0f} MB hashed so far")


def verify_study(study: Study, say: Say = lambda line: None) -> Verified:
    """Hash every file of a study again, compare its stamps with the study, and re-derive nothing.

    Originals are compared with the catalog, the rest with the seals of the jobs that left them.
    Memory does not grow with files.

    Args:
        study: as it is now.
        say: told every few seconds how far it is.
    """
    count = _Count(say)
    layout, planned, runs = study.layout, files_by_job(study), runs_by_job(study)
    at_work = {run: who for run in set(runs.values()) if (who := _writer(study, run))}
    findings = [
        finding for data in study.datasets for finding in _originals(study, data.name, count)
    ]
    sealed: dict[Path, str] = {}
    seals: dict[str, Seal] = {}
    folder = layout.seal("x").parent
    for path in sorted(folder.rglob("*.json")):
        job = path.relative_to(folder).with_suffix("").as_posix()
        if job in runs and runs[job] in at_work:
            sealed |= dict.fromkeys(planned.get(job, ()), job)
            continue
        try:
            seal = read_seal(path)
        except SealError as error:
            said = str(error).removeprefix(f"{path}: ")
            findings.append(_finding(study, job, path, said, runs))
            sealed |= dict.fromkeys(planned.get(job, ()), job)
            continue
        seals[job] = seal
        for name in seal.files:
            file = layout.output / name
            sealed[file] = job
            problem = problem_of(seal, layout.output, file, thorough=True)
            count.add(file)
            if problem and not _was_removed(file):
                findings.append(_finding(study, job, file, problem, runs))
    findings += _other_stamps(study, seals, runs)
    findings += [one for data in study.datasets for one in _data(study, data.name, seals)]
    unsealed = [
        (job, file)
        for job, files in planned.items()
        if job not in seals and not (job in runs and runs[job] in at_work)
        for file in files
        if file not in sealed and file.exists()
    ]
    findings += [
        _finding(study, job, file, "has no seal: its job was ended before it had written all", runs)
        for job, file in unsealed
    ]
    strangers = files_of_nobody(study, {*sealed, *(file for _, file in unsealed)})
    own = {file for files in planned.values() for file in files}
    left = sorted({*strangers, *_of_others(sealed, own, planned)})
    named = tuple(f"{run} ({who})" for run, who in at_work.items())
    return Verified(count.files, count.bytes, tuple(findings), tuple(left), named)


def _of_others(
    sealed: Mapping[Path, str], own: set[Path], planned: Mapping[str, list[Path]]
) -> Iterator[Path]:
    """Yield sealed files of jobs that the study, as it is now, does not have."""
    return (file for file, job in sealed.items() if job not in planned and file not in own)


def _writer(study: Study, run: Run) -> str:
    """Who writes into the folder of a run now; empty where nobody does."""
    found = holder_of(study.layout.run(run) / ".lock")
    return str(found[0]) if found and found[1] else ""


def _was_removed(file: Path) -> bool:
    """Whether `attnbench clean` removed a file, which said so."""
    marker = file.with_name("predictions.removed")
    return file.name == "predictions.npz" and not file.exists() and marker.is_file()


def _originals(study: Study, dataset: str, count: _Count) -> Iterator[Finding]:
    """Yield the originals that are not those of the catalog; none where none were fetched yet."""
    entry = load_entry(dataset, study.catalog)
    raw = study.layout.raw(dataset)
    receipt = raw / "receipt.json"
    folder, wanted = entry.files_in(raw), wanted_files(entry)
    if not receipt.exists():
        return
    rests = f"the prepared data of {dataset} and all that was made from them"
    remedy = _put_back(entry, receipt)
    try:
        read_receipt(receipt)
    except AttnBenchError as error:
        yield Finding(receipt, str(error).removeprefix(f"{receipt}: "), rests, remedy)
    for item in wanted:
        file = folder / item.path
        try:
            found = mismatch(file, item) if file.is_file() else None
            problem = f"expected {item}, found {found}" if found else ""
            problem = problem if file.is_file() else "is missing"
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        count.add(file)
        if problem:
            yield Finding(file, problem, rests, remedy)


def _put_back(entry: Entry, receipt: Path) -> str:
    if entry.origin.kind == "local":
        return (
            "put the file back, or add the dataset again (`attnbench dataset add ... --replace`), "
            "then run the study again"
        )
    return (
        f"remove {receipt} and run the study again: files that are whole are kept, others are "
        "fetched again"
    )


def _data(study: Study, dataset: str, seals: Mapping[str, Seal]) -> Iterator[Finding]:
    """Yield what a dataset's store and folds say against themselves and each other."""
    layout = study.layout
    folder, folds = layout.prepared(dataset), layout.folds(dataset)
    if not folder.exists():
        return
    try:
        store = CaseStore.open(folder)
        if f"prepare/{dataset}" not in seals:
            store.check_arrays()
    except AttnBenchError as error:
        said = str(error).removeprefix(f"{folder}: ")
        yield _finding(study, f"prepare/{dataset}", folder, said, {})
        return
    try:
        if folds.exists():
            load_folds(folds, store)
    except AttnBenchError as error:
        said = str(error).removeprefix(f"{folds}: ")
        yield _finding(study, f"folds/{dataset}", folds, said, {})


def _other_stamps(
    study: Study, seals: Mapping[str, Seal], runs: Mapping[str, Run]
) -> Iterator[Finding]:
    """Yield the files of runs whose seal is of another recipe, data or split than the study's."""
    expected = identities(study, set(runs.values()))
    data = {
        name: {
            **_stated(seals, f"prepare/{name}", "data_hash"),
            **_stated(seals, f"folds/{name}", "folds_hash"),
        }
        for name in {run.dataset for run in runs.values()}
    }
    for job, run in runs.items():
        if job not in seals:
            continue
        stamp = seals[job].stamp
        wanted: dict[str, Any] = {**expected[run], **data[run.dataset]}
        if job.startswith("train/"):
            wanted |= _weights(study, run)
        other = [name for name, value in wanted.items() if stamp.get(name) != value]
        if other:
            named = ", ".join(
                f"{name} (found {stamp.get(name, 'none')}, now {wanted[name]})" for name in other
            )
            file = seals[job].path
            yield _finding(study, job, file, f"is of another study or run: {named}", runs)


def _stated(seals: Mapping[str, Seal], job: str, name: str) -> dict[str, Any]:
    stamp = seals[job].stamp if job in seals else {}
    return {name: stamp[name]} if name in stamp else {}


def _weights(study: Study, run: Run) -> dict[str, Any]:
    """The hash of the weights that `run.json` states; a damaged one is found by its seal."""
    try:
        facts = read_json(study.layout.run(run) / "run.json")
        return {"weights_sha256": facts["weights_sha256"]}
    except (OSError, LookupError, TypeError, ValueError):
        return {}


def _finding(study: Study, job: str, file: Path, problem: str, runs: Mapping[str, Run]) -> Finding:
    verb, _, about = job.partition("/")
    if job in runs:
        remedy = remedy_of(runs[job], job.removesuffix(f"/{runs[job]}"))
        return Finding(file, problem, _RESTS_ON_RUNS.format(run=about, of=_OF[verb]), remedy)
    dataset = about.partition("/")[0]
    if verb in ("prepare", "folds"):
        where = {"prepare": study.layout.prepared(dataset), "folds": study.layout.folds(dataset)}
        remedy = (
            f"remove {where[verb]} and type `attnbench rerun STUDY --missing`: data that come back "
            "the same leave all results as they are"
        )
        return Finding(file, problem, f"every run of {dataset}, its scores and results", remedy)
    remedy = f"remove {file} and run the study again, which makes it and what follows from it"
    if file == study.layout.seal(job):
        left = files_by_job(study).get(job, [])
        remedy = remedy.replace(str(file), listed(left, 1) if left else str(file))
    return Finding(file, problem, _RESTS.get(verb, "nothing else"), remedy)


_RESTS_ON_RUNS = "{of} of {run}, and the scores, analysis, tables, figures and report"
_OF = {
    "train": "predictions and scores",
    "predict": "scores",
    "score": "what was gathered",
    "score_external": "what was gathered",
    "score_shift": "what was gathered",
}
_RESULTS = "tables, figures, exports and report"
_RESTS = {
    "inspect": "prepared data, where groups of copies were merged, and all that was made from them",
    "trial": "the choice of the swept value, and the runs trained with it",
    "choose": "the runs trained with the chosen value, and all that was made from them",
    "gather": f"analysis, {_RESULTS}",
    "score_ensemble": f"analysis, {_RESULTS}",
    "second_rater": f"analysis, {_RESULTS}",
    "describe": f"costs in the analysis, {_RESULTS}",
    "measure": f"costs in the analysis, {_RESULTS}",
    "analyse": _RESULTS,
    "attend": "figures of attention, and the report",
    "figure": "the report",
}

"""The files of the workflow, in a checkout or in the installed package, and how it is started."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from attnbench.errors import StudyError, WorkflowError
from attnbench.locks import exclusive

PACKAGE = Path(__file__).parent


def workflow_folder() -> Path:
    """The folder with `Snakefile`, `workflow`, `profiles`, `envs` and `studies`.

    It is part of an installed package; else it is the checkout that the package is in.

    Raises:
        WorkflowError: the package is neither.
    """
    candidates = (PACKAGE / "_workflow", PACKAGE.parents[1])
    for folder in candidates:
        if (folder / "Snakefile").is_file() and (folder / "workflow" / "rules").is_dir():
            return folder
    raise WorkflowError(
        f"the workflow is neither in {candidates[0]} nor in {candidates[1]}; install attnbench "
        "from a wheel or with pip, or take a checkout"
    )


def snakefile() -> Path:
    """The Snakefile: for `snakemake --snakefile`, and for `module` in the workflow of others."""
    return workflow_folder() / "Snakefile"


def command(
    study: Path, cores: str | None = None, dry_run: bool = False, further: Sequence[str] = ()
) -> list[str]:
    """The words that start Snakemake on a study, with results below the working directory.

    Args:
        study: the study file.
        cores: as `--cores` of Snakemake, a number or `all`; else the profile decides.
        dry_run: only say what would be done.
        further: words for Snakemake that are handed on as they are.
    """
    # -P: files of the working directory, such as a user's `random.py`, are nobody's imports.
    words = [sys.executable, "-P", "-m", "snakemake", "--configfile", str(study)]
    words += ["--snakefile", str(snakefile())]
    if not any(word.split("=")[0] == "--workflow-profile" for word in further):
        words += ["--workflow-profile", str(_default_profile())]
    if cores is not None:
        words += ["--cores", cores]
    if dry_run:
        words.append("--dry-run")
    return [*words, *further]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """`variables`, with the folder of this very `attnbench` first in `PATH`: rules call it by name.

    Raises:
        WorkflowError: no command `attnbench` belongs to this Python, and none is in `PATH`.
    """
    path = variables.get("PATH", os.defpath)
    typed = Path(sys.argv[0])
    folders = [Path(sysconfig.get_path("scripts")), Path(sys.executable).parent]
    folders += [typed.absolute().parent] if typed.stem == "attnbench" else []
    for folder in folders:
        if shutil.which("attnbench", path=str(folder)):
            return {**variables, "PATH": f"{folder}{os.pathsep}{path}"}
    if not shutil.which("attnbench", path=path):
        raise WorkflowError(
            f"no command `attnbench` in {folders[0]} and none in PATH, by which the jobs would "
            "start; install the package with pip"
        )
    return dict(variables)


def refuse_prefix(modifier: Any, output: Path) -> None:
    """Raise `StudyError` where a `module` moves the files of its rules elsewhere.

    Args:
        modifier: Snakemake's, of the module that is read.
        output: the study's output folder.
    """
    moved = modifier.path_modifier.replace_prefix(str(output))
    if moved != str(output):
        raise StudyError(
            f"`prefix` or `replace_prefix` of the module would move {output} to {moved}, and jobs "
            f"would not know; leave it out, and give the study `output: {moved}`"
        )


def before_jobs(workflow: Any, action: Callable[[], object]) -> None:
    """Have `action` called before the first job, from a Snakefile that is a `module`.

    Snakemake calls only hooks of the outer workflow: its `onstart`, declared before or after the
    module, calls `action` first. As with every hook: under Snakemake's lock, once, on the machine
    on which Snakemake was started, and never in a dry run.

    Args:
        workflow: Snakemake's workflow.
        action: what is to be done; may be called more than once.
    """
    declare, declared = workflow.onstart, workflow._onstart

    def first(hook: Callable[[Any], object]) -> Callable[[Any], None]:
        def both(log: Any) -> None:
            action()
            hook(log)

        return both

    workflow._onstart = first(declared)
    workflow.onstart = lambda hook: declare(first(hook))


def around_planning(
    workflow: Any, before: Callable[[], object], again: Callable[[], Iterable[Path]]
) -> None:
    """Have a study's folder locked before Snakemake plans, and files planned again that it trusts.

    Snakemake compares files with what `.snakemake` of the working directory says of them. Where
    that is missing, or of another checkout, it takes every file that is there for that of this
    study.

    Args:
        workflow: Snakemake's workflow.
        before: called first where jobs will run: not in a dry run, for `--unlock`, or in a job.
        again: files to be made again, by their paths in rules.
    """
    plan = workflow._prepare_dag

    def planned(*arguments: Any, **options: Any) -> None:
        if workflow.executor_plugin and workflow.execution_settings.lock and not workflow.dryrun:
            before()
        plan(*arguments, **options)
        workflow.dag.forcefiles.update(map(str, again()))

    workflow._prepare_dag = planned


def hold(path: Path, what: str) -> None:
    """Hold a lock until this process ends; raises `LockError` where another process has it."""
    held = ExitStack()
    held.enter_context(exclusive(path, what, wait=False))
    atexit.register(held.close)


def _default_profile() -> Path:
    """The profile of the working directory if it has one, as Snakemake does it, else ours.

    Named in full: Snakemake would take a folder `default` of the working directory for one.
    """
    own = Path("profiles") / "default"
    return own if own.is_dir() else workflow_folder() / own

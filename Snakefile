import gc
import os
import sys
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from shlex import quote

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version, update_config

from attnbench import rerun
from attnbench.catalog import load_entry
from attnbench.check import check_study, refuse_output
from attnbench.errors import StudyError
from attnbench.shift.kinds import KINDS, requested_kinds
from attnbench.study.paths import Run
from attnbench.study.reading import read_study
from attnbench.study.split import files_of
from attnbench.upkeep.begin import at_work_lines, begin, lock_output, look_for_room
from attnbench.upkeep.gone import gone_lines
from attnbench.upkeep.outdated import warned_of
from attnbench.workflow import around_planning, before_jobs, refuse_prefix
from attnbench.analysis.tables import FRAMES
from attnbench.reporting.contents import (
    FIGURE_FORMATS,
    TABLE_FORMATS,
    figure_inputs,
    figure_names,
    table_names,
)

min_version("9.10")

# The graph of a large study is all live objects: the collector would pass over them again and again.
gc.set_threshold(100_000)

# As `module` of another workflow, the module's `config` is the study.
is_module = workflow.modifier.namespace is not None

# Without `--configfile` it is `config.yaml`; one that is named is never mixed with that. Not Snakemake's `configfile:`,
# which takes a key that stands there twice for its last, and runs code in some files.
files = list(map(Path, workflow.overwrite_configfiles)) or [Path("config.yaml")]

try:
    if is_module:
        study = check_study(config, f"config of module {workflow.modifier.namespace}")
        refuse_prefix(workflow.modifier, study.layout.output)
    else:
        content = {}
        for file in files:
            update_config(content, read_study(file))
        update_config(content, workflow.config_settings.config)
        # What Snakemake's own report says of the study.
        config.update(content)
        study = check_study(content, ", ".join(map(str, files)))
    refuse_output(study)
except StudyError as error:
    sys.exit(f"error: {error}")

layout = study.layout
# Jobs read the study by a name that has the hash of its text: they keep the study that they were started with, whatever
# is started after them.
text = study.to_yaml()
planned = layout.planned(sha256(text.encode()).hexdigest())
if workflow.is_main_process:
    # One file is the study that was named; a module, or several files, are what is written of them.
    named = [] if is_module else workflow.overwrite_configfiles or ["config.yaml"]
    named = quote(str(*named) if len(named) == 1 else str(layout.study))
    for line in [*gone_lines(study, named), *at_work_lines(study)]:
        print(f"warning: {line}", file=sys.stderr)

    around_planning(
        workflow,
        lambda: lock_output(study, WorkflowError),
        cache(lambda: warned_of(study, planned)),
    )
    if not is_module:
        # Where a job reads the Snakefile again, on another machine maybe, it finds that study.
        workflow.config_settings.configfiles = [planned.absolute()]
elif not is_module and len(workflow.overwrite_configfiles) == 1:
    planned = Path(workflow.overwrite_configfiles[0])


# Snakemake keeps no record of what depends on threads.
study_of_job = lambda wildcards, threads: str(planned)


any_run = Run("{dataset}", "{model}", "{fold}", "{seed}")
any_share = Run("{dataset}", "{model}", "{fold}", "{seed}{share}")
shift_tables = [layout.shift(kind) for kind in requested_kinds(study)]
inspected = [
    data.name for data in study.datasets if not load_entry(data.name, study.catalog).generated
]
decides = partial(rerun.decides_by, cache(partial(rerun.decides, study)))


wildcard_constraints:
    dataset="[a-z0-9_]+",
    # Predictions made elsewhere have a rule of their own, which leaves the same files.
    model="".join(rf"(?!{name}/)" for name in study.elsewhere) + "[a-z0-9_-]+",
    fold=r"\d+",
    seed=r"\d+",
    share=r"|-groups\d+",


if not is_module:

    report: "workflow/report/workflow.rst"


localrules:
    all,


rule all:
    input:
        layout.scores,
        # Made again where they were deleted; what takes long is named instead (`upkeep/gone.py`).
        [layout.run(run) / "scores.csv" for run in study.runs()],
        [layout.analysis / f"{name}.csv" for name in FRAMES],
        shift_tables,
        layout.methods,
        layout.report,
        expand(layout.tables / "{name}.{ext}", name=table_names(study), ext=TABLE_FORMATS),
        expand(layout.figures / "{name}.{ext}", name=figure_names(study), ext=FIGURE_FORMATS),
    message:
        f"{study.name}: every table and figure and the report are there"


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/shift.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/report.smk"


# Under Snakemake's lock and never in a dry run: jobs at work keep the study that they were started with.
if is_module:
    before_jobs(
        workflow,
        lambda: [
            look_for_room(study, workflow.resource_settings.cores, WorkflowError),
            begin(study, planned),
        ],
    )
else:

    onstart:
        look_for_room(study, workflow.resource_settings.cores, WorkflowError)
        begin(study, planned)

    onsuccess:
        if all(map(os.path.exists, rules.all.input)):
            log_of_provenance = layout.log("provenance")
            shell(
                "{sys.executable:q} -P -m snakemake --snakefile {workflow.main_snakefile:q} --configfile {planned:q} "
                "--workflow-profile none --cores 1 --nolock --report {layout.provenance:q} > {log_of_provenance:q} 2>&1"
                " || {{ cat {log_of_provenance:q}; exit 1; }}"
            )
            shell("attnbench show --study {planned:q}")

import gc
import os
import sys
from functools import cache, partial

from snakemake.utils import min_version

from attnbench import rerun
from attnbench.catalog import load_entry
from attnbench.check import check_study
from attnbench.errors import StudyError
from attnbench.files import write_text
from attnbench.shift.kinds import KINDS, requested_kinds
from attnbench.study.paths import Run
from attnbench.study.split import files_of
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

# Snakemake merges a `configfile` with the ones on the command line; a study is never a mixture of two.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


try:
    study = check_study(
        config, ", ".join(map(str, workflow.overwrite_configfiles)) or "config.yaml"
    )
except StudyError as error:
    sys.exit(f"error: {error}")

layout = study.layout
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


report: "workflow/report/workflow.rst"


localrules:
    all,


rule all:
    default_target: True
    input:
        layout.scores,
        shift_tables,
        layout.methods,
        layout.report,
        expand(layout.tables / "{name}.{ext}", name=table_names(study), ext=TABLE_FORMATS),
        expand(layout.figures / "{name}.{ext}", name=figure_names(study), ext=FIGURE_FORMATS),
    message:
        "{study.name}: every table and figure and the report are there"


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/shift.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/report.smk"


# Under Snakemake's lock and never in a dry run: jobs at work keep the study that they were started with.
onstart:
    if not layout.study.exists() or layout.study.read_text(encoding="utf-8") != study.to_yaml():
        write_text(layout.study, study.to_yaml())


onsuccess:
    if all(map(os.path.exists, rules.all.input)):
        log_of_provenance = layout.log("provenance")
        shell(
            "{sys.executable} -m snakemake --snakefile {workflow.main_snakefile:q} --configfile {layout.study:q} "
            "--workflow-profile none --cores 1 --nolock --report {layout.provenance:q} > {log_of_provenance:q} 2>&1"
            " || {{ cat {log_of_provenance:q}; exit 1; }}"
        )
        shell("attnbench show --study {layout.study:q}")

# Runs on external test sets, on corrupted images and on fewer groups: scores in tables of their own.


rule score_shift:
    input:
        model=layout.run(any_run) / "model.pt",
        facts=layout.run(any_run) / "run.json",
        datasets=lambda wildcards: [
            layout.prepared(dataset) / name
            for dataset in KINDS[wildcards.kind].reads(study, wildcards.dataset)
            for name in ("dataset.json", "cases.csv")
        ],
    output:
        layout.run(any_run) / "{kind}.csv",
    log:
        layout.log(f"score_shift/{{kind}}/{any_run}"),
    benchmark:
        layout.benchmark(f"score_shift/{{kind}}/{any_run}")
    wildcard_constraints:
        kind="|".join(name for name, kind in KINDS.items() if kind.module),
    conda:
        "../../envs/cpu.yaml"
    threads: study.compute.threads
    resources:
        **RUN_RESOURCES,
    params:
        study=study_of_job,
        run=rerun.options_of_run,
        decides=decides("score_shift", "dataset", "model", artefact="kind"),
    message:
        "score {wildcards.model} of {wildcards.dataset}, fold {wildcards.fold}, "
        "seed {wildcards.seed}: {wildcards.kind}"
    shell:
        "attnbench score-shift {wildcards.kind} --study {params.study:q} {params.run} --log {log:q}"


rule score_ensemble:
    input:
        members=lambda wildcards: [
            layout.run(run) / name
            for run in study.runs_of(wildcards.dataset, wildcards.model)
            for name in ("model.pt", "run.json")
        ],
        datasets=lambda wildcards: [
            layout.prepared(dataset) / name
            for dataset in KINDS["ensembles"].reads(study, wildcards.dataset)
            for name in ("dataset.json", "cases.csv")
        ],
    output:
        layout.ensemble("{dataset}", "{model}"),
    log:
        layout.log("score_ensemble/{dataset}/{model}"),
    benchmark:
        layout.benchmark("score_ensemble/{dataset}/{model}")
    conda:
        "../../envs/cpu.yaml"
    threads: study.compute.threads
    resources:
        **RUN_RESOURCES,
    params:
        study=study_of_job,
        decides=decides("score_ensemble", "dataset", "model"),
    message:
        "score the ensemble of {wildcards.model} of {wildcards.dataset} on external test sets"
    shell:
        "attnbench score-ensemble --study {params.study:q} --dataset {wildcards.dataset} --model {wildcards.model}"
        " --log {log:q}"


# Each file once: the runs of an ensemble have theirs together.
SHIFTED = {
    name: list(dict.fromkeys(file for run in kind.runs(study) for file in kind.files(layout, run)))
    for name, kind in KINDS.items()
}


rule gather_shift:
    input:
        scores=lambda wildcards: SHIFTED[wildcards.table],
    output:
        layout.shift("{table}"),
    log:
        layout.log("gather/{table}"),
    benchmark:
        layout.benchmark("gather/{table}")
    wildcard_constraints:
        table="|".join(SHIFTED),
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        study=study_of_job,
        decides=decides("gather_shift"),
    message:
        "gather the table {wildcards.table} of all runs"
    shell:
        "attnbench gather-shift {wildcards.table} --study {params.study:q} --log {log:q}"

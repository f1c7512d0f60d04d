# Models on other datasets, on corrupted images and on fewer groups: scores in tables of their own.


rule transfer:
    input:
        model=layout.run(any_run) / "model.pt",
        facts=layout.run(any_run) / "run.json",
        datasets=lambda wildcards: [
            layout.prepared(part.test) / name
            for part in study.transfers_of(wildcards.dataset)
            for name in ("dataset.json", "cases.csv")
        ],
    output:
        layout.run(any_run) / "transfer.csv",
    log:
        layout.log(f"transfer/{any_run}"),
    benchmark:
        layout.benchmark(f"transfer/{any_run}")
    conda:
        "../../envs/cpu.yaml"
    threads: study.compute.threads
    resources:
        **RUN_RESOURCES,
    params:
        study=layout.study,
        run=rerun.options_of_run,
        decides=decides("transfer", "dataset", "model"),
    message:
        "score {wildcards.model} of {wildcards.dataset}, fold {wildcards.fold}, seed {wildcards.seed} on other datasets"
    shell:
        "attnbench transfer --study {params.study:q} {params.run} --log {log:q}"


rule corrupt:
    input:
        model=layout.run(any_run) / "model.pt",
        facts=layout.run(any_run) / "run.json",
    output:
        layout.run(any_run) / "corrupted.csv",
    log:
        layout.log(f"corrupt/{any_run}"),
    benchmark:
        layout.benchmark(f"corrupt/{any_run}")
    conda:
        "../../envs/cpu.yaml"
    threads: study.compute.threads
    resources:
        **RUN_RESOURCES,
    params:
        study=layout.study,
        run=rerun.options_of_run,
        decides=decides("corrupt", "model"),
    message:
        "score {wildcards.model} of {wildcards.dataset}, fold {wildcards.fold}, seed {wildcards.seed} on corrupted images"
    shell:
        "attnbench corrupt --study {params.study:q} {params.run} --log {log:q}"


SHIFTED = {
    name: [layout.run(run) / file for run in kind.runs(study) for file in kind.files]
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
        study=layout.study,
        decides=decides("gather_shift"),
    message:
        "gather the table {wildcards.table} of all runs"
    shell:
        "attnbench gather-shift {wildcards.table} --study {params.study:q} --log {log:q}"

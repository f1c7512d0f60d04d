# Originals, case store and folds of each dataset.


# Studies may share the folder: a receipt that another has is not removed first. A download tries
# again by itself, as often as it helps: no `retries`.
rule fetch:
    input:
        catalog=lambda wildcards: rerun.catalog_files(study, wildcards.dataset),
    output:
        update(layout.raw("{dataset}") / "receipt.json"),
    log:
        layout.log("fetch/{dataset}"),
    benchmark:
        layout.benchmark("fetch/{dataset}")
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=240,
    params:
        study=study_of_job,
        decides=decides("fetch", "dataset"),
    message:
        "fetch {wildcards.dataset}"
    shell:
        "attnbench fetch --study {params.study:q} --dataset {wildcards.dataset} --log {log:q}"


# Generated images are no copies of each other: nothing is read to find that out.
rule inspect:
    input:
        receipt=rules.fetch.output,
        catalog=lambda wildcards: rerun.catalog_files(study, wildcards.dataset),
    output:
        multiext(
            f"{layout.inspected('{dataset}')}/",
            "pairs.csv",
            "findings.csv",
            "inspected.json",
            "pairs.png",
        ),
    log:
        layout.log("inspect/{dataset}"),
    benchmark:
        layout.benchmark("inspect/{dataset}")
    conda:
        "../../envs/cpu.yaml"
    threads: 4
    resources:
        mem_mb=study.compute.memory_mb,
        runtime=240,
    params:
        study=study_of_job,
        decides=decides("inspect", "dataset"),
    message:
        "look for copies and oddities in {wildcards.dataset}"
    shell:
        "attnbench inspect --study {params.study:q} --dataset {wildcards.dataset} --workers {threads} --log {log:q}"


rule prepare:
    input:
        receipt=rules.fetch.output,
        inspected=lambda wildcards: [
            layout.inspected(wildcards.dataset) / "pairs.csv"
            for dataset in inspected
            if dataset == wildcards.dataset
        ],
        catalog=lambda wildcards: rerun.catalog_files(study, wildcards.dataset),
    output:
        multiext(
            f"{layout.prepared('{dataset}')}/",
            "images.npy",
            "masks.npy",
            "cases.csv",
            "dataset.json",
        ),
    log:
        layout.log("prepare/{dataset}"),
    benchmark:
        layout.benchmark("prepare/{dataset}")
    conda:
        "../../envs/cpu.yaml"
    threads: 4
    resources:
        mem_mb=study.compute.memory_mb,
        runtime=240,
    params:
        study=study_of_job,
        decides=decides("prepare", "dataset"),
    message:
        "prepare {wildcards.dataset}"
    shell:
        "attnbench prepare --study {params.study:q} --dataset {wildcards.dataset} --workers {threads} --log {log:q}"


rule folds:
    input:
        dataset=layout.prepared("{dataset}") / "dataset.json",
        cases=layout.prepared("{dataset}") / "cases.csv",
        given=lambda wildcards: files_of(study.dataset(wildcards.dataset)),
    output:
        folds=layout.folds("{dataset}"),
        statistics=layout.statistics("{dataset}"),
    log:
        layout.log("folds/{dataset}"),
    benchmark:
        layout.benchmark("folds/{dataset}")
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        study=study_of_job,
        decides=decides("folds", "dataset"),
    message:
        "split {wildcards.dataset} into folds"
    shell:
        "attnbench folds --study {params.study:q} --dataset {wildcards.dataset} --log {log:q}"

# Scores in; means, effects, interactions with difficulty and cost out; then where models look in the cases it chose.

# Rules with long lists of inputs name these files and not `rules.analyse.output`: where an input is another rule's
# output, Snakemake hashes every such list once for each of its files.
ANALYSIS = expand(
    layout.analysis / "{name}.csv",
    name=FRAMES,
)


rule analyse:
    input:
        scores=layout.scores,
        shift=shift_tables,
        cases=[layout.prepared(data.name) / "cases.csv" for data in study.trained_datasets],
        inspected=[
            layout.inspected(dataset) / name
            for dataset in inspected
            for name in ("pairs.csv", "findings.csv", "inspected.json")
        ],
        second_raters=[
            layout.second_rater(data.name)
            for data in study.trained_datasets
            if load_entry(data.name, study.catalog).has_second_rater
        ],
        descriptions=[
            layout.model(data.name, model.name)
            for data in study.trained_datasets
            for model in study.trained_models
        ],
        measured=[
            layout.measured(data.name, model.name)
            for data in study.trained_datasets
            for model in study.trained_models
        ],
    output:
        ANALYSIS,
    log:
        layout.log("analyse"),
    benchmark:
        layout.benchmark("analyse")
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        study=study_of_job,
        decides=decides("analyse"),
    message:
        "analyse the scores"
    shell:
        "attnbench analyse --study {params.study:q} --log {log:q}"


rule attend:
    input:
        cases=layout.analysis / "cases.csv",
        models=lambda wildcards: [
            layout.run(Run(wildcards.dataset, wildcards.model, fold, study.seeds[0])) / "model.pt"
            for fold in study.folds_to_run(wildcards.dataset)
        ],
    output:
        maps=layout.attention("{dataset}", "{model}"),
        averages=layout.attention("{dataset}", "{model}").with_suffix(".csv"),
    log:
        layout.log("attend/{dataset}/{model}"),
    benchmark:
        layout.benchmark("attend/{dataset}/{model}")
    conda:
        "../../envs/cpu.yaml"
    threads: study.compute.threads
    resources:
        **RUN_RESOURCES,
    params:
        study=study_of_job,
        decides=decides("attend", "dataset", "model"),
    message:
        "attention maps of {wildcards.model} on {wildcards.dataset}"
    shell:
        "attnbench attend --study {params.study:q} --dataset {wildcards.dataset} --model {wildcards.model} --log {log:q}"

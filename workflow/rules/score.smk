# Predictions against references, run by run; then all scores in one table.


rule score:
    input:
        predictions=rules.predict.output,
        code=jobs.code("score"),
    output:
        layout.run(any_run) / "scores.csv",
    log:
        layout.log(f"score/{any_run}"),
    benchmark:
        layout.benchmark(f"score/{any_run}")
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        study=layout.study,
        decides=jobs.decides("score", study),
    message:
        "score {wildcards.model} on {wildcards.dataset}, fold {wildcards.fold}, seed {wildcards.seed}"
    shell:
        "attnbench score --study {params.study:q} --dataset {wildcards.dataset} --model {wildcards.model}"
        " --fold {wildcards.fold} --seed {wildcards.seed} --log {log:q}"


rule gather:
    input:
        scores=[layout.run(run) / "scores.csv" for run in study.runs()],
        code=jobs.code("gather"),
    output:
        layout.scores,
    log:
        layout.log("gather"),
    benchmark:
        layout.benchmark("gather")
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        study=layout.study,
    message:
        "gather the scores of all runs"
    shell:
        "attnbench gather --study {params.study:q} --log {log:q}"

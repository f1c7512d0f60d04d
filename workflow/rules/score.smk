# Predictions and second raters against references; then all scores in one table.


rule score:
    input:
        predictions=rules.predict.output,
    output:
        layout.run(any_share) / "scores.csv",
    log:
        layout.log(f"score/{any_share}"),
    benchmark:
        layout.benchmark(f"score/{any_share}")
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        study=study_of_job,
        run=rerun.options_of_run,
        decides=decides("score"),
    message:
        "score {wildcards.model} on {wildcards.dataset}, fold {wildcards.fold}, seed {wildcards.seed}{wildcards.share}"
    shell:
        "attnbench score --study {params.study:q} {params.run} --log {log:q}"


# Predictions made elsewhere: the files of a training, its predictions and its scores in one step.
rule score_external:
    input:
        folds=layout.folds("{dataset}"),
        # Their headers say where the voxels of a prediction have to lie.
        originals=lambda wildcards: (
            [layout.raw(wildcards.dataset) / "receipt.json"]
            if wildcards.dataset in inspected
            else []
        ),
    output:
        predictions=layout.run(any_run) / "predictions.npz",
        scores=layout.run(any_run) / "scores.csv",
        facts=layout.run(any_run) / "run.json",
    log:
        layout.log(f"score_external/{any_run}"),
    benchmark:
        layout.benchmark(f"score_external/{any_run}")
    wildcard_constraints:
        model="|".join(study.elsewhere) or "(?!)",
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        study=study_of_job,
        run=rerun.options_of_run,
        decides=decides("score_external", "dataset", "model", artefact="fold", seed="seed"),
    message:
        "score predictions made elsewhere: {wildcards.model} on {wildcards.dataset}, fold {wildcards.fold}, "
        "seed {wildcards.seed}"
    shell:
        "attnbench score-external --study {params.study:q} {params.run} --log {log:q}"


rule second_rater:
    input:
        dataset=layout.prepared("{dataset}") / "dataset.json",
        cases=layout.prepared("{dataset}") / "cases.csv",
    output:
        layout.second_rater("{dataset}"),
    log:
        layout.log("second_rater/{dataset}"),
    benchmark:
        layout.benchmark("second_rater/{dataset}")
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        study=study_of_job,
        decides=decides("score_second_rater"),
    message:
        "score the second rater of {wildcards.dataset}"
    shell:
        "attnbench score-second-rater --study {params.study:q} --dataset {wildcards.dataset} --log {log:q}"


rule gather:
    input:
        scores=[layout.run(run) / "scores.csv" for run in study.runs()],
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
        study=study_of_job,
        decides=decides("gather"),
    message:
        "gather the scores of all runs"
    shell:
        "attnbench gather --study {params.study:q} --log {log:q}"

# The networks: what each costs, and one job per training.

RUN_RESOURCES = {
    "gpu": int(rerun.uses_gpu(study)),
    "mem_mb": study.compute.memory_mb,
    "runtime": study.compute.minutes,
}


rule describe:
    input:
        dataset=layout.prepared("{dataset}") / "dataset.json",
    output:
        layout.model("{dataset}", "{model}"),
    log:
        layout.log("describe/{dataset}/{model}"),
    benchmark:
        layout.benchmark("describe/{dataset}/{model}")
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        study=study_of_job,
        decides=decides("describe", "dataset", "model"),
    message:
        "describe {wildcards.model} on {wildcards.dataset}"
    shell:
        "attnbench describe --study {params.study:q} --dataset {wildcards.dataset} --model {wildcards.model}"
        " --log {log:q}"


# Takes every core of a machine, so that nothing that runs beside it falsifies the times.
rule measure:
    input:
        dataset=layout.prepared("{dataset}") / "dataset.json",
    output:
        layout.measured("{dataset}", "{model}"),
    log:
        layout.log("measure/{dataset}/{model}"),
    benchmark:
        layout.benchmark("measure/{dataset}/{model}")
    conda:
        "../../envs/cpu.yaml"
    threads: workflow.resource_settings.cores or study.compute.threads
    resources:
        **RUN_RESOURCES,
    params:
        study=study_of_job,
        decides=decides("measure", "dataset", "model"),
    message:
        "measure {wildcards.model} on {wildcards.dataset}"
    shell:
        "attnbench measure --study {params.study:q} --dataset {wildcards.dataset} --model {wildcards.model}"
        " --log {log:q}"


# `exec`: the signal that asks for a stop reaches the training, which writes its checkpoint, and no shell
# that would end before it. No `retries`: what fails would fail again, and inside a job of a cluster
# a rule's own retries would begin anew in the minutes that are left (profiles/slurm has them).
# One value of a swept key on one fold, scored on its inner validation; no trial reads a test case.
rule trial:
    input:
        layout.folds("{dataset}"),
    output:
        layout.trial("{dataset}", "{model}", "{fold}", "{number}"),
    log:
        layout.log("trial/{dataset}/{model}/fold{fold}-{number}"),
    benchmark:
        layout.benchmark("trial/{dataset}/{model}/fold{fold}-{number}")
    wildcard_constraints:
        number=r"\d+",
    conda:
        "../../envs/cpu.yaml"
    threads: study.compute.threads
    resources:
        **RUN_RESOURCES,
    params:
        study=study_of_job,
        decides=decides("trial", "dataset", "model", artefact="number"),
    message:
        "try value {wildcards.number} of the sweep for {wildcards.model} on {wildcards.dataset}, fold {wildcards.fold}"
    shell:
        "exec attnbench trial --study {params.study:q} --dataset {wildcards.dataset} --model {wildcards.model}"
        " --fold {wildcards.fold} --number {wildcards.number} --log {log:q}"


rule choose:
    input:
        lambda wildcards: [
            layout.trial(wildcards.dataset, wildcards.model, wildcards.fold, number)
            for number in range(len(study.training.trials()))
        ],
    output:
        layout.choice("{dataset}", "{model}", "{fold}"),
    log:
        layout.log("choose/{dataset}/{model}/fold{fold}"),
    benchmark:
        layout.benchmark("choose/{dataset}/{model}/fold{fold}")
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        study=study_of_job,
        decides=decides("choose", "dataset", "model"),
    message:
        "choose the swept value of {wildcards.model} on {wildcards.dataset}, fold {wildcards.fold}"
    shell:
        "attnbench choose --study {params.study:q} --dataset {wildcards.dataset} --model {wildcards.model}"
        " --fold {wildcards.fold} --log {log:q}"


# The folds have the hash of the prepared data and change with them: one input for every run instead of three.
rule train:
    input:
        layout.folds("{dataset}"),
        lambda wildcards: (
            [layout.choice(wildcards.dataset, wildcards.model, wildcards.fold)]
            if study.training.sweep
            else []
        ),
    output:
        model=layout.run(any_share) / "model.pt",
        history=layout.run(any_share) / "history.csv",
        facts=layout.run(any_share) / "run.json",
    log:
        layout.run(any_share) / "train.log",
    benchmark:
        layout.benchmark(f"train/{any_share}")
    conda:
        "../../envs/cpu.yaml"
    threads: study.compute.threads
    resources:
        **RUN_RESOURCES,
    params:
        study=study_of_job,
        run=rerun.options_of_run,
        decides=decides("train", "dataset", "model"),
    message:
        "train {wildcards.model} on {wildcards.dataset}, fold {wildcards.fold}, seed {wildcards.seed}{wildcards.share}"
    shell:
        "exec attnbench train --study {params.study:q} {params.run} --log {log:q}"


rule predict:
    input:
        rules.train.output.model,
    output:
        predictions=layout.run(any_share) / "predictions.npz",
        calibration=layout.run(any_share) / "calibration.csv",
        gates=layout.run(any_share) / "gates.csv",
    log:
        layout.log(f"predict/{any_share}"),
    benchmark:
        layout.benchmark(f"predict/{any_share}")
    conda:
        "../../envs/cpu.yaml"
    threads: study.compute.threads
    resources:
        **RUN_RESOURCES,
    params:
        study=study_of_job,
        run=rerun.options_of_run,
        decides=decides("predict", "model"),
    message:
        "predict {wildcards.dataset} by {wildcards.model}, fold {wildcards.fold}, seed {wildcards.seed}{wildcards.share}"
    shell:
        "attnbench predict --study {params.study:q} {params.run} --log {log:q}"

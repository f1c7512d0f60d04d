# Scores in; means, effects, interactions with difficulty and cost out.


rule analyse:
    input:
        scores=layout.scores,
        histories=[layout.run(run) / "history.csv" for run in study.runs()],
        facts=[layout.run(run) / "run.json" for run in study.runs()],
        cases=[layout.prepared(data.name) / "cases.csv" for data in study.datasets],
        observers=[layout.observer(data.name) for data in study.datasets if load_entry(data.name).has_observer2],
        descriptions=[layout.model(data.name, model.name) for data in study.datasets for model in study.models],
        measured=[layout.measured(data.name, model.name) for data in study.datasets for model in study.models],
        code=jobs.code("analyse"),
    output:
        expand(
            layout.analysis / "{name}.csv",
            name=[
                "means",
                "effects",
                "cost",
                "across",
                "agreement",
                "best",
                "cases",
                "difficulty",
                "difficulty_strata",
                "human",
                "learning",
                "runs",
                "missing",
                "rank_pairs",
                "rank_tests",
                "ranks",
            ],
        ),
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
        study=layout.study,
        decides=jobs.decides("analyse", study),
    message:
        "analyse the scores"
    shell:
        "attnbench analyse --study {params.study:q} --log {log:q}"

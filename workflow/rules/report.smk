# Data frames in; tables, figures, exports and the report out. What the runs left behind is read too: it is always older
# than the scores, and as input of every figure it would be most of the files in the graph of a study.


rule tables:
    input:
        analysis=ANALYSIS,
        datasets=[layout.prepared(part.name) / "dataset.json" for part in study.datasets],
    output:
        *[
            report(
                layout.tables / f"{name}.csv",
                caption=f"../report/tables/{name}.rst",
                category="Tables",
                labels={"table": name},
            )
            for name in table_names(study)
        ],
        expand(
            layout.tables / "{name}.{ext}",
            name=table_names(study),
            ext=[ext for ext in TABLE_FORMATS if ext != "csv"],
        ),
    log:
        layout.log("tables"),
    benchmark:
        layout.benchmark("tables")
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        study=study_of_job,
        decides=decides("tables"),
    message:
        "write the tables"
    shell:
        "attnbench tables --study {params.study:q} --log {log:q}"


rule figure:
    input:
        lambda wildcards: figure_inputs(study, wildcards.name),
        scores=layout.scores,
    output:
        report(
            layout.figures / "{name}.png",
            caption="../report/figures.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
        expand(
            layout.figures / "{{name}}.{ext}", ext=[ext for ext in FIGURE_FORMATS if ext != "png"]
        ),
    log:
        layout.log("figure/{name}"),
    benchmark:
        layout.benchmark("figure/{name}")
    wildcard_constraints:
        name="[a-z0-9_]+",
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        study=study_of_job,
        decides=decides("figure", artefact="name"),
    message:
        "draw figure {wildcards.name}"
    shell:
        "attnbench figure {wildcards.name} --study {params.study:q} --log {log:q}"


rule export:
    input:
        analysis=ANALYSIS,
        scores=layout.scores,
        datasets=[layout.prepared(part.name) / "dataset.json" for part in study.datasets],
        descriptions=[
            layout.model(data.name, model.name)
            for data in study.trained_datasets
            for model in study.trained_models
        ],
    output:
        layout.parquet,
        report(
            layout.challenger,
            caption="../report/tables/challenger.rst",
            category="Tables",
            labels={"table": "challenger"},
        ),
        *[
            report(
                layout.claims_reloaded(data.name),
                caption="../report/tables/claims_reloaded.rst",
                category="Tables",
                labels={"table": f"claims_reloaded_{data.name}"},
            )
            for data in study.trained_datasets
        ],
        layout.methods,
        layout.references,
        [
            layout.card(data.name, model.name)
            for data in study.trained_datasets
            for model in study.trained_models
        ],
    log:
        layout.log("export"),
    benchmark:
        layout.benchmark("export")
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        study=study_of_job,
        decides=decides("export"),
    message:
        "export scores, methods, references and model cards"
    shell:
        "attnbench export --study {params.study:q} --log {log:q}"


rule report:
    input:
        analysis=ANALYSIS,
        figures=expand(
            layout.figures / "{name}.{ext}", name=figure_names(study), ext=["png", "pdf"]
        ),
        scores=layout.scores,
        # Not the predictions, though the page shows some: those that `attnbench clean` removed would be made again for
        # it. Runs that are predicted again are scored again, and the page follows.
        datasets=[layout.prepared(part.name) / "dataset.json" for part in study.datasets],
    output:
        layout.report,
    log:
        layout.log("report"),
    benchmark:
        layout.benchmark("report")
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        study=study_of_job,
        decides=decides("report"),
    message:
        "write the report"
    shell:
        "attnbench report --study {params.study:q} --log {log:q}"

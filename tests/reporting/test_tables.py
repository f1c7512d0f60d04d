"""Tables: the numbers of the analysis, readable and complete, in three formats."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.models.names import known_models
from attnbench.reporting.contents import TABLE_FORMATS, table_names
from attnbench.reporting.format import decimals, number
from attnbench.reporting.results import Results
from attnbench.reporting.tables import write_tables
from attnbench.reporting.tables.controls import tabulate_controls
from attnbench.reporting.tables.render import Block, pages, plain_row, to_md, to_tex
from attnbench.reporting.words import mechanism_label, model_label
from attnbench.study.names import CONTROLS
from attnbench.study.settings import Study, parse_study
from attnbench.study.shift import TransferSettings

ZOO = (
    "unet",
    *(f"mechanism_{k:02d}" for k in range(8)),
    *(f"mechanism_{k:02d}-random" for k in range(7)),
)
REAL = ("retina_drive", "retina_chase", "hippocampus", "us_usgra", "nuclei_dsb2018", "axon_sem")


def markdown_rows(path: Path) -> dict[str, list[list[str]]]:
    """Cells of a Markdown file's body rows, by the section they stand in."""
    sections: dict[str, list[list[str]]] = {}
    title = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            title = line[3:]
        if line.startswith("|"):
            sections.setdefault(title, []).append(
                [cell.strip().strip("*") for cell in line[1:-1].split(" | ")]
            )
    return {title: rows[2:] for title, rows in sections.items()}


def test_every_table_comes_in_every_format(write_study):
    study = write_study()
    write_tables(study)
    expected = {f"{name}.{ending}" for name in table_names(study) for ending in TABLE_FORMATS}
    assert {path.name for path in study.layout.tables.iterdir()} == expected


def test_comparison_shows_the_numbers_of_the_analysis(write_study):
    study = write_study()
    write_tables(study)
    means = pd.read_csv(study.layout.analysis / "means.csv").query("`class` == 'all'")
    effects = pd.read_csv(study.layout.analysis / "effects.csv").query("`class` == 'all'")
    sections = markdown_rows(study.layout.tables / "comparison.md")
    assert len(sections) == len(study.datasets)
    for part, rows in zip(study.datasets, sections.values(), strict=True):
        for model, cells in zip(study.models, rows, strict=True):
            assert cells[0] == model_label(model)
            for column, metric in ((1, "dice"), (4, "hd95_penalised")):
                where = (
                    f"dataset == '{part.name}' and model == '{model.name}' and metric == '{metric}'"
                )
                mean, effect = means.query(where).iloc[0], effects.query(where)
                digits = decimals(str(mean["unit"]))
                limits = f"[{number(mean['low'], digits)}, {number(mean['high'], digits)}]"
                assert cells[column].removesuffix("†") == f"{mean['mean']:.{digits}f} {limits}"
                if model.name == study.baseline:
                    assert cells[column + 1 : column + 3] == ["baseline", "–"]
                else:
                    shown = float(cells[column + 1].split(" [")[0].replace("−", "-"))
                    assert shown == pytest.approx(
                        effect["difference"].iloc[0], abs=0.5001 * 10**-digits
                    )
                assert cells[-2:] == [str(mean["cases"]), str(mean["groups"])]


def test_csv_keeps_every_digit(write_study):
    study = write_study()
    write_tables(study)
    keys = ["dataset", "class", "metric", "model"]
    for name, source, columns in (
        ("comparison", "means", ["mean", "low", "high", "cases", "groups"]),
        ("per_class", "means", ["mean", "low", "high", "undefined"]),
        ("effects", "effects", ["difference", "low", "high", "p", "p_holm", "better", "worse"]),
    ):
        table = pd.read_csv(study.layout.tables / f"{name}.csv", dtype={"class": "str"})
        analysed = pd.read_csv(study.layout.analysis / f"{source}.csv", dtype={"class": "str"})
        both = table.merge(analysed, on=keys, suffixes=("", "_analysed"))
        assert len(both) == len(table) > 0
        for column in columns:
            pd.testing.assert_series_equal(
                both[column], both[f"{column}_analysed"], check_names=False
            )


def test_best_and_significance_are_marked_from_the_analysis(write_study):
    study = write_study(datasets=["retina_drive"], cases=24)
    write_tables(study)
    table = pd.read_csv(study.layout.tables / "comparison.csv")
    means = table.pivot_table(index="model", columns="metric", values="mean")
    best = table[table["best"]].groupby("metric")["model"].agg(list)
    assert best["dice"] == [means["dice"].idxmax()]
    assert best["hd95_penalised"] == [means["hd95_penalised"].idxmin()]
    not_told_apart = pd.read_csv(study.layout.analysis / "best.csv").query(
        "`class` == 'all' and as_good == True"
    )
    cells = {
        row[0]: row
        for row in next(iter(markdown_rows(study.layout.tables / "comparison.md").values()))
    }
    for column, metric in ((1, "dice"), (4, "hd95_penalised")):
        as_good = set(not_told_apart.query("metric == @metric")["model"]) - {best[metric][0]}
        assert {
            model for model in means.index if cells[mechanism_label(model)][column].endswith("†")
        } == as_good
    variants = table[table["model"] != study.baseline]
    assert set(table.loc[table["model"] == study.baseline, "against_baseline"]) == {"baseline"}
    others = {"undecided", "undefined", "failures differ", "too few groups"}
    assert set(variants.loc[~(variants["p_holm"] <= 0.05), "against_baseline"]) <= others
    significant = variants[variants["p_holm"] <= 0.05]
    assert len(significant)
    gains = significant["difference"] * significant["metric"].map(
        {"hd": -1, "hd95": -1, "hd95_penalised": -1, "assd": -1}
    ).fillna(1)
    assert (
        significant["against_baseline"] == gains.map(lambda gain: "better" if gain > 0 else "worse")
    ).all()


def test_missing_runs_are_named_and_leave_dashes(write_study):
    failed = [
        ("phantom3d", "self_attention", 0),
        ("phantom3d", "self_attention", 1),
        ("retina_drive", "unet", 1),
    ]
    study = write_study(failed=failed)
    write_tables(study)
    text = (study.layout.tables / "comparison.md").read_text(encoding="utf-8")
    assert "Phantom 3-D: runs not finished and left out: Self-attention (4 of 4)" in text
    assert "Retina DRIVE: runs not finished and left out: U-Net (2 of 4)" in text
    rows = markdown_rows(study.layout.tables / "comparison.md")
    assert next(rows for title, rows in rows.items() if "3-D" in title)[2] == [
        "Self-attention",
        *"–" * 8,
    ]


def test_values_without_interval_say_why(write_study):
    study = write_study(datasets=["axon_sem"], models=["unet", "attention_gate"], cases=6)
    write_tables(study)
    means = pd.read_csv(study.layout.analysis / "means.csv")
    assert means["low"].isna().all() and means["groups"].max() == 3
    for name in ("comparison", "effects", "per_class"):
        assert "fewer than 5 groups" in (study.layout.tables / f"{name}.md").read_text(
            encoding="utf-8"
        )


def test_a_study_without_results_says_so(write_study):
    every = [("phantom2d", "unet", fold) for fold in (0, 1)]
    study = write_study(datasets=["phantom2d"], models=["unet"], failed=every, analysed=False)
    write_tables(study)
    assert "No run of this study has been scored" in (
        study.layout.tables / "comparison.md"
    ).read_text(encoding="utf-8")
    assert "baseline alone" in (study.layout.tables / "effects.md").read_text(encoding="utf-8")


def test_datasets_table_gives_licences_and_citations(write_study):
    study = write_study(datasets=["retina_drive", "axon_sem"], models=["unet"])
    write_tables(study)
    text = (study.layout.tables / "datasets.md").read_text(encoding="utf-8")
    assert "Staal" in text and "Zaimi" in text
    assert "CC BY 4.0" in text and "MIT" in text
    table = pd.read_csv(study.layout.tables / "datasets.csv")
    assert table["cases"].tolist() == [10, 10] and table["groups"].tolist() == [5, 5]


SPECIAL = st.text(st.sampled_from("abc _%&#$~^{}\\<>[]|*−µΔé"), max_size=30)


@given(SPECIAL)
def test_latex_text_has_no_bare_special_character(text):
    escaped = to_tex(text)
    commands = re.sub(
        r"\\[%&#$_{}]|\\text[a-z]+\{\}|\\allowbreak\{\}|\$[^$]*\$|\{[\[\]]\}", "", escaped
    )
    assert not re.search(r"[%&#$_~^{}\\<>\[\]]", commands)


@given(SPECIAL)
def test_markdown_cells_stay_one_cell(text):
    assert not re.search(r"(?<!\\)(?:\\\\)*\|", to_md(text))


@given(st.lists(st.integers(0, 90), min_size=1, max_size=8), st.integers(5, 50))
def test_pages_keep_every_row_in_order_and_fit(sizes, limit):
    blocks = tuple(
        Block(f"b{k}", tuple(plain_row(f"{k}", f"{row}") for row in range(size)))
        for k, size in enumerate(sizes)
    )
    laid = pages(blocks, limit)
    assert [row for page in laid for block in page for row in block.rows] == [
        row for b in blocks for row in b.rows
    ]
    assert all(sum(len(block.rows) + 1 for block in page) <= limit for page in laid)


def test_latex_environments_are_balanced(write_study):
    study = write_study(datasets=["retina_drive"])
    write_tables(study)
    for name in table_names(study):
        text = (study.layout.tables / f"{name}.tex").read_text(encoding="utf-8")
        opened = re.findall(r"\\begin\{([a-z*]+)\}", text)
        assert sorted(opened) == sorted(re.findall(r"\\end\{([a-z*]+)\}", text))
        assert "table*" in opened
        plain = re.sub(r"\\[{}]", "", text)
        assert plain.count("{") == plain.count("}")


def with_shift(study: Study) -> Study:
    """The study asking for shift, its analysis of that made up from the means; the last model is
    better.
    """
    names, pair = (
        ("noise", "blur", "contrast", "bias_field", "resolution", "ghosting"),
        study.datasets[:2],
    )
    transfers = (TransferSettings(train=pair[0].name, test=pair[-1].name, ensemble=True),)
    asked = study.model_copy(
        update={"corruptions": names, "data_efficiency": (10, 25, 50), "transfer": transfers}
    )
    means = pd.read_csv(study.layout.analysis / "means.csv", dtype={"class": "str"})
    last = means["model"] == study.models[-1].name
    sign = np.where(means["metric"].isin(["hd", "hd95", "hd95_penalised", "assd"]), -1, 1)
    means = means.assign(
        baseline=study.baseline,
        difference=np.where(last, 0.1234, -0.0001),
        difference_low=-0.2,
        difference_high=0.2,
        p=0.5,
        p_holm=np.where(last, 0.01, 0.9),
        benefit=sign * np.where(last, 0.1234, -0.0001),
        significant=last,
        verdict=np.where(last, np.where(sign > 0, "better", "worse"), "undecided"),
        retrained_low=-0.3,
        retrained_high=0.3,
        p_retrained=0.5,
        p_retrained_holm=0.9,
        verdict_retrained="undecided",
        failures=0,
        training_groups=4,
    )
    there = means[means["dataset"] == pair[-1].name].assign(train=pair[0].name, test=pair[-1].name)
    slopes = means.assign(slope=-means["mean"]).drop(columns="mean")
    frames = {
        "transfer": there,
        "ensembles": there.assign(
            single=there["mean"] - 0.0321,
            gain=0.0321,
            gain_low=0.01,
            gain_high=0.05,
            failures_differ=there["metric"] != "dice",
            members=10,
        ),
        "corruption_slopes": pd.concat([slopes.assign(corruption=kind) for kind in names]),
        "data_efficiency": pd.concat([means.assign(percent=share) for share in (10, 25, 50, 100)]),
    }
    for name, frame in frames.items():
        frame.to_csv(study.layout.analysis / f"{name}.csv", index=False)
    return asked


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX installed")
def test_latex_compiles_without_overflow_at_16_models_and_6_datasets(write_study, tmp_path):
    study = with_shift(
        write_study(
            datasets=REAL, models=ZOO, cases=10, seeds=(0,), metrics=("dice", "hd95", "ece")
        )
    )
    write_tables(study)
    assert {"controls", "transfer", "ensembles", "corruption", "data_efficiency"} <= set(
        table_names(study)
    )
    inputs = "\n".join(
        rf"\input{{{(study.layout.tables / name).as_posix()}.tex}}" for name in table_names(study)
    )
    document = tmp_path / "paper.tex"
    document.write_text(
        "\\documentclass[twocolumn]{article}\n\\usepackage{array,booktabs,graphicx}\n\\begin{document}\n"
        f"{inputs}\nText.\n\\end{{document}}\n",
        encoding="utf-8",
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", document.name]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Overfull \\hbox" not in done.stdout
    assert "Float too large" not in done.stdout


def test_controls_are_compared_with_their_variants(write_study):
    models = ["unet", "attention_gate", "attention_gate-random", "attention_gate-parameters"]
    study = write_study(datasets=["retina_drive"], models=models, cases=24)
    write_tables(study)
    effects = pd.read_csv(study.layout.analysis / "effects.csv")
    pairs = effects[effects["baseline"].str.startswith("attention_gate-")]
    table = pd.read_csv(study.layout.tables / "controls.csv")
    assert len(table) == len(pairs) > 0
    rows = next(iter(markdown_rows(study.layout.tables / "controls.md").values()))
    shown = pairs.query("`class` == 'all' and metric == 'dice'").set_index("baseline")
    assert [row[:2] for row in rows] == [
        ["Attention gate", "random"],
        ["Attention gate", "parameters"],
    ]
    for _, control, difference, *_, cases, groups in rows:
        effect = shown.loc[f"attention_gate-{control}"]
        assert float(difference.split(" [")[0].replace("−", "-")) == pytest.approx(
            effect["difference"], abs=5.001e-4
        )
        assert [cases, groups] == [str(effect["cases"]), str(effect["groups"])]


def test_a_study_without_controls_or_shift_has_no_such_tables(write_study):
    names = set(table_names(write_study(datasets=["phantom2d"], analysed=False)))
    assert not names & {"controls", "transfer", "ensembles", "corruption", "data_efficiency"}


def test_tables_of_shift_show_scores_and_mark_differences(write_study):
    study = with_shift(write_study(datasets=["retina_drive", "phantom3d"]))
    write_tables(study)
    for name, sign, columns in (("corruption", "−", 6), ("data_efficiency", "", 4)):
        sections = markdown_rows(study.layout.tables / f"{name}.md")
        assert len(sections) == 4
        dice, hd95 = (sections[title] for title in sections if "DRIVE" in title)
        means = pd.read_csv(study.layout.analysis / "means.csv").query(
            "dataset == 'retina_drive' and `class` == 'all'"
        )
        for metric, rows, better in (("dice", dice, "⁺"), ("hd95", hd95, "⁻")):
            digits = {"dice": 3, "hd95": 2}[metric]
            for model, row in zip(study.models, rows, strict=True):
                mean = means.query("metric == @metric and model == @model.name")["mean"].iloc[0]
                assert len(row) == 1 + columns
                assert all(cell.startswith(f"{sign}{mean:.{digits}f} [") for cell in row[1:])
                assert all(cell.endswith(better) == (model is study.models[-1]) for cell in row[1:])
    (rows,) = markdown_rows(study.layout.tables / "transfer.md").values()
    assert rows[0][2:4] == ["baseline", "–"]
    assert rows[-1][2:4] == ["+0.123 [−0.200, +0.200]", "0.010⁺"] or rows[-1][3] == "0.010⁺"


def test_ensembles_show_their_gain_and_say_that_they_are_one_training_event(write_study):
    study = with_shift(write_study(datasets=["retina_drive", "phantom3d"]))
    write_tables(study)
    path = study.layout.tables / "ensembles.md"
    (rows,) = markdown_rows(path).values()
    assert {row[2] for row in rows} == {"+0.032 [0.010, 0.050]"}
    assert rows[0][3] == "baseline" and rows[-1][3] == "+0.123 [−0.200, 0.200]"
    assert rows[-1][6] == "failures differ"
    text = path.read_text(encoding="utf-8")
    for said in ("of 10 trainings", "not about models trained again", "Exploratory"):
        assert said in text
    assert "⁺" not in text, "nothing is tested"
    shown = pd.read_csv(study.layout.tables / "ensembles.csv")
    assert {"single", "gain", "members", "groups"} <= set(shown)
    (study.layout.analysis / "ensembles.csv").unlink()
    write_tables(study)
    assert "Nothing of this has been scored yet" in path.read_text(encoding="utf-8")
    plain = study.transfer[0].model_copy(update={"ensemble": False})
    assert "ensembles" not in table_names(study.model_copy(update={"transfer": (plain,)}))


def test_shift_that_was_not_scored_says_so(write_study):
    study = with_shift(write_study(datasets=["retina_drive", "phantom3d"]))
    for name in ("transfer", "corruption_slopes", "data_efficiency"):
        (study.layout.analysis / f"{name}.csv").unlink()
    write_tables(study)
    for name in ("transfer", "corruption", "data_efficiency"):
        assert "Nothing of this has been scored yet" in (
            study.layout.tables / f"{name}.md"
        ).read_text(encoding="utf-8")


def test_what_was_measured_stands_in_the_table_of_costs(write_study):
    study = write_study(datasets=["phantom2d"])
    path = study.layout.analysis / "cost.csv"
    cost = pd.read_csv(path)
    cost.assign(latency_seconds=0.0123, inference_images_per_second=456.7, energy_j=2500.0).to_csv(
        path, index=False
    )
    write_tables(study)
    (rows,) = markdown_rows(study.layout.tables / "cost.md").values()
    assert {tuple(row[3:5]) for row in rows} == {("12.3", "456.7")}
    assert {row[-1] for row in rows} == {"2.5"}


def test_marks_are_doubled_only_where_retrained_models_say_the_same(write_study):
    study = write_study(datasets=["retina_drive"], cases=24)
    path = study.layout.analysis / "effects.csv"
    analysed = pd.read_csv(path, dtype={"class": "str"})
    assert set(analysed["verdict_retrained"]) <= {"too few trainings", "failures differ"}
    whole = (analysed["class"] == "all") & (analysed["metric"] == "dice")
    assert (analysed.loc[whole, "verdict"] == "better").all()
    analysed.loc[whole, "verdict_retrained"] = ["better", "undecided"]
    analysed.to_csv(path, index=False)
    write_tables(study)
    _, first, second = next(iter(markdown_rows(study.layout.tables / "comparison.md").values()))
    assert first[3].endswith("⁺⁺")
    assert second[3].endswith("⁺") and not second[3].endswith("⁺⁺")
    text = (study.layout.tables / "comparison.md").read_text(encoding="utf-8")
    assert "also when the models are trained again" in text


def test_every_control_says_what_it_rules_out(write_study):
    study = write_study(datasets=["retina_drive"], models=["unet", "self_attention"])
    names = [f"self_attention-{control}" for control in CONTROLS]
    models = [{"name": name, "slots": {}} for name in ("unet", "self_attention", *names)]
    asked = parse_study(study.model_dump(mode="json") | {"models": models}, known_models())
    notes = " ".join(tabulate_controls(Results(asked)).notes)
    assert [control for control in CONTROLS if f"{control.capitalize()}: " not in notes] == []


def test_gates_show_the_runs_of_every_place_and_list_them_fold_by_fold(write_study):
    models = ["unet", "attention_gate", "self_attention", "self_attention-gamma0"]
    study = write_study(["retina_drive"], models, failed=[("retina_drive", "attention_gate", 1)])
    write_tables(study)
    (rows,) = markdown_rows(study.layout.tables / "gates.md").values()
    shown = {(row[0], row[1]): row for row in rows}
    assert {model for model, _ in shown} == {
        "Attention gate", "Self-attention", "Self-attention (gamma0)"
    }  # fmt: skip
    # Both seeds of the first fold, as `_gate_rows` makes them: the second was not trained.
    gate, attention = shown["Attention gate", "skip 1"], shown["Self-attention", "decoder 1"]
    assert (gate[2], gate[3], gate[-1]) == ("hardly opened", "0.4 [0.4, 0.4]", "2")
    assert (attention[2], attention[3]) == (
        "hardly opened in 2, open in 2 of 4", "20.2 [0.4, 40.0]"
    )  # fmt: skip
    every = pd.read_csv(study.layout.tables / "gates.csv")
    assert every.groupby("model", sort=False).size().tolist() == [2 * 2, 4 * 2, 4 * 2]
    assert (every["reading"] == "open").equals(every["fold"] == 1)


def test_a_study_of_plain_networks_has_no_table_of_gates(write_study):
    study = write_study(["retina_drive"], ["unet"])
    assert "gates" not in table_names(study)

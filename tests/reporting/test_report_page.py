"""The report: one file, whole without a network, with the numbers of the analysis and words for
what is missing.
"""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageChops

from attnbench.data.store import CaseStore
from attnbench.reporting.contents import figure_names
from attnbench.reporting.figures import draw_figure
from attnbench.reporting.format import interval, number
from attnbench.reporting.page import collect_contents, write_report
from attnbench.reporting.page.answer import answer_study
from attnbench.reporting.page.case_browser import browse_cases
from attnbench.reporting.page.embed import tinted
from attnbench.reporting.results import Results
from attnbench.reporting.words import dataset_label, mechanism_label
from attnbench.study.settings import parse_study
from sealing import seal_study

VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """Tags with their attributes, text, and tables as rows of cells; closing tags must match."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), (tag, attrs)
        self.tags.append((tag, attributes))
        if tag == "table":
            self.tables[str(attributes["id"])] = []
        if tag == "tr":
            self._rows().append([])
        if tag in ("td", "th"):
            self._rows()[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)
        if {"td", "th"} & set(self.open):
            self._rows()[-1][-1] += data

    def _rows(self):
        return list(self.tables.values())[-1]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, attribute: str) -> list[str]:
        return [str(found[attribute]) for _, found in self.tags if found.get(attribute)]


@pytest.fixture
def page(write_study):
    def write(*drawn: str, **settings):
        study = write_study(**settings)
        for name in drawn or ():
            draw_figure(study, name)
        write_report(study)
        return study, Page(study.layout.report.read_text(encoding="utf-8"))

    return write


def test_numbers_in_the_page_are_those_of_the_analysis(page):
    study, found = page(cases=12)
    means = pd.read_csv(study.layout.analysis / "means.csv").query(
        "`class` == 'all' and metric == 'dice'"
    )
    rows = {(row[0].split(" (")[0], row[1]): row for row in found.tables["rows-comparison"][1:]}
    assert len(rows) == len(means) == 6
    for row in means.to_dict("records"):
        cells = rows[dataset_label(row["dataset"]), mechanism_label(row["model"])]
        assert cells[2].rstrip("†") == f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    effects = pd.read_csv(study.layout.analysis / "effects.csv").query(
        "`class` == 'all' and metric == 'dice'"
    )
    rows = {
        (row[0].split(":")[0], row[1]): row
        for row in found.tables["rows-effects"][1:]
        if "Dice" in row[0]
    }
    assert len(rows) == len(effects) == 4
    for row in effects.to_dict("records"):
        cells = rows[dataset_label(row["dataset"]), mechanism_label(row["model"])]
        assert cells[2] == interval(row["difference"], row["low"], row["high"], 3, sign=True)
        if row["verdict"] == "too few groups":
            assert cells[4] == row["verdict"]
        else:
            assert float(cells[4].rstrip("⁺⁻").replace("<", "")) == pytest.approx(
                row["p_holm"], abs=0.00051
            )
        assert cells[-2:] == [str(row["cases"]), str(row["groups"])]
    slopes = pd.read_csv(study.layout.analysis / "difficulty.csv").query("metric == 'dice'")
    shown = [row[3].split(" [")[0] for row in found.tables["rows-slopes"][1:]]
    assert sorted(shown) == sorted(number(slope, 4, sign=True) for slope in slopes["slope"])


def answered(study, **columns):
    """The page's answer after columns of `answer.csv` were set, one value per row."""
    path = study.layout.analysis / "answer.csv"
    frame = pd.read_csv(path, keep_default_na=False, na_values={"p_all_holm": [""]})
    frame.assign(**columns).to_csv(path, index=False)
    return answer_study(Results(study))


def test_the_answer_keeps_its_claims_apart(write_study):
    study = write_study(datasets=["retina_drive"], cases=24)
    frame = pd.read_csv(study.layout.analysis / "answer.csv")
    assert frame["verdict_trained"].eq("better").all()
    assert frame["verdict"].eq("too few trainings").all()
    said = answer_study(Results(study))
    assert said.verdict == "Cannot be told with 4 trainings in 2 folds"
    assert (
        "2 comparisons with U-Net (2 models on 1 dataset) came out 2 better, 0 worse"
        in said.trained
    )
    best = frame.sort_values("difference").iloc[-1]
    ends = best["simultaneous_low"], best["simultaneous_high"]
    assert interval(best["difference"], *ends, 3, sign=True) in said.trained
    smallest = frame["minimum_effect_retrained"].min()
    assert f"only differences above {smallest:.3f}" in said.retrained
    assert "No claim about a mechanism" in said.retrained and said.size == ""
    bigger = answered(study, verdict=["undecided", "not separated from size"])
    assert bigger.verdict == "Better in 1 of 2 comparisons, but not separated from size"
    assert "1 of 2 also hold for models trained again" in bigger.retrained
    again = frame.iloc[1]
    ends = interval(
        again["difference"], again["retrained_low"], again["retrained_high"], 3, sign=True
    )
    assert ends in bigger.retrained
    assert "for want of a control of equal parameters and flops" in bigger.size
    assert "Attention gate" not in bigger.size


def test_the_answer_is_yes_only_beside_controls_of_equal_size(write_study):
    controls = ["attention_gate-parameters", "attention_gate-flops"]
    models = ["unet", "attention_gate", *controls]
    study = write_study(datasets=["retina_drive"], models=models, cases=20, outer=5)
    frame = pd.read_csv(study.layout.analysis / "answer.csv")
    assert frame["model"].tolist() == ["attention_gate"]
    # Models of the fixture get better down the list: the controls beat their variant.
    assert frame["weakest_benefit"].lt(0).all() and frame["verdict"].ne("helps").all()
    said = answered(study, verdict="not separated from size")
    assert "is not shown to be a gain" in said.size and "Attention gate (" in said.size
    said = answered(study, verdict="helps", weakest_benefit=0.021)
    assert said.verdict == "Yes, in 1 of 1 comparison"
    assert "also better than each control of equal size (weakest: +0.021" in said.size
    alone = write_study(datasets=["retina_drive"], models=["unet", "attention_gate-parameters"])
    assert answer_study(Results(alone)).verdict == "No answer yet"
    assert "and controls alone" in answer_study(Results(alone)).trained


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (["worse", "undecided"], "No: worse in 1 of 2 comparisons, better in none"),
        (["helps", "worse"], "Yes, in 1 of 2 comparisons; worse in 1"),
        (["equivalent", "undecided"], "No difference that matters in 1 of 2 comparisons"),
        (["undecided", "too few trainings"], "Not shown in any of 2 comparisons"),
        (["too few groups", "too few groups"], "Cannot be told with 12 groups"),
    ],
)
def test_the_answer_says_no_more_than_its_verdicts(write_study, verdicts, said):
    study = write_study(datasets=["retina_drive"], cases=24)
    assert answered(study, verdict=verdicts).verdict.startswith(said)


def inside(address: str) -> bytes:
    return base64.b64decode(address.partition(",")[2])


def test_figures_and_their_pdfs_are_inside(page):
    study, found = page("effects", "ranks", cases=12)
    drawn = [study.layout.figures / name for name in ("effects", "ranks")]
    files = {
        inside(value) for value in found.values("href") if value.startswith("data:application/pdf;")
    }
    assert files == {path.with_suffix(".pdf").read_bytes() for path in drawn}
    shown = [attributes for tag, attributes in found.tags if tag == "img" and attributes.get("src")]
    assert all(len(str(picture["alt"])) > 20 for picture in shown)
    for picture, path in zip(shown, drawn, strict=True):
        with (
            Image.open(io.BytesIO(inside(str(picture["src"])))) as seen,
            Image.open(path.with_suffix(".png")) as whole,
        ):
            assert (
                ImageChops.difference(seen.convert("RGB"), whole.convert("RGB")).getbbox() is None
            )


def test_a_large_pdf_is_linked_beside_the_page(write_study):
    study = write_study(datasets=["phantom2d"], cases=6)
    draw_figure(study, "effects")
    pdf = study.layout.figures / "effects.pdf"
    pdf.write_bytes(pdf.read_bytes() + b"\n" * 2_000_000)
    write_report(study)
    found = Page(study.layout.report.read_text(encoding="utf-8"))
    (address,) = (value for value in found.values("href") if value.endswith(".pdf"))
    assert (study.layout.report.parent / address).read_bytes() == pdf.read_bytes()


def test_every_figure_of_a_study_has_a_place_and_words(page):
    study, found = page(datasets=["phantom2d", "phantom3d"], cases=4)
    assert {f"figure-{name}" for name in figure_names(study)} <= set(found.values("id"))
    shift = {
        "corruptions": ["noise"],
        "data_efficiency": [25],
        "transfer": [{"train": "phantom2d", "test": "phantom3d"}],
    }
    asked = parse_study(study.model_dump(mode="json") | shift)
    assert {"corruption", "transfer", "data_efficiency"} <= set(figure_names(asked))
    contents = list(collect_contents(Results(asked)))
    shown = [picture.name for content in contents for picture in content.figures]
    assert sorted(shown) == sorted(figure_names(asked))


def test_the_reader_can_choose_among_cases(write_study):
    """The pictures of the case browser, against store and predictions: which pixels have which
    class.
    """
    study = write_study(datasets=["phantom3d"], cases=8)
    shown = browse_cases(Results(study), 10_000_000)
    (dataset,) = shown["datasets"]
    store = CaseStore.open(study.layout.prepared("phantom3d"))
    assert dataset["total"] == 8 and {case["case"] for case in dataset["cases"]} == set(
        store.cases["case"]
    )
    scores = pd.read_csv(study.layout.scores, dtype={"case": str}).query(
        "metric == 'dice' and seed == 0"
    )
    means = scores.groupby(["case", "model"])["value"].mean()
    for case in dataset["cases"]:
        wanted = [means[case["case"], part.name] for part in study.models]
        assert [float(score) for score in case["scores"]] == pytest.approx(wanted, abs=5.1e-4)
        assert case["gains"] == pytest.approx([value - wanted[0] for value in wanted], abs=1e-4)
    case = dataset["cases"][0]
    i = store.index(case["case"])
    area = (store.reference(i) > 0).sum(axis=(0, 1))
    assert area[case["slice"] - 1] == area.max()
    run = next(
        run
        for run in study.runs()
        if run.model == "self_attention" and covers(study, run, case["case"])
    )
    prediction = np.load(study.layout.run(run) / "predictions.npz")[case["case"]]
    for address, mask in ((case["reference"], store.reference(i)), (case["masks"][2], prediction)):
        with Image.open(io.BytesIO(inside(address))) as opened:
            assert opened.size == (case["width"], case["height"])
            alpha = np.asarray(opened.convert("RGBA"))[..., 3] > 0
        flat = mask[..., case["slice"] - 1].T[::-1] > 0
        rows, columns = (
            ((np.arange(to) + 0.5) * n / to).astype(int)
            for to, n in zip(alpha.shape, flat.shape, strict=True)
        )
        assert (alpha == flat[np.ix_(rows, columns)]).mean() > 0.99


def covers(study, run, case):
    with np.load(study.layout.run(run) / "predictions.npz") as predictions:
        return run.seed == 0 and case in predictions.files


def test_the_case_browser_keeps_to_its_room_and_to_the_cases_chosen_by_rule(write_study):
    study = write_study(datasets=["retina_drive", "phantom3d"], cases=10)
    whole = browse_cases(Results(study), 10_000_000)
    room = len(json.dumps(whole)) // 2
    small = browse_cases(Results(study), room)
    assert len(json.dumps(small)) < room * 1.1
    for dataset, all_of_it in zip(small["datasets"], whole["datasets"], strict=True):
        assert 0 < len(dataset["cases"]) < len(all_of_it["cases"]) == dataset["total"] == 10
        assert dataset["cases"] == all_of_it["cases"][: len(dataset["cases"])]
    least = browse_cases(Results(study), 0)["datasets"]
    for name, dataset in zip(("retina_drive", "phantom3d"), least, strict=True):
        assert [case["case"] for case in dataset["cases"]] == [
            choice.case for choice in Results(study).chosen_cases(name)
        ]


def test_a_case_without_a_prediction_says_so(write_study):
    study = write_study(
        datasets=["phantom2d"], failed=[("phantom2d", "self_attention", 0)], cases=8
    )
    (dataset,) = browse_cases(Results(study), 10_000_000)["datasets"]
    lacking = [case for case in dataset["cases"] if case["masks"][2] is None]
    assert len(lacking) == 4
    assert all(
        case["gains"][2] is None and case["scores"][2] == "–" and case["masks"][1]
        for case in lacking
    )


def test_nothing_is_asked_of_a_network(page):
    study, found = page("effects", cases=6)
    assert all(
        value.startswith(("data:", "#")) for value in [*found.values("src"), *found.values("href")]
    )
    assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in found.tags}
    source = study.layout.report.read_text(encoding="utf-8")
    for block in re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", source, re.DOTALL):
        assert not re.search(r"https?:|url\(|@import|fetch|XMLHttpRequest|import\(", block)
    policy = next(value for value in found.values("content") if "default-src" in value)
    assert policy.startswith("default-src 'none'")


def test_every_anchor_label_and_name_resolves_once(page):
    _, found = page("effects", cases=6)
    names = found.values("id")
    assert len(names) == len(set(names))
    wanted = [value[1:] for value in found.values("href") if value.startswith("#")]
    wanted += [word for value in found.values("aria-labelledby") for word in value.split()]
    wanted += found.values("data-filter")
    assert set(wanted) <= set(names) and len(wanted) > 15
    assert [tag for tag, _ in found.tags if tag == "h1"] == ["h1"]
    buttons = [tag for tag, _ in found.tags if tag in ("button", "th")]
    assert buttons.count("button") > buttons.count("th") > 10


def test_figures_that_were_not_drawn_are_named(page):
    study, found = page("effects", datasets=["phantom2d"], cases=6)
    for name in figure_names(study):
        assert (f"attnbench figure {name}" in found.text) == (name != "effects")


def test_missing_runs_are_said_on_the_first_screen(page):
    failed = [("phantom3d", "self_attention", fold) for fold in (0, 1)]
    study, found = page(failed=failed, cases=6)
    first = found.text.split("Figure “effects”")[0]
    assert "Phantom 3-D: runs not finished and left out: Self-attention (4 of 4)" in first
    trained = len(list(study.layout.output.glob("runs/*/*/*/run.json")))
    assert f"{trained} of 24 runs have been trained" in found.text


@pytest.mark.parametrize("analysed", [True, False])
def test_one_model_on_one_dataset_is_said(page, analysed):
    _, found = page(datasets=["phantom2d"], models=["unet"], cases=4, analysed=analysed, seeds=(0,))
    assert "No comparison: the study has U-Net alone." in found.text
    assert "No slope yet" in found.text
    assert ("No run of this study has been scored and analysed yet." in found.text) is not analysed


def test_text_from_outside_cannot_become_markup(write_study):
    study = write_study(datasets=["phantom2d"], models=["unet"], cases=4)
    path = study.layout.run(next(study.runs())) / "run.json"
    path.write_text(path.read_text().replace('"cpu"', '"<script>alert(1)</script>"'))
    seal_study(study)
    write_report(study)
    source = study.layout.report.read_text(encoding="utf-8")
    assert source.count("<script>") == 1 and "&lt;script&gt;alert(1)" in source


def test_the_script_is_small(page):
    study, _ = page(datasets=["phantom2d"], models=["unet"], cases=4)
    script = (
        study.layout.report.read_text(encoding="utf-8").split("<script>")[1].split("</script>")[0]
    )
    assert len(script.strip().splitlines()) < 150


def test_thin_vessels_stay_whole_where_a_mask_shrinks():
    mask = np.zeros((90, 120), np.uint8)
    mask[:, 31:33] = 1
    mask[50:, 60:] = 2
    with Image.open(
        io.BytesIO(inside(tinted(mask, (60, 45), {1: "#ff0000", 2: "#0000ff"})))
    ) as opened:
        shown = np.asarray(opened.convert("RGBA"))
    red, blue = ((shown[..., 3] > 0) & (shown[..., channel] == 255) for channel in (0, 2))
    assert red.any(axis=1).all() and red.sum() <= 2 * 45
    assert blue.sum() == 30 * 20 and not (red & blue).any()

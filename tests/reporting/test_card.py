"""Model cards: what Hugging Face reads of them, their numbers, and what they say of licences."""

import re

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from attnbench.analysis.tables import TEXTS
from attnbench.catalog import catalog_names, load_entry
from attnbench.errors import StudyError
from attnbench.files import read_json, write_json
from attnbench.models.describe import describe_model
from attnbench.reporting.exports.card import Shared, compose_card
from attnbench.reporting.exports.front_matter import front_matter
from attnbench.reporting.exports.licences import meaning_for_weights
from attnbench.reporting.results import Results
from sealing import seal_study


def card_of(study, dataset: str, model: str) -> str:
    return compose_card(Shared.of(Results(study)), dataset, model)


def head_of(card: str) -> dict:
    opening, head, _ = card.split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(head)


def means_of(study, dataset: str, model: str) -> pd.DataFrame:
    frame = pd.read_csv(study.layout.analysis / "means.csv", dtype=dict.fromkeys(TEXTS, "str"))
    return frame[(frame["dataset"] == dataset) & (frame["model"] == model)]


@pytest.fixture
def study(write_study):
    return write_study(
        datasets=("retina_drive", "phantom3d"), models=("unet", "cbam", "cbam-random"), cases=12
    )


def test_head_has_the_fields_of_hugging_face_and_every_mean(study):
    head = head_of(card_of(study, "retina_drive", "cbam"))
    assert head["license"] == "cc-by-4.0"
    assert (head["library_name"], head["pipeline_tag"]) == ("attnbench", "image-segmentation")
    assert head["datasets"] == ["retina_drive"] and {"cbam", "colour-fundus"} <= {*head["tags"]}
    assert head["metrics"] == list(study.metrics)
    (index,) = head["model-index"]
    (result,) = index["results"]
    means = means_of(study, "retina_drive", "cbam").query("`class` == 'all'")
    expected = means.set_index("metric")["mean"].dropna().to_dict()
    assert {one["type"]: one["value"] for one in result["metrics"]} == expected
    assert len(expected) == len(study.metrics)


def test_table_has_every_mean_with_its_interval_and_what_is_behind_it(study):
    card = card_of(study, "phantom3d", "unet")
    row = r"^\| (\S+)(?: \((?:mm|px|µm)\))? \| ([^|]+) \| ([^|]+)" + r" \| (\d+)" * 4
    rows = re.findall(row, card, re.MULTILINE)
    means = means_of(study, "phantom3d", "unet")
    assert len(rows) == len(means) > len(study.metrics)
    labels = {"dice": "Dice", "iou": "IoU", "hd95_penalised": "HD95p"}
    for name, label in labels.items():
        for expected in means[means["metric"] == name].to_dict("records"):
            which = expected["class_name"]
            (found,) = [row for row in rows if row[0] == label and row[1] == which]
            digits = 3 if expected["unit"] == "1" else 2
            shown = [f"{expected[key]:.{digits}f}" for key in ("mean", "low", "high")]
            assert found[2] == f"{shown[0]} [{shown[1]}, {shown[2]}]"
            assert [int(number) for number in found[3:]] == [
                expected[key] for key in ("cases", "groups", "folds", "seeds")
            ]


def test_card_names_the_hash_of_the_weights_of_every_training(study):
    for place, run in enumerate(study.runs_of("phantom3d", "cbam")):
        path = study.layout.run(run) / "run.json"
        write_json(path, read_json(path) | {"weights_sha256": f"{place:064d}"})
    seal_study(study)
    card = card_of(study, "phantom3d", "cbam")
    for place, run in enumerate(study.runs_of("phantom3d", "cbam")):
        (line,) = [line for line in card.splitlines() if f"runs/{run}/model.pt" in line]
        assert f"`{place:064d}`" in line


def test_card_says_what_it_is_and_cites_it(study):
    describe_model(study, "retina_drive", "cbam")
    card = card_of(study, "retina_drive", "cbam")
    assert "CBAM: Convolutional Block Attention Module, 2018" in card
    assert "- optimiser: AdamW\n" in card and "2-D patch" in card and "3-D patch" not in card
    assert load_entry("retina_drive").bibtex.strip() in card
    control = card_of(study, "retina_drive", "cbam-random")
    assert "It is a control (`random`) of the model `cbam`" in control


def test_before_any_score_there_is_no_result_and_the_card_says_so(write_study):
    study = write_study(analysed=False)
    card = card_of(study, "phantom3d", "unet")
    assert "model-index" not in head_of(card)
    assert "Not scored yet." in card


def test_unknown_models_and_datasets_are_refused(study):
    with pytest.raises(StudyError, match="cbam"):
        card_of(study, "phantom3d", "cbm")
    with pytest.raises(StudyError, match="phantom3d"):
        card_of(study, "phantom", "cbam")


@pytest.mark.parametrize(
    ("text", "terms", "kind", "identifier"),
    [
        ("CC BY 4.0, stated there.", "open", "open", "cc-by-4.0"),
        ("Second-hand: CC-BY-4.0.", "open", "open", "cc-by-4.0"),
        ("CC BY-SA 4.0, stated there.", "open", "share_alike", "cc-by-sa-4.0"),
        ("GPL 2.", "open", "share_alike", "gpl-2.0"),
        ("CC BY-NC-SA 4.0.", "non_commercial", "non_commercial", "cc-by-nc-sa-4.0"),
        ("Academic use.", "non_commercial", "non_commercial", "other"),
        ("CC BY 4.0, some say.", "unclear", "unclear", "unknown"),
        # Whoever added own data and stated no licence said nothing about weights either.
        ("not stated", "open", "unclear", "unknown"),
    ],
)
def test_a_licence_of_data_has_one_meaning(text, terms, kind, identifier):
    changed = {"licence": text, "licence_terms": terms}
    meaning = meaning_for_weights(load_entry("phantom2d").model_copy(update=changed))
    assert (meaning.kind, meaning.identifier) == (kind, identifier)


def test_every_dataset_of_the_catalog_has_the_meaning_of_its_terms():
    for name in catalog_names():
        entry = load_entry(name)
        kind = meaning_for_weights(entry).kind
        copyleft = "-SA" in entry.licence or "GPL" in entry.licence
        expected = "share_alike" if copyleft and entry.licence_terms == "open" else None
        assert kind == (expected or entry.licence_terms), name


def test_a_non_commercial_dataset_says_so(write_study):
    name = next(
        name
        for name in catalog_names()
        if (entry := load_entry(name)).licence_terms == "non_commercial" and entry.ndim == 2
    )
    card = card_of(write_study(datasets=(name,), analysed=False), name, "unet")
    licences = card.partition("## Licences")[2].partition("\n## ")[0]
    assert "may not be used commercially" in licences and "no legal advice" in licences
    assert load_entry(name).licence.rstrip(".") in licences
    assert "nc" in head_of(card)["license"] or head_of(card)["license"] == "other"


texts = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.booleans() | texts | numbers | st.none()
names = st.from_regex(r"[a-z][a-z_-]{0,8}", fullmatch=True).filter(
    lambda name: name not in {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
)
nested = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner.filter(lambda item: not isinstance(item, list)), max_size=3)
        | st.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(names, nested, min_size=1, max_size=4))
def test_front_matter_is_read_back_as_it_was(fields):
    opening, head, rest = front_matter(fields).split("---\n", 2)
    assert (opening, rest) == ("", "")
    assert yaml.safe_load(head) == fields

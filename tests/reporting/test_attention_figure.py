"""Attention maps in a figure: which models, which map, and the numbers beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from PIL import Image

from attnbench.data.store import CaseStore
from attnbench.files import write_csv
from attnbench.models.names import has_map, known_models
from attnbench.reporting.contents import figure_names
from attnbench.reporting.figures import draw_figure
from attnbench.study.settings import Study, parse_study

PLACES = ("encoder1", "encoder0", "decoder0", "bottleneck2")
MANY = (
    "attention_gate", "cbam", "bam", "scse", "spatial_se", "self_attention", "non_local",
    "criss_cross", "simam", "transformer", "axial_attention", "triplet_attention",
)  # fmt: skip


def write_maps(study: Study, dataset: str) -> None:
    """Made-up maps of every model on the cases that figures show."""
    random = np.random.default_rng(5)
    store = CaseStore.open(study.layout.prepared(dataset))
    shown = pd.read_csv(study.layout.analysis / "cases.csv", dtype={"case": "str"}).query(
        "dataset == @dataset"
    )
    for model in (settings.name for settings in study.models if has_map(settings)):
        path = study.layout.attention(dataset, model)
        path.parent.mkdir(parents=True, exist_ok=True)
        shapes = {case: store.original_shape(store.index(case)) for case in shown["case"]}
        np.savez(
            path,
            **{
                case: random.gamma(2, 0.5, (len(PLACES), *s)).astype(np.float16)
                for case, s in shapes.items()
            },
        )
        rows = [
            {
                "dataset": dataset, "model": model, "case": case, "fold": 0, "seed": 0,
                "place": place,
                "mean": 0.1, "inside": random.random(), "boundary": 1.0, "background": 1.0,
            }
            for case in shapes
            for place in PLACES
        ]  # fmt: skip
        write_csv(path.with_suffix(".csv"), pd.DataFrame(rows))


def drawn(study: Study, dataset: str) -> pd.DataFrame:
    name = f"attention_{dataset}"
    draw_figure(study, name)
    with Image.open(study.layout.figures / f"{name}.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 5
    return pd.read_csv(study.layout.figures / f"{name}.csv", dtype={"case": "str"})


def test_each_model_shows_its_last_map_at_the_finest_level(write_study):
    study = write_study(models=["unet", "attention_gate", "squeeze_excitation", "self_attention"])
    for dataset in ("retina_drive", "phantom3d"):
        write_maps(study, dataset)
        rows = drawn(study, dataset)
        shown = pd.read_csv(study.layout.analysis / "cases.csv", dtype={"case": "str"}).query(
            "dataset == @dataset"
        )
        assert set(rows["model"]) == {"attention_gate", "self_attention"}
        assert set(rows["place"]) == {"decoder0"}
        assert list(rows.query("model == 'attention_gate'")["case"]) == list(shown["case"])
        for model, own in rows.groupby("model"):
            table = pd.read_csv(
                study.layout.attention(dataset, str(model)).with_suffix(".csv"),
                dtype={"case": "str"},
            )
            beside = table.query("place == 'decoder0'").set_index("case")["inside"]
            assert own.set_index("case")["inside"].to_dict() == beside.to_dict()


def test_models_without_room_are_left_out_and_the_best_kept(write_study):
    study = write_study(datasets=["retina_drive"], models=["unet", *MANY], cases=6, seeds=(0,))
    write_maps(study, "retina_drive")
    rows = drawn(study, "retina_drive")
    shown = list(dict.fromkeys(rows["model"]))
    assert 5 < len(shown) < len(MANY)
    assert shown == [name for name in MANY if name in shown]
    ranks = pd.read_csv(study.layout.analysis / "ranks.csv").query(
        "`class` == 'all' and metric == 'dice'"
    )
    best = ranks[ranks["model"] != "unet"].sort_values("mean_rank")["model"].iloc[0]
    assert best in shown


def test_the_figure_is_there_for_models_that_weight_positions_only():
    def names(*models: str) -> list[str]:
        study = parse_study(
            {"name": "s", "datasets": ["phantom2d", "axon_sem"], "models": ["unet", *models]},
            known_models(),
        )
        return [name for name in figure_names(study) if name.startswith("attention_")]

    assert names("squeeze_excitation", "eca") == []
    assert names("attention_gate-random") == []
    assert names("eca", "cbam") == ["attention_phantom2d", "attention_axon_sem"]


def test_maps_that_are_not_there_yet_are_said_to_be(write_study):
    study = write_study(datasets=["phantom2d"], cases=4, seeds=(0,))
    assert drawn(study, "phantom2d").empty

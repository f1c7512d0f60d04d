"""Settings in words: by the type of a value, and never silent about one."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from attnbench.study.describe import PER_AXIS, InWords, describe, in_words
from attnbench.study.models import BackboneSettings, ModelSettings


class Inner(BaseModel):
    name: str
    depth: int = 2


class Outer(BaseModel):
    name: str = "outer"
    learning_rate: float = 1e-5
    share: float = Field(0.5, title="share of patches")
    on: bool = True
    widths: tuple[int, ...] = (8, 16)
    shape: Annotated[tuple[int, ...], PER_AXIS] = (96, 64)
    kind: Annotated[str, InWords(str.upper)] = "sgd"
    absent: int | None = None
    parts: tuple[Inner, ...] = (Inner(name="a_b"), Inner(name="c", depth=3))
    options: dict[str, Any] = {"heads": 4, "strides": [1, 2], "more": {"x": None}}


def test_every_type_of_value_has_its_words():
    assert describe(Outer()) == [
        ("learning rate", "1e-05"),
        ("share of patches", "0.5"),
        ("on", "yes"),
        ("widths", "8, 16"),
        ("shape", "96 × 64"),
        ("kind", "SGD"),
        ("parts", "a b (depth 2), c (depth 3)"),
        ("options", "heads: 4, strides: [1, 2], more: {x: none}"),
    ]


def test_with_a_base_only_what_differs_is_said():
    assert describe(Outer(on=False), Outer()) == [("on", "no")]
    assert in_words(Outer(), Outer()) == ""


def test_close_numbers_are_not_the_same_words():
    assert in_words(Outer(learning_rate=0.01234567)) != in_words(Outer(learning_rate=0.01234568))


def test_a_key_added_to_settings_is_described_by_itself():
    class Longer(BackboneSettings):
        dropout_rate: float = 0.1

    assert describe(Longer())[-1] == ("dropout rate", "0.1")


def test_a_model_states_its_slots_with_levels_and_options_and_its_own_backbone():
    placement = {"name": "self_attention", "levels": [2, 3], "options": {"heads": 4}}
    backbone = {"widths": [8, 16, 32, 64], "block": "residual", "deep_supervision": True}
    model = ModelSettings(name="mine", slots={"decoder": placement}, backbone=backbone)
    assert in_words(model, ModelSettings(name="mine")) == (
        "mechanisms decoder: self attention (levels 2, 3; options heads: 4); own backbone (widths "
        "8, 16, 32, 64; blocks per level 2; normalisation instance; block residual; deep "
        "supervision yes)"
    )


def test_own_code_is_named_as_it_is_written():
    placement = {"name": "./my_attention.py:My_Gate", "levels": [0]}
    model = ModelSettings(name="mine", slots={"skip": placement})
    assert in_words(model, ModelSettings(name="mine")) == (
        "mechanisms skip: ./my_attention.py:My_Gate (levels 0)"
    )

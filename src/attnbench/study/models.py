"""The part of a study about one model: mechanisms in slots, its backbone, its controls, or a
external network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

from attnbench.errors import nearest

Slot = Literal["encoder", "bottleneck", "skip", "decoder"]
SLOTS: tuple[Slot, ...] = get_args(Slot)
Control = Literal["identity", "gamma0", "random", "uniform", "conv1x1", "parameters", "flops"]
CONTROLS: tuple[Control, ...] = get_args(Control)
Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*(-[a-z0-9_]+)?$")]


class Part(BaseModel):
    """A part of a study: fixed once read, and without any key that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def one_of(kind: Literal["datasets", "mechanisms", "metrics"]) -> AfterValidator:
    """A validator that refuses a name which the checked-against `Known` does not have."""

    def refuse_unknown(name: str, info: ValidationInfo) -> str:
        known = getattr(info.context, kind) if info.context else ()
        if known and name not in known:
            raise ValueError(f"no such {kind[:-1]}; {nearest(name, known)}")
        return name

    return AfterValidator(refuse_unknown)


def name_as_mapping(value: Any) -> Any:
    """`cbam` means `{name: cbam}`."""
    return {"name": value} if isinstance(value, str) else value


def _as_list(value: Any) -> Any:
    return [
        name_as_mapping(item) for item in (value if isinstance(value, list | tuple) else [value])
    ]


class Placement(Part):
    """One mechanism at some levels of a slot."""

    name: Annotated[Word, one_of("mechanisms")] = Field(
        description="The mechanism's name (`attnbench models`)."
    )
    levels: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None,
        description="Levels of the U-Net, 0 = full resolution; default: the paper's placement.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="The mechanism's own arguments."
    )


class BackboneSettings(Part):
    """The U-Net around the mechanisms."""

    widths: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        (16, 32, 64, 128), min_length=2, description="Channels per level, full resolution first."
    )
    blocks_per_level: int = Field(
        2,
        gt=0,
        description="Convolutions per level and side; of a residual encoder: blocks of two "
        "convolutions.",
    )
    norm: Literal["instance", "batch", "group"] = Field(
        "instance", title="normalisation", description="Normalisation layer."
    )
    block: Literal["plain", "residual", "recurrent_residual"] = Field(
        "plain",
        description="Plain convolutions, nnU-Net's residual encoder, or R2U-Net's recurrent "
        "residual blocks.",
    )
    deep_supervision: bool = Field(
        False,
        description="Losses at every decoder level but the two deepest resolutions, as in nnU-Net.",
    )


class ModelSettings(Part):
    """One named network: the plain U-Net with mechanisms in its slots, or a network from
    elsewhere.
    """

    name: ModelName = Field(
        description="The model's word in the study, its paths and its tables; "
        "`<variant>-<control>` for a control."
    )
    slots: dict[
        Slot,
        Annotated[tuple[Placement, ...], BeforeValidator(_as_list, json_schema_input_type=Any)],
    ] = Field(
        default_factory=dict,
        title="mechanisms",
        description="Mechanisms by slot; when absent, the name is a model's word (`attnbench "
        "models`), or `unet`.",
    )
    control: Control | None = Field(None, description="Set by the name's part behind the dash.")
    backbone: BackboneSettings | None = Field(
        None, title="own backbone", description="A backbone of its own, instead of the study's."
    )
    network: (
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")] | None
    ) = Field(
        None,
        description="Dotted path of a network from elsewhere: `monai.networks.nets.UNETR`, "
        "`my_package.MyNet`.",
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        description="Arguments of `network`; '{ndim}', '{in_channels}', '{classes}' and '{patch}' "
        "stand for values.",
    )
    divisor: int = Field(
        1,
        gt=0,
        title="sides padded to multiples of",
        description="`network` takes sides that are multiples of this: its input is padded, its "
        "output cropped.",
    )
    fixed_size: bool = Field(
        False,
        title="fixed input size",
        description="`network` takes the training patch's size only: others are padded.",
    )

    @property
    def variant(self) -> str:
        """The word without the control."""
        return self.name.partition("-")[0]

    @property
    def control_of(self) -> str | None:
        """The variant that a control is compared with; None for every other model."""
        return self.variant if self.control else None

    @model_validator(mode="before")
    @classmethod
    def _control_from_name(cls, content: Any) -> Any:
        if isinstance(content, Mapping) and content.get("control") is None:
            control = str(content.get("name")).partition("-")[2]
            return {**content, "control": control} if control else content
        return content

    @model_validator(mode="after")
    def _is_one_thing(self, info: ValidationInfo) -> Self:
        if self.control != (self.name.partition("-")[2] or None):
            raise ValueError(
                "`control` is given by the name: call it "
                f"{self.variant}-{self.control or 'identity'}"
            )
        if self.network and (self.slots or self.backbone or self.control):
            raise ValueError(
                "`network` is the whole model; `slots`, `backbone` and controls belong to the U-Net"
            )
        external = {
            "arguments": self.arguments,
            "divisor": self.divisor > 1,
            "fixed_size": self.fixed_size,
        }
        if not self.network and any(external.values()):
            raise ValueError(
                f"{', '.join(key for key in external if external[key])}: only together with `network`"
            )
        words = info.context.models if info.context else ()
        composed = self.slots or self.network or self.backbone or self.control
        if words and not composed and self.name not in words:
            raise ValueError(
                f"no such model, and no `slots` that would define one; {nearest(self.name, words)}"
            )
        return self


def with_controls(
    models: Sequence[ModelSettings],
    controls: Sequence[Control],
    words: Collection[str],
    lacks: Mapping[str, Collection[str]],
) -> tuple[ModelSettings, ...]:
    """The models, controls among them with the slots and backbone of their variants, and `controls`
    of every variant.

    A control that a mechanism `lacks` (by mechanism) is left out. `words` are the models known
    by name. Raises ValueError for a control of an unknown variant, of a network without
    mechanisms, or one that a mechanism lacks.
    """
    named = {model.name: model for model in models}
    explicit = {model.name: _of_variant(model, named, words, lacks) for model in models}
    added = {
        f"{model.name}-{control}": _control(model, control)
        for model in models
        if _is_variant(model, words)
        for control in controls
        if not list(_lacking(model, control, lacks))
    }
    return (
        *(explicit[model.name] for model in models),
        *(added[name] for name in added if name not in named),
    )


def _control(variant: ModelSettings, control: str) -> ModelSettings:
    return ModelSettings(
        name=f"{variant.name}-{control}", slots=variant.slots, backbone=variant.backbone
    )


def _is_variant(model: ModelSettings, words: Collection[str]) -> bool:
    """Whether there are mechanisms in the model: in slots of its own, or by its word."""
    by_word = model.name != "unet" and (model.backbone is None or model.name in words)
    return not (model.control or model.network) and bool(model.slots or by_word)


def _of_variant(
    model: ModelSettings,
    named: Mapping[str, ModelSettings],
    words: Collection[str],
    lacks: Mapping[str, Collection[str]],
) -> ModelSettings:
    if not model.control:
        return model
    variant = named.get(model.variant, model if model.slots else ModelSettings(name=model.variant))
    if variant.name == model.variant and not _is_variant(variant, words):
        raise ValueError(
            f"{model.name!r}: {model.variant!r} has no mechanisms; only variants have controls"
        )
    if words and variant.name not in named and not model.slots and variant.name not in words:
        raise ValueError(
            f"{model.name!r}: no such variant; {nearest(variant.name, {*words, *named} - {'unet'})}"
        )
    own = model if model.slots or model.backbone else _control(variant, model.control)
    for mechanism in _lacking(own, model.control, lacks):
        why = (
            "no scale that starts at zero"
            if model.control == "gamma0"
            else "no softmax over positions"
        )
        raise ValueError(f"{model.name!r}: {mechanism} has {why}")
    return own


def _lacking(
    model: ModelSettings, control: str, lacks: Mapping[str, Collection[str]]
) -> Iterator[str]:
    """Mechanisms of a model, or its word, that cannot have a control."""
    placed = [placement.name for placements in model.slots.values() for placement in placements]
    yield from (name for name in placed or [model.variant] if control in lacks.get(name, ()))

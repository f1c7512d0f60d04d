"""Models of a study: mechanisms in slots, a backbone, controls, or an external network.

A model is written as a bare name, as `<variant>-<control>`, or as a mapping. `resolve_models`
turns all of them into the one form that every other room reads: mechanisms in their slots, at
explicit levels.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from attnbench.errors import nearest
from attnbench.study.base import (
    LONGEST_NAME,
    NUMBER,
    Bool,
    Int,
    Name,
    NameOrOwnCode,
    Options,
    OwnCode,
    Settings,
    each_once,
    is_own_code,
    name_as_mapping,
    one_of,
    refuse_reserved,
)
from attnbench.study.describe import InWords, given_in_words
from attnbench.study.groups import OwnTraining
from attnbench.study.limits import MOST_MODELS
from attnbench.study.names import SIZES, Control, Known, Slot
from attnbench.study.paths import Run
from attnbench.study.places import plain_path

ModelName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*(-[a-z0-9_]+)?$", max_length=LONGEST_NAME),
    AfterValidator(refuse_reserved),
]


def _refuse_identity(control: Any) -> Any:
    if control == "identity":
        raise ValueError(
            "no such control: it would be the plain U-Net bit for bit, nothing to train; remove it"
        )
    return control


_SIZE_ALONE = (
    "such a control changes mechanisms in the slots of our U-Net, and an external network has "
    f"none; its controls are plain U-Nets of its size: {', '.join(SIZES)}"
)

OfferedControl = Annotated[Control, BeforeValidator(_refuse_identity)]


def _as_list(value: Any) -> Any:
    items = value if isinstance(value, list | tuple) else [value]
    return [name_as_mapping(item) for item in items]


class Placement(Settings):
    """One mechanism at some levels of a slot."""

    name: Annotated[NameOrOwnCode, one_of("mechanisms")] = Field(
        description="The mechanism's name (`attnbench models`), or own code: "
        "`./my_attention.py:MyGate` or `my_package.MyGate`."
    )
    levels: (
        Annotated[
            tuple[Annotated[int, Field(ge=0), NUMBER], ...],
            Field(min_length=1),
            AfterValidator(each_once),
        ]
        | None
    ) = Field(
        None,
        description="Levels of the U-Net, 0 = full resolution; default: the mechanism's own "
        "(docs/models.md).",
    )
    options: Options = Field(default_factory=dict, description="The mechanism's own arguments.")
    source: str | None = Field(
        None, description="Fingerprint of own code; written when the study is planned."
    )


def _refuse_other_formats(file: str) -> str:
    if not file.endswith((".pt", ".pth")):
        raise ValueError(
            "pretrained weights are a .pt or .pth file of tensors; read others with their own "
            "package and write `torch.save(tensors, 'weights.pt')`"
        )
    return file


def _as_file(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


class InitialSettings(Settings):
    """Pretrained weights that a model starts from."""

    file: Annotated[str, BeforeValidator(plain_path), AfterValidator(_refuse_other_formats)] = (
        Field(
            title="",
            description="A .pt or .pth file of tensors by name, from the working directory.",
        )
    )
    source: str | None = Field(
        None, description="SHA-256 of the file; written when the study is planned."
    )


class BackboneSettings(Settings):
    """The U-Net around the mechanisms."""

    widths: tuple[Annotated[int, Field(gt=0, le=2**16), NUMBER], ...] = Field(
        (16, 32, 64, 128),
        min_length=2,
        max_length=12,
        description="Channels per level, full resolution first.",
    )
    blocks_per_level: Int = Field(
        2,
        gt=0,
        le=100,
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
    deep_supervision: Bool = Field(
        False,
        description="Losses at every decoder level but the two deepest resolutions, as in nnU-Net.",
    )


_PLACES = ("dataset", "fold", "seed")
_WIDTH = re.compile(r"(0?[1-9]d)?")


def _refuse_other_places(folder: str) -> str:
    try:
        fields = [field for field in string.Formatter().parse(folder) if field[1] is not None]
    except ValueError as error:
        raise ValueError(f"{error}; a folder is written as in {_EXAMPLE}") from None
    places = [str(name) for _, name, _, _ in fields]
    # A width of a billion would be a path of a billion characters.
    if any(conversion or not _WIDTH.fullmatch(form or "") for _, _, form, conversion in fields):
        raise ValueError(
            f"a value stands as it is or with leading zeros, `{{fold:02d}}`; as in {_EXAMPLE}"
        )
    if other := [name for name in places if name not in _PLACES]:
        raise ValueError(
            f"{_in_braces(other)} stands for nothing; allowed are {_in_braces(_PLACES)}, as in "
            f"{_EXAMPLE}"
        )
    return folder


def _in_braces(names: Sequence[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)


_EXAMPLE = "nnunet/{dataset}/fold{fold}"


class PredictionsElsewhere(Settings):
    """Predictions that were made elsewhere, which a model has instead of a network."""

    folder: Annotated[
        str,
        Field(min_length=1),
        BeforeValidator(plain_path),
        AfterValidator(_refuse_other_places),
    ] = Field(
        description="Folder of the masks of one fold's test cases, one file per case, from the "
        "working directory; `{dataset}`, `{fold}` and `{seed}` stand for values. Without `{seed}` "
        "there is one training per fold."
    )
    origin: Annotated[
        str,
        StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]+$", max_length=300),
    ] = Field(
        description="What made them, in words for every table: `nnU-Net v2.8, 3d_fullres, 1000 "
        "epochs`."
    )
    missing: Literal["refuse", "empty"] = Field(
        "refuse",
        title="missing predictions",
        description="A test case without a file is refused, or counts as an `empty` mask and is "
        "named.",
    )
    datasets: Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(each_once)] | None = (
        Field(
            None,
            description="Datasets that there are predictions of; default: all that models are "
            "trained on.",
        )
    )

    def folder_of(self, run: Run) -> Path:
        """Return the folder that has the masks of a run's test cases."""
        return Path(self.folder.format(dataset=run.dataset, fold=run.fold, seed=run.seed))

    @property
    def by_seed(self) -> bool:
        """True where every seed of the study has predictions of its own."""
        return "{seed}" in self.folder


class ModelSettings(Settings):
    """One named network: the U-Net with mechanisms in its slots, or an external network; or
    predictions that were made elsewhere.
    """

    name: ModelName = Field(
        description="The model's name in the study, its paths and its tables; "
        "`<variant>-<control>` for a control."
    )
    slots: dict[
        Slot,
        Annotated[
            tuple[Placement, ...],
            Field(min_length=1, max_length=20),
            BeforeValidator(_as_list, json_schema_input_type=Any),
        ],
    ] = Field(
        default_factory=dict,
        title="mechanisms",
        description="Mechanisms by slot; when absent, the name is that of a model (`attnbench "
        "models`), `unet` among them.",
    )
    control: OfferedControl | None = Field(
        None, description="Set by the name's part behind the dash."
    )
    control_of: Name | None = Field(
        None, description="The variant that a control belongs to; set by the name as well."
    )
    backbone: BackboneSettings | None = Field(
        None, title="own backbone", description="A backbone of its own, instead of the study's."
    )
    training: Annotated[OwnTraining | None, InWords(given_in_words)] = Field(
        None,
        title="own training:",
        description="Keys of `training` that this model has for itself, before the study's and "
        "the dataset's; not `patch_2d`, `patch_3d` or `sweep`.",
    )
    network: OwnCode | None = Field(
        None,
        description="An external network: `monai.networks.nets.UNETR`, `my_package.MyNet`, or a "
        "file and a name, `./my_network.py:MyNet`.",
    )
    source: str | None = Field(
        None, description="Fingerprint of `network`; written when the study is planned."
    )
    arguments: Options = Field(
        default_factory=dict,
        description="Arguments of `network`; '{ndim}', '{in_channels}', '{classes}' and '{patch}' "
        "stand for values.",
    )
    divisor: Int = Field(
        1,
        gt=0,
        le=2**16,
        title="sides padded to multiples of",
        description="`network` takes sides that are multiples of this: its input is padded, its "
        "output cropped.",
    )
    fixed_size: Bool = Field(
        False,
        title="fixed input size",
        description="`network` takes the training patch's size only: others are padded.",
    )

    initial: Annotated[
        InitialSettings | None,
        BeforeValidator(_as_file, json_schema_input_type=str | InitialSettings | None),
        InWords(lambda initial: initial.file),
    ] = Field(
        None,
        title="starts from",
        description="Pretrained weights, a .pt or .pth file: what matches by name and shape is "
        "loaded before the training (docs/losses.md). Controls but those of equal size start from "
        "them too, their mechanisms left out.",
    )
    output: Annotated[int, Field(ge=-10_000, le=10_000), NUMBER] | str | None = Field(
        None,
        title="entry of the output that has the logits",
        description="Where `network` returns a list, a tuple or a mapping: number or key of the "
        "entry that has the logits.",
    )
    predictions: PredictionsElsewhere | None = Field(
        None,
        title="predictions made elsewhere:",
        description="Predictions made elsewhere, by nnU-Net say: scored on the same folds and "
        "cases, labelled wherever they appear; instead of every other key.",
    )

    @model_validator(mode="before")
    @classmethod
    def _take_name_apart(cls, content: Any) -> Any:
        """Set `control` and `control_of` where the name is `<variant>-<control>`."""
        if not isinstance(content, Mapping):
            return content
        variant, _, control = str(content.get("name")).partition("-")
        if not control:
            return content
        # A study that was resolved and written has both keys; the check below compares them.
        return {
            **content,
            "control": content.get("control") or control,
            "control_of": content.get("control_of") or variant,
        }

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.control or self.control_of) and self.name != f"{self.control_of}-{self.control}":
            raise ValueError(
                "`control` is given by the name: call it "
                f"{self.control_of or self.name}-{self.control or 'random'}"
            )
        if self.network and (self.slots or (self.backbone and not self.control)):
            raise ValueError(
                "`network` is the whole model; `slots` and `backbone` belong to the U-Net"
            )
        if self.network and self.control and self.control not in SIZES:
            raise ValueError(_SIZE_ALONE)
        external = {
            "arguments": self.arguments,
            "output": self.output is not None,
            "divisor": self.divisor > 1,
            "fixed_size": self.fixed_size,
        }
        if not self.network and any(external.values()):
            keys = ", ".join(key for key in external if external[key])
            raise ValueError(f"{keys}: only together with `network`")
        if self.predictions and (given := self._of_networks()):
            raise ValueError(
                "`predictions` were made elsewhere: there is nothing to build or train; remove "
                f"{', '.join(given)}"
            )
        return self

    def _of_networks(self) -> list[str]:
        """Keys that this model was given and that only a network of this study can have."""
        given = self.model_fields_set - {"name", "predictions", "source"}
        return sorted(key for key in given if getattr(self, key) not in (None, {}, 1, False))

    @property
    def is_external(self) -> bool:
        """True for an external network itself, not for a control of one, which is a plain U-Net."""
        return self.network is not None and self.control is None

    def own_code(self) -> tuple[str, ...]:
        """Return the references to own code of this model, its network or mechanisms, sorted."""
        return tuple(sorted(filter(is_own_code, (self.network or "", *self.mechanisms()))))

    def mechanisms(self) -> tuple[str, ...]:
        """Return the names of the mechanisms in the slots, sorted."""
        placed = (placement for placements in self.slots.values() for placement in placements)
        return tuple(sorted({placement.name for placement in placed}))


def resolve_models(
    models: Sequence[ModelSettings],
    controls: Sequence[Control],
    backbone: BackboneSettings,
    known: Known,
) -> tuple[ModelSettings, ...]:
    """Return models with every mechanism in its slots, then the `controls` of every variant.

    This is the one place that decides what a name means. Inapplicable controls are skipped where
    they come from `controls`, and refused where a model asks for one.

    Args:
        models: as written, in the study's order.
        controls: of every variant that has mechanisms and does not name the control itself.
        backbone: the study's; its depth decides the default levels of a model without its own.
        known: the mechanisms, with their default slots and levels, and the presets.

    Raises:
        ValueError: one line per model that cannot be resolved, starting with its path.
    """
    named = {model.name: model for model in models}
    resolved, problems = [], []
    for number, model in enumerate(models):
        try:
            resolved.append(resolve_model(model, named, backbone, known))
        except ValueError as error:
            problems.append(f"models[{number}]: {model.name!r}: {error}")
    if problems:
        raise ValueError("\n".join(problems))
    pairs = [
        (variant, control)
        for variant in resolved
        if (variant.slots or variant.network) and not variant.control
        for control in controls
        if f"{variant.name}-{control}" not in named and _applies(variant, control, known)
    ]
    if len(models) + len(pairs) > MOST_MODELS:
        raise ValueError(
            f"models: {len(models)}, and {len(pairs)} that `controls` add; at most {MOST_MODELS}: "
            "take fewer controls, or write several studies"
        )
    added = (
        ModelSettings(
            name=f"{variant.name}-{control}",
            slots=variant.slots,
            backbone=variant.backbone,
            training=variant.training,
            **_network_of(variant),
            initial=_initial_of(variant, control),
        )
        for variant, control in pairs
    )
    return (*resolved, *added)


def resolve_model(
    model: ModelSettings,
    named: Mapping[str, ModelSettings],
    backbone: BackboneSettings,
    known: Known,
) -> ModelSettings:
    """Return the model with mechanisms in their slots; a control takes over its variant's.

    Args:
        model: as written.
        named: the models of the study by name, among which a control finds its variant.
        backbone: the study's, for a model without its own.
        known: the mechanisms and presets.

    Raises:
        ValueError: a name, slot, level or control that there is not, and what is allowed.
    """
    variant = model
    if model.control_of:
        written = ModelSettings(name=model.control_of, slots=model.slots, **_network_of(model))
        variant = named.get(model.control_of, written)
    slots = _slots_of(variant, known)
    if slots is None and model.control:
        names = {*known.models, *named} - {"unet"}
        raise ValueError(f"no such variant; {nearest(variant.name, names)}")
    if slots is None:
        raise ValueError(
            "no such model, and no `slots` that would define one; "
            f"{nearest(model.name, known.models)}"
        )
    if variant.network and model.control:
        if model.control not in SIZES:
            raise ValueError(_SIZE_ALONE)
        own = {"training": model.training or variant.training}
        return model.model_copy(update={**_network_of(variant), **own})
    if model.control and not slots:
        raise ValueError(f"{variant.name!r} has no mechanisms; only variants have controls")
    own_backbone = model.backbone or variant.backbone
    depth = len((own_backbone or backbone).widths)
    placed = {
        slot: tuple(_at_levels(placement, slot, depth, known) for placement in placements)
        for slot, placements in (model.slots or slots).items()
    }
    takes_over = {
        "backbone": own_backbone,
        "training": model.training or variant.training,
        "initial": model.initial or _initial_of(variant, model.control),
    }
    resolved = model.model_copy(update={"slots": placed, **takes_over})
    unfit = next(_lacking(resolved, model.control, known), None)
    if unfit:
        missing = {"gamma0": "scale that starts at zero", "uniform": "softmax over positions"}
        raise ValueError(f"{unfit} has no {missing[str(model.control)]}")
    return resolved


def _network_of(model: ModelSettings) -> dict[str, Any]:
    """The keys that define an external network; empty for a U-Net."""
    if not model.network:
        return {}
    keys = ("network", "source", "arguments", "divisor", "fixed_size", "output")
    return {key: getattr(model, key) for key in keys}


def _applies(variant: ModelSettings, control: Control, known: Known) -> bool:
    """False where a variant, or an external network, cannot have a control."""
    if variant.network:
        return control in SIZES
    return not any(_lacking(variant, control, known))


def _initial_of(variant: ModelSettings, control: Control | None) -> InitialSettings | None:
    """Return the pretrained weights that a control takes over: they fit its variant's widths."""
    return None if control in ("parameters", "flops") else variant.initial


def _slots_of(model: ModelSettings, known: Known) -> Mapping[Slot, tuple[Placement, ...]] | None:
    """Return mechanisms by slot, levels as written; None where nothing defines them."""
    if model.slots or model.network or model.predictions or model.name == "unet":
        return model.slots
    names = known.presets.get(model.name)
    if model.name in known.mechanisms:
        if not known.mechanisms[model.name].default:
            raise ValueError(
                "declares no default slot; place it yourself, as in "
                f"`slots: {{skip: {model.name}}}`"
            )
        names = dict.fromkeys(known.mechanisms[model.name].default, (model.name,))
    if names is None:
        return {} if model.backbone else None
    return {slot: tuple(Placement(name=name) for name in placed) for slot, placed in names.items()}


def _at_levels(placement: Placement, slot: Slot, depth: int, known: Known) -> Placement:
    """Return the placement with explicit levels, in a U-Net of `depth` levels."""
    facts = known.mechanisms[placement.name]
    if slot not in facts.slots:
        raise ValueError(
            f"{placement.name} cannot sit in slot {slot!r}; allowed: {', '.join(facts.slots)}"
        )
    # The deepest level is the bottleneck's alone.
    available = (depth - 1,) if slot == "bottleneck" else tuple(range(depth - 1))
    if placement.levels is None:
        # A network too shallow for any of these levels takes the mechanism where it can.
        levels = tuple(level for level in available if level >= facts.finest) or available
        first = 0 if facts.deepest is None else -facts.deepest
        return placement.model_copy(update={"levels": levels[first:]})
    for level in placement.levels:
        if level not in available:
            raise ValueError(
                f"asks for level {level} of slot {slot!r}; with {depth} widths its levels are "
                f"{', '.join(map(str, available))}"
            )
    return placement


def _lacking(model: ModelSettings, control: str | None, known: Known) -> Iterator[str]:
    """Yield the mechanisms of a resolved model that cannot have a control."""
    return (name for name in model.mechanisms() if control in known.mechanisms[name].lacks)

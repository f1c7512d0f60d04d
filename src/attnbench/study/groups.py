"""Groups of settings in a study file: datasets, folds, training, scoring, analysis, machines."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    ValidationError,
    model_validator,
)

from attnbench.addresses import has_secrets, without_secrets
from attnbench.errors import nearest
from attnbench.study.base import NUMBER, Bool, Float, Int, Name, Seed, Settings, each_once, one_of
from attnbench.study.describe import PER_AXIS, InWords
from attnbench.study.loss import DEFAULT_LOSS, Loss
from attnbench.study.places import ResultsPath
from attnbench.study.split import HeldOut, SplitSource, contradictions

LONGEST_SIDE = 2**16
"""Pixels of an image or a patch along one axis, at most."""
Side = Annotated[int, Field(gt=0, le=LONGEST_SIDE), NUMBER]
MOST_STEPS = 10**8


def _each_once(axes: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(axes)) < len(axes):
        raise ValueError("an axis stands there more than once")
    return tuple(sorted(axes))


Scheme = Literal["ct", "z_score", "percentile", "none"]
SCHEMES: dict[Scheme, str] = {
    "ct": "clipped to the 0.5 and 99.5 percentiles of the foreground of the fold's training cases, "
    "then z-scored by its mean and standard deviation",
    "z_score": "z-scored per image and channel",
    "percentile": "clipped to 0.5 and 99.5 percentiles, then z-scored, per image and channel",
    "none": "as in the files",
}

Interpolation = Literal["linear", "cubic", "nearest"]
_INTERPOLATIONS: dict[Interpolation, str] = {
    "linear": "linearly, averaged where they shrink",
    "cubic": "cubically, averaged where they shrink",
    "nearest": "by the nearest pixel",
}


def _in_order(channels: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(channels)) < len(channels):
        raise ValueError("a channel stands there more than once")
    return channels


Channels = (
    Annotated[
        tuple[Annotated[int, Field(ge=0, lt=10_000), NUMBER], ...],
        Field(min_length=1),
        AfterValidator(_in_order),
    ]
    | Literal["grey"]
)


def _channels_in_words(channels: Channels) -> str:
    if channels == "grey":
        return "luminance of red, green and blue (ITU-R BT.601)"
    return ", ".join(map(str, channels))


Axes = Annotated[tuple[Annotated[int, Field(ge=0), NUMBER], ...], AfterValidator(_each_once)]


COPIES = {
    "stop": "the study stops",
    "merge": "the groups become one",
    "keep": "the groups stay apart",
}
"""What is done where an image of one group is a copy of another group's, in words."""


class DatasetSettings(Settings):
    """One dataset of the study, and the sampling of its cases."""

    name: Annotated[Name, one_of("datasets")] = Field(
        description="The dataset's name in the catalog (`attnbench datasets`)."
    )
    spacing: Annotated[
        tuple[Annotated[float, Field(ge=1e-6, le=1e6), NUMBER], ...] | None, PER_AXIS
    ] = Field(
        None,
        title="resampled to spacing",
        description="Resample every case to this spacing (the dataset's unit, one value per axis).",
    )
    size: Annotated[tuple[Side, ...] | None, PER_AXIS] = Field(
        None,
        title="resampled to pixels",
        description="Resample every case to this many pixels per axis; not together with "
        "`spacing`.",
    )
    channels: Annotated[Channels | None, InWords(_channels_in_words)] = Field(
        None,
        title="channels taken",
        description="Numbers of the image's channels to take, from 0, or `grey`: the luminance of "
        "red, green and blue; default: all.",
    )
    interpolation: Annotated[Interpolation, InWords(_INTERPOLATIONS.__getitem__)] = Field(
        "linear",
        title="images resampled",
        description="How images are resampled to `spacing` or `size`: linear, cubic or nearest; "
        "masks are resampled by area.",
    )
    normalisation: Annotated[Scheme | None, InWords(SCHEMES.__getitem__)] = Field(
        None,
        title="intensities",
        description="How intensities are normalised when images are read: ct (clipped and "
        "z-scored by the foreground of the fold's training cases), z_score (per image and "
        "channel), percentile (the same, clipped to the 0.5 and 99.5 percentiles) or none; "
        "default: what the catalog says.",
    )
    patch: Annotated[tuple[Side, ...] | None, PER_AXIS] = Field(
        None,
        title="patch in pixels",
        description="Pixels per axis of a training patch; default: `training.patch_2d` or "
        "`patch_3d`.",
    )
    duplicates: Annotated[Literal["stop", "merge", "keep"], InWords(COPIES.__getitem__)] = Field(
        "stop",
        title="where an image of another group is a copy",
        description="Where images of different groups are copies of each other: `stop` before "
        "folds are made, `merge` the groups, or `keep` them apart.",
    )
    mirror_axes: Annotated[
        Axes | None,
        InWords(lambda axes: ", ".join(map(str, axes)) or "none"),
    ] = Field(
        None,
        title="mirrored along axes",
        description="Axes that images are mirrored along, from 0, in the order of `spacing`; "
        "default: `training.augmentation.flip`, else what the catalog allows.",
    )
    batch: Annotated[int, Field(gt=0, le=LONGEST_SIDE), NUMBER] | None = Field(
        None,
        title="patches per step",
        description="Patches per step, instead of `training.batch`.",
    )
    steps: Annotated[int, Field(gt=0, le=MOST_STEPS), NUMBER] | None = Field(
        None,
        title="optimiser steps",
        description="Optimiser steps, instead of `training.steps`.",
    )
    split: SplitSource | None = Field(
        None,
        description="`official` (the part that the catalog gives every case), "
        "`leave_one_group_out`, or a file: nnU-Net's `splits_final.json`, or a CSV with `case` or "
        "`group` and either `part` (train, validation, test) or `fold` (0, 1, ...); default: "
        "folds drawn by group as `folds` says.",
    )
    stratify: Name | None = Field(
        None,
        description="Label of the cases that drawn folds are balanced by; default: classes and "
        "amount of foreground.",
    )
    held_out: HeldOut | None = Field(
        None,
        description="A test set beside the folds, which every trained model is scored on: "
        "`official` (the official test part), a CSV of its `case`s or `group`s, or a share of the "
        "groups, drawn by the seed of the folds. Its groups are in no fold.",
    )
    test_only: Bool = Field(
        False,
        description="No model is trained on this dataset; it is only the `test` of a `transfer`.",
    )
    accept_crossing_groups: Bool = Field(
        False,
        description="Accept a given split that puts cases of one group on both sides. Every table "
        "says so, and no verdict is given.",
    )

    @model_validator(mode="after")
    def _one_way_to_resample(self) -> Self:
        if self.spacing and self.size:
            raise ValueError("`spacing` and `size` exclude each other; keep one")
        if self.interpolation != "linear" and not (self.spacing or self.size):
            raise ValueError(
                "`interpolation` says how images are resampled, and these are not: give `spacing` "
                "or `size`, or remove it"
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_split(self) -> Self:
        if problems := list(contradictions(self)):
            raise ValueError("; ".join(problems))
        return self

    def count_channels(self, of_image: int) -> int:
        """Return how many channels are left of those `of_image`."""
        if self.channels is None:
            return of_image
        return 1 if self.channels == "grey" else len(self.channels)


class FoldsSettings(Settings):
    """Outer test folds and inner validation, both by group."""

    outer: Int = Field(
        5,
        ge=2,
        le=10_000,
        title="outer folds",
        description="Number of outer folds: every group is tested once per repeat.",
    )
    repeats: Int = Field(
        1,
        ge=1,
        le=1000,
        title="repeats of the split",
        description="Splits into outer folds, each drawn with another seed: folds 0 to `outer` - 1 "
        "are those of the first, the next `outer` those of the second.",
    )
    inner: Int = Field(
        4,
        ge=2,
        le=10_000,
        title="inner validation on one training group in",
        description="One part in `inner` of a fold's training groups is held out.",
    )
    seed: Seed = Field(
        0,
        title="seed of the split",
        description="Seed of the split; 1 is added for every repeat.",
    )
    run: (
        Annotated[
            tuple[Annotated[int, Field(ge=0), NUMBER], ...],
            Field(min_length=1),
            AfterValidator(each_once),
        ]
        | None
    ) = Field(
        None,
        title="folds run",
        description="Outer folds to run, counted through all repeats; of a dataset with fewer "
        "folds those that it has; default: all.",
    )

    @property
    def count(self) -> int:
        """Number of outer folds of all repeats."""
        return self.outer * self.repeats


class _Mirrored(Settings):
    """Part of every set of changes: which axes are mirrored."""

    flip: Bool | Axes | None = Field(
        None,
        description="Axes that a patch is mirrored along, each with probability one half: `true` "
        "for all, `false` for none, or a list, from 0; default: those of the dataset that the "
        "catalog allows.",
    )


class AugmentationSettings(_Mirrored):
    """Random changes of a training patch, drawn anew per patch; zero switches one off."""

    rotation: Float = Field(
        15,
        ge=0,
        le=180,
        title="rotation in degrees up to",
        description="Largest rotation in degrees, about every axis.",
    )
    scaling: Float = Field(
        0.15,
        ge=0,
        lt=1,
        title="relative change of size up to",
        description="Largest relative change of size.",
    )
    brightness: Float = Field(
        0.2,
        ge=0,
        le=100,
        title="shift of brightness in standard deviations up to",
        description="Largest shift, in standard deviations of the image.",
    )
    contrast: Float = Field(
        0.2,
        ge=0,
        lt=1,
        title="relative change of contrast up to",
        description="Largest relative change of contrast.",
    )
    gamma: Float = Field(
        0.2,
        ge=0,
        le=5,
        title="absolute log of the gamma exponent up to",
        description="Largest absolute log of the gamma exponent.",
    )
    noise: Float = Field(
        0.1,
        ge=0,
        le=100,
        title="standard deviation of Gaussian noise up to",
        description="Largest standard deviation of added Gaussian noise.",
    )


class Chance(Settings):
    """A change of some patches, by a value drawn uniformly from a range."""

    share: Float = Field(ge=0, le=1, description="Share of the patches that are changed.")
    low: Float = Field(description="Smallest value.")
    high: Float = Field(description="Largest value.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"`low` is {self.low}, above `high`, {self.high}; swap them")
        return self


def _in_share(chance: Chance) -> str:
    return f"{chance.low:.12g} to {chance.high:.12g} in {100 * chance.share:.12g} % of the patches"


_Chance = Annotated[Chance, InWords(_in_share)]


def _within(at_least: float, at_most: float) -> AfterValidator:
    """Return a validator that keeps both ends of a range within what a change can be made by."""

    def refuse(chance: Chance) -> Chance:
        for end in ("low", "high"):
            if not at_least <= getattr(chance, end) <= at_most:
                raise ValueError(
                    f"`{end}` is {getattr(chance, end):g}; allowed: {at_least:g} to {at_most:g}"
                )
        return chance

    return AfterValidator(refuse)


_Degrees = Annotated[_Chance, _within(-180, 180)]
_Factor = Annotated[_Chance, _within(0.01, 100)]
_Share = Annotated[_Chance, _within(0.01, 1)]
_Amount = Annotated[_Chance, _within(0, 100)]


def _chance(share: float, low: float, high: float, title: str) -> Any:
    default = Chance(share=share, low=low, high=high)
    return Field(default, title=title, description=f"{title.capitalize()}.")


class NnunetAugmentation(_Mirrored):
    """nnU-Net v2's random changes of a training patch; docs/nnunet.md compares them."""

    set: Annotated[Literal["nnunet"], InWords(lambda _: "that of nnU-Net v2")] = Field(
        title="set of changes", description="The name of this set: nnunet."
    )
    rotation_2d: _Degrees = _chance(0.2, -180, 180, "rotation of a 2-D patch in degrees")
    rotation_3d: _Degrees = _chance(
        0.2, -30, 30, "rotation of a 3-D patch in degrees about every axis"
    )
    scaling: _Factor = _chance(0.2, 0.7, 1.4, "scaling")
    noise: _Amount = _chance(0.1, 0, 0.1, "standard deviation of Gaussian noise")
    blur: _Amount = _chance(0.2, 0.5, 1, "sigma of Gaussian blur in voxels, of half the channels,")
    brightness: _Amount = _chance(0.15, 0.75, 1.25, "factor of brightness")
    contrast: _Amount = _chance(0.15, 0.75, 1.25, "factor of contrast about the mean")
    resolution: _Share = _chance(
        0.25, 0.5, 1, "low resolution, as a share of the voxels per axis, of half the channels,"
    )
    gamma_inverted: _Factor = _chance(0.1, 0.7, 1.5, "gamma exponent of the inverted patch")
    gamma: _Factor = _chance(0.3, 0.7, 1.5, "gamma exponent")


def _set_by_name(value: Any) -> Any:
    return {"set": value} if isinstance(value, str) else value


def _set_of(value: Any) -> str:
    named = value.get("set") if isinstance(value, dict) else getattr(value, "set", None)
    return "[own]" if named is None else "[nnunet]"


Augmentation = Annotated[
    Annotated[AugmentationSettings, Tag("[own]")] | Annotated[NnunetAugmentation, Tag("[nnunet]")],
    Discriminator(_set_of),
    BeforeValidator(
        _set_by_name,
        json_schema_input_type=Literal["nnunet"] | AugmentationSettings | NnunetAugmentation,
    ),
]


SweptKey = Literal["learning_rate", "weight_decay"]
SWEEP_RULE = (
    "highest mean Dice over the whole cases of the inner validation of that fold, groups weighted "
    "alike; of equals the first"
)


def _sweep_text(sweep: dict[str, tuple[float, ...]]) -> str:
    grids = (
        f"{key.replace('_', ' ')} of {', '.join(f'{value:.12g}' for value in values)}"
        for key, values in sweep.items()
    )
    return f"{'; '.join(grids)} ({SWEEP_RULE})"


_OPTIMISERS = {"adamw": "AdamW", "sgd": "SGD with Nesterov momentum 0.99"}


class TrainingSettings(Settings):
    """The one recipe and budget that all models share, but for what a model sets itself."""

    steps: Int = Field(
        1000,
        gt=0,
        le=MOST_STEPS,
        title="optimiser steps",
        description="Optimiser steps, the same for every model.",
    )
    batch: Int = Field(
        8, gt=0, le=LONGEST_SIDE, title="patches per step", description="Patches per step."
    )
    accumulate: Int = Field(
        1,
        ge=1,
        le=LONGEST_SIDE,
        title="parts that a step takes its patches in",
        description="Parts that a step takes its patches in, one after another, where memory is "
        "short: patches, steps and gradient stay those of the whole batch, and every patch passes "
        "forward once more. Not with batch norm.",
    )
    patch_2d: Annotated[tuple[Side, Side], PER_AXIS] = Field(
        (128, 128), title="2-D patch in pixels", description="Pixels of a 2-D training patch."
    )
    patch_3d: Annotated[tuple[Side, Side, Side], PER_AXIS] = Field(
        (32, 32, 32), title="3-D patch in voxels", description="Voxels of a 3-D training patch."
    )
    optimiser: Annotated[Literal["adamw", "sgd"], InWords(_OPTIMISERS.__getitem__)] = Field(
        "adamw", description="AdamW, or SGD with Nesterov momentum 0.99."
    )
    learning_rate: Float = Field(
        1e-2,
        gt=0,
        le=1000,
        title="largest learning rate",
        description="Largest learning rate: that of the first step, or of the end of `warm_up`.",
    )
    warm_up: Float = Field(
        0.1,
        ge=0,
        lt=1,
        title="share of steps over which the learning rate rises linearly",
        description="Share of the steps over which the learning rate rises linearly to "
        "`learning_rate`, before it decays over the others.",
    )
    weight_decay: Float = Field(
        1e-2, ge=0, le=1000, description="Decoupled (adamw) or L2 (sgd) weight decay."
    )
    power: Float = Field(
        0.9,
        ge=0,
        le=100,
        title="power of the learning rate's polynomial decay to zero",
        description="Exponent of the polynomial decay to zero.",
    )
    foreground: Float = Field(
        0.5,
        ge=0,
        le=1,
        title="share of patches centred on a foreground voxel",
        description="Share of patches centred on a foreground voxel.",
    )
    validate_every: Int = Field(
        100,
        gt=0,
        le=MOST_STEPS,
        title="steps between inner validations",
        description="Steps between inner-validation passes.",
    )
    augmentation: Augmentation = Field(
        default_factory=AugmentationSettings,
        description="Random changes of a training patch, or the name of a set of them: nnunet.",
    )
    loss: Loss = Field(
        DEFAULT_LOSS,
        description="The loss: a name (docs/losses.md), `{name: tversky, options: {alpha: 0.3}}`, "
        "or own code, `./my_losses.py:my_loss`.",
    )
    sweep: Annotated[
        dict[SweptKey, Annotated[tuple[Float, ...], Field(max_length=100)]] | None,
        InWords(_sweep_text),
    ] = Field(
        None,
        title="chosen for every model, dataset and fold:",
        description="One key, `learning_rate` or `weight_decay`, and the values of which every "
        "model gets its own: chosen for each dataset and fold on the inner validation of that "
        "fold.",
    )

    @model_validator(mode="after")
    def _sweep_leaves_a_choice(self) -> Self:
        if self.sweep is None:
            return self
        if len(self.sweep) != 1:
            raise ValueError(f"`sweep` has one key with its values; found {len(self.sweep)} keys")
        for key, value in self.trials():
            try:
                TrainingSettings.model_validate({key: value})
            except ValidationError as error:
                raise ValueError(
                    f"`sweep.{key}`: {error.errors()[0]['msg']}, found {value}"
                ) from None
        ((key, values),) = self.sweep.items()
        if len(set(values)) < max(2, len(values)):
            raise ValueError(
                f"`sweep.{key}` has at least two values and none twice; found {list(values)}"
            )
        return self

    def trials(self) -> list[tuple[SweptKey, float]]:
        """Return the swept key with each of its values, in their order; empty without a sweep."""
        return [(key, value) for key, values in (self.sweep or {}).items() for value in values]

    def overridden_by(self, own: TrainingSettings) -> TrainingSettings:
        """Return these settings with the keys that `own` was given in their place."""
        given = {key: getattr(own, key) for key in own.model_fields_set}
        theirs = given.get("augmentation")
        # Of another set it takes all, but axes alone are of no set.
        if theirs is not None and (
            type(theirs) is type(self.augmentation) or theirs.model_fields_set == {"flip"}
        ):
            changes = {key: getattr(theirs, key) for key in theirs.model_fields_set}
            given["augmentation"] = self.augmentation.model_copy(update=changes)
        return self.model_copy(update=given)


def _own(training: TrainingSettings) -> TrainingSettings:
    shared = sorted(training.model_fields_set & {"patch_2d", "patch_3d", "sweep"})
    if shared:
        raise ValueError(
            f"{', '.join(shared)}: the same for all models; set it in the study's `training`"
        )
    if not training.model_fields_set:
        raise ValueError("without a key; give one of `training`, or remove it")
    return training


OwnTraining = Annotated[
    TrainingSettings,
    AfterValidator(_own),
    PlainSerializer(lambda own: own.model_dump(mode="json", exclude_unset=True)),
]
"""Keys of `training` that one model has for itself: those that were given, and no defaults."""


class InferenceSettings(Settings):
    """How trained models predict, the same for all of them."""

    mirroring: Bool = Field(
        False,
        title="mirroring at test time",
        description="Average probabilities over the image and its mirror images, along all "
        "combinations of the axes that patches are mirrored along in training: 2, 4 or 8 times the "
        "work.",
    )


class PrimarySettings(Settings):
    """The one comparison that the study answers by; all others are exploratory."""

    # `class` is no name in Python; files are read and written with it.
    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    metric: str | None = Field(
        None, title="metric", description="Its metric; default: the first of `metrics`."
    )
    class_: Literal["all"] | Annotated[int, Field(ge=0, le=255), NUMBER] = Field(
        "all",
        alias="class",
        title="class",
        description="A class by its number, or `all`: the mean over classes.",
    )


class ToleranceSettings(Settings):
    """Largest distance between surfaces that are equal in `nsd`, by the unit of the spacing."""

    mm: Float = Field(1.0, gt=0, le=1e6, description="Tolerance where spacings are in mm.")
    um: Float = Field(0.2, gt=0, le=1e6, description="Tolerance where spacings are in micrometres.")
    px: Float = Field(2.0, gt=0, le=1e6, description="Tolerance where distances are in pixels.")


class ScoringSettings(Settings):
    """Rules of metrics on which the field has no one convention."""

    nsd_tolerance: ToleranceSettings = Field(
        default_factory=ToleranceSettings,
        title="tolerance of NSD",
        description="Surfaces that are no further apart are equal in `nsd`; by unit.",
    )
    lesion_connectivity: Literal["full", "faces"] = Field(
        "full",
        title="neighbours that connect a lesion",
        description="full: diagonal neighbours connect a lesion; faces: only those that share a "
        "face (in 2-D an edge).",
    )
    hd_percentile: Literal["pooled", "larger"] = Field(
        "pooled",
        title="95th percentile of HD95",
        description="pooled: of both directions' distances together, as medpy; larger: of each "
        "direction, then the larger, as MONAI and surface-distance.",
    )


def _primary_text(primary: Any) -> str:
    whole = "mean over classes" if primary.class_ == "all" else f"class {primary.class_}"
    return f"{primary.metric or 'the first metric'}, {whole}"


class AnalysisSettings(Settings):
    """Statistics that turn scores into effects."""

    primary: Annotated[PrimarySettings, InWords(_primary_text)] = Field(
        default_factory=PrimarySettings,
        title="primary comparison",
        description="The one comparison that the study answers by.",
    )
    confidence: Float = Field(
        0.95,
        gt=0.5,
        le=0.9999,
        title="confidence of intervals",
        description="Level of every interval.",
    )
    bootstrap: Int = Field(
        5000,
        ge=200,
        le=10**6,
        title="bootstrap resamples over groups",
        description="Bootstrap resamples over groups.",
    )
    seed: Seed = Field(0, title="seed of the resampling", description="Seed of the resampling.")
    margin: Float = Field(
        0.01,
        gt=0,
        le=1e6,
        title="margin of equivalence for metrics without a unit",
        description="Differences below this are negligible, for metrics without a unit (Dice and "
        "its like).",
    )
    accept_mixed: Annotated[
        tuple[Literal["device", "precision", "torch"], ...],
        InWords(lambda facts: ", ".join(facts) or "none"),
    ] = Field(
        (),
        title="differences between the machines of runs that are accepted",
        description="Facts in which runs of one comparison may differ: device, precision, torch; "
        "by default such runs are refused. Every table then says so.",
    )


# Springer LNCS has one column; IEEE and Nature have two. The height leaves room for a caption.
_JOURNALS = {"miccai": (122, 122, 180), "tmi": (88.9, 181, 210), "nature": (89, 183, 230)}
Journal = Literal["miccai", "tmi", "nature"]
_Length = Annotated[float, Field(ge=60, le=2000), NUMBER]
PageMm = tuple[_Length, _Length, _Length]


def _page_of_journal(value: Any) -> Any:
    if isinstance(value, str) and value not in _JOURNALS:
        raise ValueError(f"no such journal; {nearest(value, _JOURNALS)}")
    return _JOURNALS.get(value, value) if isinstance(value, str) else value


class FiguresSettings(Settings):
    """Size of printed figures."""

    page: Annotated[
        PageMm, BeforeValidator(_page_of_journal, json_schema_input_type=Journal | PageMm)
    ] = Field(
        (88, 180, 230),
        description="A journal, or mm: width of a column, width of the text, largest height.",
    )


_PRECISIONS = {
    "auto": "bfloat16 autocast on CUDA, float32 elsewhere",
    "tf32": "float32 whose products are TF32",
}


class ComputeSettings(Settings):
    """Devices, and what one run asks of them."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="auto: CUDA, else MPS, else CPU."
    )
    precision: Annotated[
        Literal["auto", "float32", "tf32", "bfloat16"],
        InWords(lambda precision: _PRECISIONS.get(precision, precision)),
    ] = Field(
        "auto",
        description="auto: bfloat16 autocast on CUDA, float32 elsewhere. tf32, on NVIDIA's GPUs "
        "alone: products of float32 in TF32; float32 is without.",
    )
    threads: Int = Field(1, gt=0, le=4096, description="CPU threads (Snakemake cores) of one run.")
    runs_per_gpu: Int = Field(1, gt=0, le=1000, description="Runs that share one GPU.")
    memory_mb: Int = Field(
        4000, gt=0, le=10**9, description="Memory that one run asks a cluster for."
    )
    minutes: Int = Field(240, gt=0, le=10**7, description="Time that one run asks a cluster for.")
    checkpoint_minutes: Float = Field(
        10,
        gt=0,
        description="A training writes down where it is this often, and when it is asked to stop.",
    )


def _address(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("an address or a folder without control characters is expected")
    return text


Address = Annotated[str, Field(max_length=2000), AfterValidator(_address)]


class DataSettings(Settings):
    """Source of the originals, and the folder that keeps them."""

    mirror: Address | None = Field(
        None, description="URL or folder tried first; also ATTNBENCH_MIRROR."
    )
    mirrors: dict[Name, Address] = Field(
        default_factory=dict,
        description="By dataset (or family of sizes): URL or folder that holds its files as its "
        "origin names them, tried before `mirror`.",
    )
    offline: Bool = Field(False, description="Never leave the mirror.")
    downloads: ResultsPath | None = Field(
        None,
        description="Folder of verified originals, to share between studies; default: in the "
        "output folder.",
    )

    @model_validator(mode="after")
    def _no_secrets(self) -> Self:
        """Refuse users, passwords and tokens: a study is kept beside its results and shown."""
        named = {f"data.mirrors.{name}": mirror for name, mirror in self.mirrors.items()}
        for key, mirror in {"data.mirror": self.mirror, **named}.items():
            if mirror and has_secrets(mirror):
                raise ValueError(
                    f"{key}: {without_secrets(mirror)} came with a user, password or token, which "
                    "a study does not keep: put user and password into ~/.netrc, or the whole "
                    "address into the environment's ATTNBENCH_MIRROR"
                )
        return self

"""Every frame of the analysis and its columns: `analysis/<name>.csv`, as docs/files.md explains it.

The one declaration that the analysis writes by, that reporting and the Snakefile read, and that
the documentation is tested against. Imports no pandas: the Snakefile reads it.
"""

from __future__ import annotations

_CELL = ("dataset", "class", "class_name", "metric", "unit", "model")
_COUNTS = ("cases", "groups", "folds", "seeds")
_INTERVAL = ("low", "high")
_RUN = ("dataset", "model", "fold", "seed")
_VERDICT = ("benefit", "significant", "verdict")
_MEANS = (
    *_CELL, "mean", *_INTERVAL, "median", "sd", *_COUNTS,
    "undefined", "both_empty", "prediction_empty", "reference_empty", "not_a_number",
)  # fmt: skip
_SHIFTED = ("class", "metric", "unit", "model")
_DIFFERENCE = (
    "baseline", "difference", "difference_low", "difference_high", "p", "p_holm", *_VERDICT,
)  # fmt: skip
_MEASURE = ("dataset", "metric", "unit", "model", "baseline", "measure", "known_truth")

FRAMES: dict[str, tuple[str, ...]] = {
    "means": _MEANS,
    "second_rater": _MEANS,
    "effects": (
        *_CELL, "baseline", "difference", *_INTERVAL, "higher_is_better", "benefit",
        "p", "p_holm", "p_permutation", "family", "family_size", *_COUNTS,
        "dropped", "better", "worse", "seed_sd", "group_sd",
        "retrained_low", "retrained_high", "p_retrained", "p_retrained_holm",
        "dz", "superiority", "margin", "p_equivalence", "p_equivalence_holm", "equivalent",
        "minimum_effect", "minimum_effect_holm",
        "significant", "verdict", "significant_retrained", "verdict_retrained",
    ),
    "best": (
        "dataset", "class", "metric", "model", "best", "difference", "p", "p_holm", "groups",
        "as_good",
    ),
    "across": (
        "dataset", "metric", "unit", "model", "baseline", "method", "difference", *_INTERVAL, "p",
        "free", "sd_dataset", "sd_fold", "sd_run", "sd_group", "sd_case", "sd_rest",
        "datasets", "groups", "cases", "runs", "differences", "converged", "note",
    ),
    "ranks": (
        "dataset", "class", "metric", "model", "mean_rank", "position", "position_low",
        "position_high", "first", "resampled", "models", "blocks", "dropped",
    ),
    "rank_tests": (
        "dataset", "class", "metric", "models", "blocks", "dropped", "chi2", "p", "f", "p_f",
        "critical_difference",
    ),
    "rank_pairs": (
        "dataset", "class", "metric", "model_a", "model_b", "rank_difference", "p",
        "critical_difference", "significant",
    ),
    "agreement": (
        "dataset", "metric_a", "metric_b", "models", "tau", "p", "winner_a", "winner_b",
        "same_winner",
    ),
    "cases": ("dataset", "rule", "case", "group", "fold", "seed", "of_model", "metric"),
    "difficulty": (
        *_MEASURE, "slope", *_INTERVAL, "p", "p_holm", "family", "family_size", *_VERDICT,
        "measure_mean", "measure_sd", "groups", "cases",
    ),
    "difficulty_strata": (
        *_MEASURE, "stratum", "from", "to", "benefit", *_INTERVAL, "groups", "cases",
    ),
    "reliability": (
        "dataset", "class", "class_name", "model", "bin", "voxels", "probability", "observed",
        *_INTERVAL, "ece", *_COUNTS,
    ),
    "cost": (
        "dataset", "model", "parameters", "flops", "input", "runs", "device", "precision",
        "train_seconds", "images_per_second", "peak_memory_bytes", "energy_j",
        "batch", "latency_seconds", "inference_seconds", "inference_images_per_second",
        "inference_peak_bytes", "step_seconds", "step_images_per_second", "step_peak_bytes",
        "rounds", "parameters_ratio", "flops_ratio", "train_seconds_ratio",
        "latency_seconds_ratio", "step_seconds_ratio",
    ),
    "transfer": (
        "train", "test", *_SHIFTED, "mean", *_INTERVAL, *_DIFFERENCE, *_COUNTS, "failures",
    ),
    "corruption_levels": (
        "dataset", "corruption", "level", *_SHIFTED, "mean", *_INTERVAL, *_COUNTS, "failures",
    ),
    "corruption_slopes": (
        "dataset", "corruption", *_SHIFTED, "slope", *_INTERVAL, *_DIFFERENCE, *_COUNTS,
    ),
    "data_efficiency": (
        "dataset", "percent", "training_groups", *_SHIFTED, "mean", *_INTERVAL, *_DIFFERENCE,
        *_COUNTS, "failures",
    ),
    "learning": (
        *_RUN, "step", "loss", "loss_dice", "loss_cross_entropy", "validation_dice",
        "learning_rate", "images_per_second",
    ),
    "runs": (
        *_RUN, "trained", "predicted", "scored", "gathered", "recipe_hash", "data_hash",
        "folds_hash", "device", "precision", "steps", "train_seconds", "images_per_second",
        "peak_memory_bytes", "energy_j", "parameters", "training_groups",
    ),
    "missing": (*_RUN, "percent", "table", "next_step"),
}  # fmt: skip

TEXTS = frozenset(
    {
        "dataset", "train", "test", "model", "model_a", "model_b", "class", "class_name", "metric",
        "metric_a", "metric_b", "unit", "baseline", "measure", "corruption", "case", "group",
        "of_model", "best",
    }
)  # fmt: skip
"""Columns of names: a case called `01` is read as this text, never as the number 1."""

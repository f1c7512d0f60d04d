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
    "undefined", "both_empty", "prediction_empty", "reference_empty", "not_a_number", "diverged",
)  # fmt: skip
_SHIFTED = ("class", "metric", "unit", "model")
DIFFERENCE = (
    "baseline", "difference", "difference_low", "difference_high", "p", "p_holm", *_VERDICT,
    "retrained_low", "retrained_high", "p_retrained", "p_retrained_holm", "verdict_retrained",
)  # fmt: skip
"""Columns of a frame of shift about the difference from the baseline."""
_MEASURE = ("dataset", "metric", "unit", "model", "baseline", "measure", "known_truth")

_PLACE = ("slot", "level", "mechanism")
_READ = ("scale", "gate_mean", "gate_sd", "entropy", "change")

FRAMES: dict[str, tuple[str, ...]] = {
    "means": _MEANS,
    "second_rater": _MEANS,
    "answer": (
        "dataset", "class", "metric", "unit", "model", "baseline", "rivals", "same_as_baseline",
        "lacking", "difference", *_INTERVAL, "simultaneous_low", "simultaneous_high",
        "difference_present",
        "retrained_low", "retrained_high", "simultaneous_retrained_low",
        "simultaneous_retrained_high", "benefit", "p", "p_holm", "p_retrained", "p_retrained_holm",
        "weakest", "weakest_benefit", "p_all", "p_all_holm", "p_all_retrained",
        "p_all_retrained_holm", "margin", "p_equivalence", "p_equivalence_holm",
        "probability_better", "probability_equal", "probability_worse",
        "minimum_effect_retrained", "family_size", *_COUNTS, "trainings", "near_zero",
        "verdict_trained", "verdict",
    ),
    "effects": (
        *_CELL, "baseline", "difference", *_INTERVAL, "higher_is_better", "benefit",
        "p", "p_holm", "p_wilcoxon", "family", "family_size", *_COUNTS,
        "dropped", "lost_rows", "failures", "failures_baseline", "false_alarms",
        "false_alarms_baseline", "better", "worse",
        "difference_present", "low_present", "high_present", "cases_present", "groups_present",
        "seed_sd", "group_sd", "retrained_low", "retrained_high", "retrained_error", "free",
        "trainings", "p_retrained", "p_retrained_holm",
        "probability_better", "probability_equal", "probability_worse",
        "dz", "superiority", "margin", "p_equivalence", "p_equivalence_holm", "equivalent",
        "near_zero", "minimum_effect", "minimum_effect_holm", "minimum_effect_retrained",
        "significant", "verdict", "significant_retrained", "verdict_retrained",
    ),
    "best": (
        "dataset", "class", "metric", "model", "best", "difference", "p_adjusted", "groups",
        "as_good",
    ),
    "pairs": (
        "dataset", "metric", "unit", "model_a", "model_b", "benefit", "p_adjusted",
        "probability_false", "probability_false_retrained", "groups", "trainings",
    ),
    "across": (
        "dataset", "metric", "unit", "model", "baseline", "method", "difference", *_INTERVAL, "p",
        "free", "probability_better", "probability_equal", "probability_worse",
        "sd_dataset", "sd_fold", "sd_run", "sd_group", "sd_rest",
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
        *_MEASURE, "slope", *_INTERVAL, "p", "p_retrained", "slope_logit", "low_logit",
        "high_logit", "p_logit", "p_retrained_logit", "p_both", "p_holm", "p_both_retrained",
        "p_retrained_holm", "retrained_low", "retrained_high", "retrained_low_logit",
        "retrained_high_logit", "family", "family_size", *_VERDICT, "significant_retrained",
        "verdict_retrained", "measure_mean", "measure_sd", "groups", "cases", "trainings",
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
        "latency_seconds_ratio", "step_seconds_ratio", "trials", "trial_seconds", "all_seconds",
        "all_energy_j", "diverged", "told", "rising",
    ),
    "sweep": (
        "dataset", "model", "fold", "key", "value", "score", "failed", "chosen", "at_edge",
        "seconds", "energy_j",
    ),
    "gates": (*_RUN, *_PLACE, *_READ, "reading"),
    "openness": (
        "dataset", "model", *_PLACE,
        *(f"{name}{of}" for name in _READ for of in ("", "_min", "_max")),
        "runs", "hardly_opened", "even", "open", "reading",
    ),
    "transfer": (
        "train", "test", *_SHIFTED, "mean", *_INTERVAL, *DIFFERENCE, *_COUNTS, "failures",
    ),
    "ensembles": (
        "train", "test", *_SHIFTED, "mean", *_INTERVAL, "single", "gain", "gain_low", "gain_high",
        "baseline", "difference", "difference_low", "difference_high", "failures_differ",
        "members", "cases", "groups", "failures",
    ),
    "held_out": (
        "dataset", *_SHIFTED, "mean", *_INTERVAL, *DIFFERENCE, *_COUNTS, "failures",
    ),
    "corruption_levels": (
        "dataset", "corruption", "level", *_SHIFTED, "mean", *_INTERVAL, *_COUNTS, "failures",
    ),
    "corruption_slopes": (
        "dataset", "corruption", *_SHIFTED, "slope", *_INTERVAL, *DIFFERENCE, *_COUNTS,
    ),
    "data_efficiency": (
        "dataset", "percent", "training_groups", *_SHIFTED, "mean", *_INTERVAL, *DIFFERENCE,
        *_COUNTS, "failures",
    ),
    "learning": (
        *_RUN, "step", "loss", "loss_dice", "loss_cross_entropy", "validation_dice",
        "learning_rate", "images_per_second",
    ),
    "runs": (
        *_RUN, "trained", "predicted", "scored", "gathered", "recipe_hash", "data_hash",
        "folds_hash", "device", "precision", "steps", "train_seconds", "images_per_second",
        "peak_memory_bytes", "energy_j", "parameters", "training_groups", "diverged", "rise",
        "still_rising",
    ),
    "machines": ("fact", "stage", "value", "runs"),
    "inspected": (
        "dataset", "cases", "groups", "exact_across", "near_across", "exact_within",
        "near_within", "duplicates", "merged", "merged_into", "empty_masks", "equal_masks",
        "constant_images", "rare_classes", "absent_classes", "outliers", "mixed", "views", "reach",
        "complete", "least",
    ),
    "duplicates": (
        "dataset", "case_a", "group_a", "case_b", "group_b", "across_groups", "kind",
        "correlation", "distance", "turn", "scale", "shift",
    ),
    "findings": ("dataset", "kind", "case", "group", "measure", "value", "text"),
    "missing": (*_RUN, "percent", "table", "next_step"),
}  # fmt: skip

TEXTS = frozenset(
    {
        "dataset", "train", "test", "model", "model_a", "model_b", "class", "class_name", "metric",
        "metric_a", "metric_b", "unit", "baseline", "measure", "corruption", "case", "group",
        "case_a", "group_a", "case_b", "group_b",
        "of_model", "best", "rivals", "same_as_baseline", "lacking", "weakest",
    }
)  # fmt: skip
"""Columns of names: a case called `01` is read as this text, never as the number 1."""

"""AttnBench: does attention make a U-Net segment medical images better, by how much, at what
cost, and where?

The Python interface: docs/api.md. A name is imported when it is first asked for.
"""

__version__ = "0.1.0"
__all__ = [
    "Dataset",
    "Predicted",
    "StudyResults",
    "TrainedRun",
    "build_model",
    "compare",
    "load_study",
    "mechanism",
    "metric",
    "open_dataset",
    "open_results",
    "predict",
    "score_case",
    "train",
]

# Not from `typing`: this module imports nothing, and type checkers know the name. To them
# `__getattr__` is not there: it would hide a name that is none.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from attnbench.api import (
        Dataset,
        Predicted,
        StudyResults,
        TrainedRun,
        build_model,
        compare,
        load_study,
        mechanism,
        metric,
        open_dataset,
        open_results,
        predict,
        score_case,
        train,
    )
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'attnbench' has no attribute {name!r}")
        from attnbench import api

        return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

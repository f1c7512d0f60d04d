"""`python -m benchmarks.first_work VERB ...`: a verb up to its first useful work, for row 7.

The module loads nothing that the verb would not: what it takes is part of what is timed.
"""

import importlib
import os
import sys

# Verb: the function whose first call is its useful work.
WORK = {
    "train": "attnbench.training.loop:take_step",
    "predict": "attnbench.inference.trained:predict_probabilities",
    "measure": "attnbench.training.measure:_peak_of",
    "describe": "attnbench.models.describe:build_network",
    "score": "attnbench.scoring.run:score_masks",
}


def stop_at_work(verb: str) -> None:
    """Run the verb of the command line up to its useful work, and end the process there."""
    from attnbench import cli

    module, _, name = WORK[verb].partition(":")
    setattr(importlib.import_module(module), name, lambda *_, **__: os._exit(0))
    cli.main()
    raise SystemExit(f"attnbench {verb} never called {WORK[verb]}")


if __name__ == "__main__":
    stop_at_work(sys.argv[1])

"""Which mechanisms can be written as model files, and what they leave open: docs/predictions.md.

python -m benchmarks.model_files            # every model in 2-D: half an hour on one core
python -m benchmarks.model_files 3 unet bam # these in 3-D
"""

import sys
import tempfile
from pathlib import Path

import torch

from attnbench.errors import ModelError
from attnbench.inference.model_file import FORMATS, SUFFIX, write_network
from attnbench.models.build import build_model
from attnbench.models.names import model_names
from attnbench.models.spec import NetworkSpec

WIDTHS = (16, 32)


def main(ndim: int, names: tuple[str, ...]) -> None:
    """Print a row of a table for each model and format."""
    torch.set_num_threads(1)
    spec = NetworkSpec(ndim, 1, 3, (16,) * ndim)
    print("| model | format | leaves open | largest difference | reason |\n|---|---|---|---|---|")
    for name in names:
        torch.manual_seed(0)
        try:
            network = build_model(name, ndim, 1, 3, WIDTHS, spec.patch, blocks_per_level=1).eval()
        except ModelError as error:
            print(f"| {name} | | no form | | {error} |", flush=True)
            continue
        for form in FORMATS:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    written = write_network(
                        network, spec, form, Path(folder, f"network{SUFFIX[form]}")
                    )
                except ModelError as error:
                    print(f"| {name} | {form} | cannot be written | | {error} |", flush=True)
                    continue
            parts = {"number": written.freedom.batch, "sides": written.freedom.step is not None}
            left = " and ".join(part for part, free in parts.items() if free) or "nothing"
            share = f"{written.difference:.1e} of {written.largest:.2g}"
            print(f"| {name} | {form} | {left} | {share} | {written.tightened} |", flush=True)


if __name__ == "__main__":
    axes, *chosen = sys.argv[1:] or ["2"]
    main(int(axes), tuple(chosen) or model_names())

"""Print every variant's parameters and FLOPs beside those of its matched plain U-Nets.

    python benchmarks/matched_baselines.py [2|3]

As Markdown. Default backbone, one input channel, two classes, FLOPs of one forward pass of the
reference patch.
"""

import sys

from attnbench.models.build import find_match, reference_patch
from attnbench.models.listing import CLASSES, list_models
from attnbench.models.names import named_model
from attnbench.models.spec import NetworkSpec
from attnbench.study.models import BackboneSettings


def main() -> None:
    ndim = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    patch = reference_patch(ndim)
    print(
        f"{ndim}-D, input 1 x {' x '.join(map(str, patch))}, widths "
        f"{list(BackboneSettings().widths)}\n"
    )
    print("| variant | parameters | matched | widths | MFLOPs | matched | widths |")
    print("|---|---:|---:|---|---:|---:|---|")
    for row in list_models((ndim,)):
        if row.model == "unet":
            continue
        cells = [row.model]
        for control, size, unit in (
            ("parameters", row.parameters, 1),
            ("flops", row.flops, 1_000_000),
        ):
            model = named_model(f"{row.model}-{control}")
            spec = NetworkSpec(ndim, 1, CLASSES, patch)
            match = find_match(model, BackboneSettings(), spec)
            assert match
            widths = ", ".join(map(str, match.widths))
            if match.widths == BackboneSettings().widths:
                widths += " (the U-Net)"
            cells += [f"{size / unit:,.0f}", f"{match.difference:+.2%}", widths]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

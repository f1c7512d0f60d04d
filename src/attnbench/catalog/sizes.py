"""One file, several datasets: the same images published in several sizes.

Such a file says `sizes: {128: {url, md5}, 256: ...}` beside an `origin` without address; it stands
for the datasets `<name>_128`, `<name>_256` and so on, which differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attnbench.study.reading import parse_yaml

OF_A_SIZE = ("url", "md5", "download_mb", "at_most_mb")


def names_in(stem: str, text: str) -> tuple[str, ...]:
    """Names of the datasets that `<stem>.yaml` with this `text` stands for; parses `sizes` alone.

    `RefusedYaml` if that part is no YAML.
    """
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("sizes:")]
    if not starts:
        return (stem,)
    block = [lines[starts[0]]]
    for line in lines[starts[0] + 1 :]:
        if line.strip() and not line.startswith((" ", "}", "#")):
            break
        block.append(line)
    sizes = parse_yaml("\n".join(block))["sizes"]
    # What is no mapping is refused with all else that is wrong, when the entry is read.
    return tuple(f"{stem}_{size}" for size in sizes) if isinstance(sizes, Mapping) else (stem,)


def by_size(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the content of every dataset's entry; `content` itself if it has no `sizes`.

    `ValueError` if a size is no number of pixels with an address.
    """
    if "sizes" not in content:
        yield dict(content)
        return
    sizes = content["sizes"]
    if not isinstance(sizes, Mapping) or not sizes:
        raise ValueError(f"sizes: {{128: {{url, md5}}, ...}} is expected; found {sizes!r}")
    shared = {key: value for key, value in content.items() if key != "sizes"}
    for size, own in sizes.items():
        if not isinstance(size, int) or not isinstance(own, Mapping) or not {*own} <= {*OF_A_SIZE}:
            raise ValueError(
                f"sizes: {size!r} is no number of pixels with {', '.join(OF_A_SIZE)}; found {own!r}"
            )
        address = {key: own[key] for key in ("url", "md5") if key in own}
        yield {
            **shared,
            **{key: value for key, value in own.items() if key not in address},
            "name": f"{shared.get('name')}_{size}",
            "family": shared.get("name"),
            "short": f"{shared.get('short')} {size}",
            "title": f"{shared.get('title')}, {size} x {size}",
            "origin": {**shared.get("origin", {}), **address},
        }

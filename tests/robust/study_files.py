"""Study files as people and accidents write them: by hand, every key by every value, every byte."""

import copy
import random
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
REAL = [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]

# Every group of keys, with a value that is allowed.
FULL = {
    "name": "full",
    "datasets": [
        {
            "name": "phantom2d",
            "size": [32, 32],
            "channels": [0],
            "interpolation": "cubic",
            "normalisation": "percentile",
            "patch": [16, 16],
            "duplicates": "merge",
            "mirror_axes": [0, 1],
            "batch": 2,
            "steps": 4,
        },
        {"name": "phantom2d_faint", "test_only": True, "size": [32, 32]},
    ],
    "accept_licences": ["us_usgra"],
    "backbone": {
        "widths": [2, 4],
        "blocks_per_level": 1,
        "norm": "group",
        "block": "residual",
        "deep_supervision": False,
    },
    "controls": ["random", "conv1x1"],
    "models": [
        "unet",
        {
            "name": "mine",
            "slots": {"skip": [{"name": "cbam", "levels": [0], "options": {"reduction": 2}}]},
            "training": {"learning_rate": 0.1, "optimiser": "sgd"},
        },
        {
            "name": "theirs",
            "predictions": {
                "folder": "preds/{dataset}/{fold}",
                "origin": "nnU-Net v2",
                "missing": "empty",
                "datasets": ["phantom2d"],
            },
        },
    ],
    "baseline": "unet",
    "folds": {"outer": 2, "repeats": 2, "inner": 2, "seed": 3, "run": [0, 1]},
    "seeds": [0, 1],
    "training": {
        "steps": 4,
        "batch": 2,
        "patch_2d": [16, 16],
        "patch_3d": [16, 16, 16],
        "optimiser": "adamw",
        "learning_rate": 0.01,
        "warm_up": 0.1,
        "weight_decay": 0.01,
        "power": 0.9,
        "foreground": 0.5,
        "validate_every": 2,
        "augmentation": {
            "rotation": 10,
            "scaling": 0.1,
            "brightness": 0.1,
            "contrast": 0.1,
            "gamma": 0.1,
            "noise": 0.1,
            "flip": [0],
        },
        "loss": {"name": "tversky", "options": {"alpha": 0.3}},
    },
    "inference": {"mirroring": True},
    "metrics": ["dice", "hd95"],
    "scoring": {
        "nsd_tolerance": {"mm": 1.0, "um": 0.2, "px": 2.0},
        "lesion_connectivity": "faces",
        "hd_percentile": "larger",
    },
    "transfer": [{"train": "phantom2d", "test": "phantom2d_faint", "ensemble": True}],
    "corruptions": ["noise", "blur"],
    "data_efficiency": [50],
    "analysis": {
        "primary": {"metric": "dice", "class": "all"},
        "confidence": 0.9,
        "bootstrap": 200,
        "seed": 1,
        "margin": 0.02,
    },
    "figures": {"page": [88, 180, 230]},
    "compute": {
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        "runs_per_gpu": 1,
        "memory_mb": 1000,
        "minutes": 10,
    },
    "data": {
        "mirror": "/nowhere",
        "mirrors": {"us_usgra": "/nowhere"},
        "offline": True,
        "downloads": "kept/downloads",
    },
    "output": "results/full",
}

VALUES: dict[str, object] = {
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "one": 1,
    "minus": -1,
    "half": 0.5,
    "tiny": 1e-300,
    "huge": 10**30,
    "two_to_63": 2**63,
    "large": 10**9,
    "inf": float("inf"),
    "minus_inf": float("-inf"),
    "nan": float("nan"),
    "empty_text": "",
    "space": " ",
    "text": "x",
    "upper": "Dice",
    "umlaut": "ü",
    "emoji": "\U0001f4a5",
    "long": "a" * 5000,
    "long_digits": "9" * 5000,
    "newline": "a\nb",
    "nul": "a\0b",
    "escape": "a\x1b[31mb",
    "braces": "{dataset}",
    "brace": "{",
    "percent": "%s%n",
    "tilde": "~nosuchuser/x",
    "option": "-rf",
    "parent": "../../x",
    "root": "/",
    "shell": "$(touch owned)",
    "device": "/dev/null",
    "windows": "con",
    "code": "os.system",
    "script": "<script>alert(1)</script>",
    "empty_list": [],
    "list_of_none": [None],
    "twice": [0, 0],
    "list_of_lists": [[[[0]]]],
    "empty_mapping": {},
    "mapping": {"x": 1},
    "many": list(range(2000)),
    "date_text": "2024-01-01",
    "own_file": "./nothing.py:Thing",
}


def paths_in(content: object, above: tuple = ()) -> Iterator[tuple]:
    """Yield the place of every value in a nested content, those of lists and mappings too."""
    items = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in items:
        yield (*above, key)
        yield from paths_in(value, (*above, key))


def at(content: object, place: tuple) -> object:
    for key in place:
        content = content[key]
    return content


def mutations() -> Iterator[tuple[str, dict, tuple, object]]:
    """Yield name, study, place and value of the full study with one value replaced."""
    for place in paths_in(FULL):
        for name, value in VALUES.items():
            changed = copy.deepcopy(FULL)
            at(changed, place[:-1])[place[-1]] = copy.deepcopy(value)
            yield f"{'.'.join(map(str, place))}={name}", changed, place, value
    for place in [(), *paths_in(FULL)]:
        if isinstance(at(FULL, place), dict):
            changed = copy.deepcopy(FULL)
            at(changed, place)["nosuchkey"] = 1
            yield f"{'.'.join(map(str, place))}+unknown", changed, (*place, "nosuchkey"), 1


def damaged(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield real study files with an accident each: bits, bytes and lines lost, added, moved."""
    draw = random.Random(seed)
    for number in range(count):
        path = draw.choice(REAL)
        data = bytearray(path.read_bytes())
        kind = draw.choice(["bit", "cut", "insert", "lose", "line", "twice", "swap", "indent"])
        place = draw.randrange(len(data))
        lines = bytes(data).split(b"\n")
        line = draw.randrange(len(lines))
        match kind:
            case "bit":
                data[place] ^= 1 << draw.randrange(8)
            case "cut":
                del data[place:]
            case "insert":
                data[place:place] = bytes([draw.randrange(256)])
            case "lose":
                del data[place : place + draw.randrange(1, 30)]
            case "line":
                del lines[line]
            case "twice":
                lines.insert(line, lines[line])
            case "swap":
                other = draw.randrange(len(lines))
                lines[line], lines[other] = lines[other], lines[line]
            case "indent":
                lines[line] = draw.choice([b" ", b"\t", b"  - "]) + lines[line]
        changed = bytes(data) if kind in ("bit", "cut", "insert", "lose") else b"\n".join(lines)
        yield f"{path.stem}-{kind}-{number}", changed


def text_of(**changes: object) -> str:
    """A small study as text, with other keys."""
    content = {"name": "s", "datasets": ["phantom2d"], "models": ["unet"], **changes}
    return yaml.safe_dump(content, sort_keys=False)


def _placed(placement: object) -> str:
    """A study with a model that has something in its skip connections."""
    return text_of(models=["unet", {"name": "m", "slots": {"skip": placement}}])


def _laughs(kind: str, levels: int = 12) -> str:
    if kind == "lists":
        first, line = "[a, a, a, a, a, a, a, a, a]", "[{0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}]"
    else:
        first, line = "{a: 1, b: 2}", "{{a: {0}, b: {0}, c: {0}, d: {0}, e: {0}}}"
    lines = [f"l0: &l0 {first}"]
    lines += [f"l{n}: &l{n} {line.format(f'*l{n - 1}')}" for n in range(1, levels)]
    return "\n".join(lines)


SMALL = "name: s\ndatasets: [phantom2d]\nmodels: [unet]\nbaseline: unet\n"
BY_HAND: dict[str, tuple[bytes, tuple[str, ...]]] = {
    name: (data if isinstance(data, bytes) else data.encode(), fragments)
    for name, (data, fragments) in {
        "empty": ("", ("nothing in it",)),
        "comments alone": ("# a study\n", ("nothing in it",)),
        "null": ("~", ("mapping of keys", "nothing")),
        "a list": ("- a\n- b\n", ("mapping of keys", "list")),
        "a text": ("attnbench", ("mapping of keys", "str")),
        "a number": ("3", ("mapping of keys",)),
        "UTF-16": ((SMALL + "# ü").encode("utf-16"), ("UTF-16", "iconv")),
        "UTF-16 without mark": (SMALL.encode("utf-16-le"), ("UTF-16LE", "iconv")),
        "UTF-16 BE": (SMALL.encode("utf-16-be"), ("UTF-16BE", "iconv")),
        "UTF-32": (SMALL.encode("utf-32"), ("UTF-32", "iconv")),
        "Latin-1": ((SMALL + "# größe").encode("latin-1"), ("line 5", "0xf6", "Latin-1", "'ö'")),
        "NUL": (SMALL.encode() + b"# \0", ("line 5", "NUL")),
        "control character": (SMALL + "# \x01", ("line 5", "U+0001")),
        "tab": (SMALL + "folds:\n\touter: 2\n", ("line 6", "tabs")),
        "key twice": ("name: x\n" + SMALL, ("line 2", "`name`", "line 1")),
        "nested key twice": (SMALL + "folds:\n  outer: 2\n  outer: 3\n", ("line 7", "line 6")),
        "key twice in one line": (SMALL + "folds: {outer: 2, outer: 3}\n", ("line 5", "`outer`")),
        "key twice by merge": (
            SMALL + "x: &x {outer: 2}\nfolds: {<<: *x, <<: *x}\n",
            ("line 6", "`<<`"),
        ),
        "laughs": (_laughs("lists"), ("300000 values",)),
        "laughing mappings": (_laughs("mappings"), ("300000 values",)),
        "itself": ("a: &a [*a]", ("line 1", "*a", "no end")),
        "no such alias": (SMALL + "seeds: *x\n", ("line 5", "undefined alias")),
        "deep": (SMALL + "seeds: " + "[" * 10_000, ("line 5", "within each other")),
        "deep block": ("".join(" " * n + "a:\n" for n in range(200)), ("within each other",)),
        "deep by aliases": (
            "\n".join(["a0: &a0 [1]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 100)]),
            ("within each other",),
        ),
        "python tag": ("name: !!python/object/apply:os.system ['touch owned']", ("tag",)),
        "tag": ("name: !mine x", ("line 1", "tag")),
        "set": ("name: !!set {a, b}", ("tag",)),
        "binary": ("name: !!binary aGk=", ("tag",)),
        "documents": (SMALL + "---\n" + SMALL, ("line 5", "second document")),
        "date": ("name: 2024-01-01\n", ("line 1", "date", "quotes")),
        "no": ("name: no\n", ("line 1", "`no`", "false", "quotes")),
        "on": (SMALL + "inference: {mirroring: on}\n", ("line 5", "`on`", "true")),
        "key on": ("on: 1\n", ("line 1", "`on`")),
        "octal": (SMALL + "seeds: [010]\n", ("line 5", "base eight")),
        "sexagesimal": (SMALL + "seeds: [1:30]\n", ("line 5", "1:30")),
        "grouped digits": (SMALL + "seeds: [1_000]\n", ("line 5", "1_000")),
        "digits": (SMALL + f"seeds: [{'9' * 5000}]\n", ("line 5", "5000 characters")),
        "key of a list": ("? [a]\n: 1\n", ("line 1", "key")),
        "key null": ("~: 1\n", ("line 1", "key")),
        "template": ("__use_yte__: true\n" + SMALL, ("__use_yte__", "Python code")),
        "mebibytes": (SMALL + "#" * 2**23, ("4 MiB",)),
        "many values": (f"seeds: [{'1, ' * 400_000}1]", ("300000 values",)),
        "colon": ("name: a: b", ("line 1", "quotes")),
        "bracket": (SMALL + "seeds: [1, 2\n", ("line 6",)),
        "at sign": ("name: @x", ("line 1", "quotes")),
        "many seeds": (text_of(seeds=list(range(100_000))), ("seeds", "100000 entries", "10000")),
        "many models": (
            f"name: s\ndatasets: [phantom2d]\nmodels: [{', '.join(['cbam'] * 200_000)}]\n",
            ("models", "200000", "1000"),
        ),
        "many models by controls": (
            text_of(
                models=[
                    "unet",
                    *({"name": f"m{n}", "slots": {"skip": "cbam"}} for n in range(600)),
                ],
                controls=["random", "conv1x1"],
            ),
            ("models", "601", "1200", "controls"),
        ),
        "many runs": (
            text_of(seeds=list(range(9000)), folds={"outer": 20}),
            ("180000 runs", "100000"),
        ),
        "many runs by shares": (
            text_of(seeds=list(range(9000)), data_efficiency=[50, 60]),
            ("135000 runs",),
        ),
        "no levels": (
            text_of(
                models=["unet", {"name": "m", "slots": {"skip": {"name": "cbam", "levels": []}}}]
            ),
            ("levels", "at least 1"),
        ),
        "no mechanism": (
            _placed([]),
            ("slots.skip", "at least 1"),
        ),
        "level twice": (
            text_of(
                models=[
                    "unet",
                    {"name": "m", "slots": {"skip": {"name": "cbam", "levels": [0, 0]}}},
                ]
            ),
            ("levels", "more than once"),
        ),
        "fold twice": (text_of(folds={"run": [0, 0]}), ("folds.run", "more than once")),
        "no folds": (text_of(folds={"run": []}), ("folds.run", "at least 1")),
        "seed too large": (text_of(seeds=[2**64]), ("seeds[0]", "2147483648")),
        "seed twice": (text_of(seeds=[1, 1]), ("seeds", "more than once")),
        "control twice": (text_of(controls=["random", "random"]), ("controls", "more than once")),
        "infinite rate": (SMALL + "training: {learning_rate: .inf}\n", ("learning_rate", "finite")),
        "braces": (text_of(output="results/{x}"), ("output", "braces")),
        "format": (
            text_of(
                models=[
                    "unet",
                    {"name": "e", "predictions": {"folder": "{fold:999999999}", "origin": "x"}},
                ]
            ),
            ("predictions.folder", "leading zeros"),
        ),
        "home": (text_of(output="~nosuchuser/x"), ("output", "`~`")),
    }.items()
}
ACCEPTED: dict[str, bytes] = {
    "as it is": SMALL.encode(),
    "UTF-8 with mark": b"\xef\xbb\xbf" + SMALL.encode(),
    "JSON": b'{"name": "s",\n\t"datasets": ["phantom2d"],\n\t"models": ["unet"]}',
    "line ends of Windows": SMALL.replace("\n", "\r\n").encode(),
    "merge key": (SMALL + "backbone: {widths: [2, 4]}\n").encode(),
    "aliases": b"name: &n s\ndatasets: [phantom2d]\nmodels: [unet]\nbaseline: unet\n",
    "a document's marks": f"---\n{SMALL}...\n".encode(),
    "exponent": (SMALL + "training: {learning_rate: 1e-3}\n").encode(),
}

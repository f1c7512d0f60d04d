"""YAML that people wrote: what is endless, ambiguous or no UTF-8 is refused, with its line."""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from attnbench.errors import AttnBenchError, StudyError
from attnbench.study.limits import too_long
from attnbench.study.messages import in_lines

# libyaml's, where PyYAML has it, is several times as fast; every command reads entries.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MOST_BYTES = 4 * 2**20
MOST_VALUES = 300_000
"""Values of one file, those of an alias counted wherever it stands."""
DEEPEST = 40
"""Lists and mappings within each other."""
_MOST_DIGITS = 100

_TAG = "tag:yaml.org,2002:"
_MARKS = (  # the longer ones first: UTF-32 begins as UTF-16 does
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class RefusedYaml(yaml.YAMLError):
    """No YAML, or YAML that would not mean what its author thinks, or has no end."""


def read_yaml(
    path: Path, error: type[AttnBenchError] = StudyError, what: str = "study file"
) -> Any:
    """Return the content of a YAML file that a person wrote.

    Args:
        path: the file; anything but a regular file is refused unopened, so that no pipe is waited
            for.
        error: raised for all that is wrong.
        what: the file in words.

    Raises:
        AttnBenchError: of the class `error`; with path, line, what was found and what to do.
    """
    try:
        return parse_yaml(_decoded(_bytes_of(path), path))
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise error(f"{path}: cannot read the {what}: {reason}") from problem
    except RefusedYaml as problem:
        raise error(f"{path}: {problem}") from None


def read_study(path: Path) -> Mapping[Any, Any]:
    """Return the content of a study file: a mapping, whose keys are checked elsewhere.

    Raises:
        StudyError: as `read_yaml`; or it is no mapping, or a template that Snakemake would execute.
    """
    content = read_yaml(path)
    if not isinstance(content, Mapping):
        found = "nothing" if content is None else f"a value of type {type(content).__name__}"
        raise StudyError(f"{path}: a study is a mapping of keys; found {found}")
    if "__use_yte__" in content:
        raise StudyError(
            f"{path}: `__use_yte__` makes Snakemake run expressions in the file as Python code; a "
            "study has none: write the values, and remove the key"
        )
    if problems := list(too_long(content)):
        raise StudyError(f"{path}: {in_lines(problems)}")
    return content


def parse_yaml(text: str) -> Any:
    """Return the one document of a YAML text, as YAML 1.1 says, merge keys included.

    Raises:
        RefusedYaml: it is no YAML, or has a key twice, an alias without end, more than
            `MOST_VALUES` values or `DEEPEST` levels, a tag, several documents or none, or a plain
            word that YAML takes for a date, a truth value or another number.
    """
    try:
        _refuse_endless(text)
        return _built(text)
    except RefusedYaml:
        raise
    except yaml.YAMLError as error:
        raise RefusedYaml(f"not valid YAML: {_in_one_line(error, text)}") from error


def _built(text: str) -> Any:
    loader = LOADER(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise RefusedYaml("there is nothing in it but white space and comments")
        for problem in _ambiguities(node):
            raise RefusedYaml(problem)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _bytes_of(path: Path) -> bytes:
    # Not `open` first: a pipe would be waited for, and a device may be read for ever.
    mode = os.stat(path).st_mode  # noqa: PTH116 - says why, where `Path.is_file` says no
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise RefusedYaml(f"this is {name}, not a file; name a file of text")
    with path.open("rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise RefusedYaml(
            f"the file has more than {MOST_BYTES // 2**20} MiB, which no such file needs; is it "
            "another one?"
        )
    return data


def _decoded(data: bytes, path: Path) -> str:
    def advice(encoding: str) -> str:
        return (
            f"save it as UTF-8, as by `iconv -f {encoding} -t UTF-8 {path.name} > new.yaml`, or in "
            "the editor's dialogue `Save as`"
        )

    for mark, name in _MARKS:
        if data.startswith(mark):
            raise RefusedYaml(f"the file is {name}, by its first bytes; {advice(name)}")
    if zeros := data.count(0):
        if zeros > len(data) // 4:
            name = "UTF-16LE" if data[1:2] == b"\0" else "UTF-16BE"
            raise RefusedYaml(f"the file seems to be {name}: {zeros} NUL bytes; {advice(name)}")
        line = data[: data.index(0)].count(b"\n") + 1
        raise RefusedYaml(f"line {line}: a NUL byte; the file is damaged or no text: remove it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec counts from behind the mark that it skips.
        start = error.start + len(codecs.BOM_UTF8) * data.startswith(codecs.BOM_UTF8)
        line = data[:start].count(b"\n") + 1
        shown = data[start : start + 1].decode("cp1252", errors="replace")
        raise RefusedYaml(
            f"line {line}: the byte 0x{data[start]:02x} is no UTF-8; the file seems to be Latin-1 "
            f"(Windows-1252), where it is {shown!r}; {advice('WINDOWS-1252')}"
        ) from None


def _refuse_endless(text: str) -> None:
    """Follow the text's events, so that nothing is built of what would not end.

    Raises:
        yaml.YAMLError: as `parse_yaml`.
    """
    total, documents = 0, 0
    sizes: dict[str, tuple[int, int]] = {}  # values and levels behind every anchor
    inside: list[list[Any]] = []  # anchor, values before it, levels so far
    for event in yaml.parse(text, Loader=LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise RefusedYaml(
                    f"line {line}: a second document begins (`---`); a file has one: remove it, or "
                    "write two files"
                )
        levels, anchor = 0, getattr(event, "anchor", None)
        if tag := getattr(event, "tag", None):
            raise RefusedYaml(
                f"line {line}: the tag {_shown(tag)}; values have none here: write the value "
                "alone, text in quotes"
            )
        if isinstance(event, yaml.ScalarEvent):
            total += 1
            if anchor:
                sizes[anchor] = (1, 0)
        elif isinstance(event, yaml.CollectionStartEvent):
            inside.append([anchor, total, 0])
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before, levels = inside.pop()
            levels += 1
            if anchor:
                sizes[anchor] = (total - before, levels)
        elif isinstance(event, yaml.AliasEvent):
            if any(opened[0] == anchor for opened in inside):
                raise RefusedYaml(
                    f"line {line}: *{anchor} stands within &{anchor}, which would have no end; "
                    "write out what is meant"
                )
            # One that is not there is refused where nodes are composed.
            values, levels = sizes.get(anchor or "", (1, 0))
            total += values
        if inside:
            inside[-1][2] = max(inside[-1][2], levels)
        if len(inside) + levels > DEEPEST:
            raise RefusedYaml(
                f"line {line}: more than {DEEPEST} lists and mappings within each other; no key "
                "needs so many: is a bracket missing?"
            )
        if total > MOST_VALUES:
            raise RefusedYaml(
                f"line {line}: more than {MOST_VALUES} values, those of aliases (*name) counted "
                "wherever they stand; write fewer, or several studies"
            )


def _ambiguities(root: yaml.Node) -> Iterator[str]:
    """Yield what would be read otherwise than it looks, every node visited once."""
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield from _taken_for_another(node)
        elif isinstance(node, yaml.SequenceNode):
            waiting += reversed(node.value)
        elif isinstance(node, yaml.MappingNode):
            known: dict[tuple[str, str], yaml.Node] = {}
            for key, _ in node.value:
                yield from _wrong_key(key, known)
            waiting += [value for _, value in reversed(node.value)]


def _wrong_key(key: yaml.Node, known: dict[tuple[str, str], yaml.Node]) -> Iterator[str]:
    line = _line(key)
    if not isinstance(key, yaml.ScalarNode):
        yield f"line {line}: a key is a name or a number; found a list or a mapping"
        return
    yield from _taken_for_another(key)
    tag, value = key.tag.removeprefix(_TAG), key.value
    if tag not in ("str", "int", "merge"):
        found = f"`{_shown(value)}`, which YAML reads as {_AS.get(tag, tag)}" if value else "none"
        yield f"line {line}: a key is a name or a number; found {found}"
        return
    value = str(int(value, 0)) if tag == "int" else value
    first = known.setdefault((tag, value), key)
    if first is not key:
        yield (
            f"line {line}: the key `{_shown(value)}` stands there again, after line "
            f"{_line(first)}; only one of them would count: remove the other"
        )


_AS = {"bool": "a truth value", "null": "nothing", "float": "a number", "timestamp": "a date"}


def _taken_for_another(node: yaml.ScalarNode) -> Iterator[str]:
    """Yield where YAML 1.1 takes a plain word for something that few would guess."""
    tag, text = node.tag.removeprefix(_TAG), node.value
    line, shown = _line(node), _shown(text)
    if tag == "bool" and text.lower() not in ("true", "false"):
        value = "true" if text.lower() in ("yes", "on") else "false"
        yield (
            f"line {line}: YAML reads `{shown}` as the truth value {value}; write {value}, or "
            f'"{shown}" in quotes if it is a name'
        )
    elif tag == "timestamp":
        yield f'line {line}: YAML reads `{shown}` as a date; write "{shown}" in quotes'
    elif tag in ("int", "float") and len(text) > _MOST_DIGITS:
        yield f"line {line}: a number of {len(text)} characters, {shown}; write a shorter one"
    elif tag in ("int", "float") and re.search(r"[:_]", text):
        yield (
            f"line {line}: YAML reads `{shown}` as a number of another form (a time, or digits in "
            f'groups); write plain digits, or "{shown}" in quotes if it is a name'
        )
    elif tag == "int" and re.fullmatch(r"[-+]?0[0-9]+", text):
        yield (
            f"line {line}: YAML reads `{shown}` in base eight; write it without leading zeros, or "
            f'"{shown}" in quotes if it is a name'
        )


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _shown(text: str, most: int = 60) -> str:
    """A text as it may stand in a message: short, and without control characters."""
    cut = text if len(text) <= most else f"{text[:most]}..."
    return cut.encode("unicode_escape").decode("ascii") if not cut.isprintable() else cut


def _in_one_line(error: yaml.YAMLError, text: str) -> str:
    """What a parser says, with the line first."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"line {line}: the character U+{_code(error):04X} is not allowed; remove it"
    if mark is None:
        return " ".join(str(error).split())
    parts = [getattr(error, "context", None), getattr(error, "problem", None)]
    said = ", ".join(part for part in parts if part)
    at_fault = text[mark.index : mark.index + 1] if mark.index is not None else ""
    advice = ""
    if at_fault == "\t":
        advice = "; YAML is indented by spaces, not by tabs"
    elif "mapping values" in said:
        advice = "; a text with `: ` in it stands in quotes"
    elif at_fault in ("@", "`", "%"):
        advice = f"; a text that begins with {at_fault} stands in quotes"
    return f"line {mark.line + 1}, column {mark.column + 1}: {said}{advice}"


def _code(error: yaml.reader.ReaderError) -> int:
    return error.character if isinstance(error.character, int) else ord(error.character[0])

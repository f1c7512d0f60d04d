"""Errors meant for a person: they say what was found, where, what is allowed, what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

MOST_WORDS = 100


class AttnBenchError(Exception):
    """Base of every error that the command line prints without a traceback."""


class Stopped(BaseException):
    """A job was asked to stop and does: no error, and nothing that catches errors catches it."""


class StudyError(AttnBenchError):
    """The study file asks for something that cannot be done."""


class CatalogError(AttnBenchError):
    """A dataset's catalog entry is unknown or contradicts itself."""


class FetchError(AttnBenchError):
    """A file could not be downloaded or is not what the catalog says."""


class DataError(AttnBenchError):
    """A case, a prepared store or a fold file breaks its contract."""


class DamagedError(DataError, ValueError):
    """A file is not of the form that it was written in; a `ValueError` for whoever knows more."""


class ModelError(AttnBenchError):
    """A network or mechanism cannot be built as asked."""


class OwnCodeError(AttnBenchError):
    """A user's own mechanism, network, metric or loss cannot be found, imported or used."""


class CheckpointError(AttnBenchError):
    """A checkpoint does not belong to the study, the data or the model at hand."""


class SealError(AttnBenchError):
    """A file of a study is not as the job that wrote it left it, or nobody can tell."""


class LockError(AttnBenchError):
    """Another process works where this one would write, or a lock cannot be had there."""


class DivergenceError(AttnBenchError):
    """The loss or the weights of a training are not finite any more.

    It was noticed at `step`; up to step `after` every loss was finite.
    """

    def __init__(self, message: str, step: int, after: int) -> None:
        super().__init__(message)
        self.step, self.after = step, after


class DiskError(AttnBenchError):
    """A disk is full, or clearly too small for what a study writes."""


class OutOfMemory(AttnBenchError):
    """What is asked for takes more memory than there is."""


class WorkflowError(AttnBenchError):
    """The workflow's files, or the `attnbench` that its rules call, cannot be found."""


def printable(text: str) -> str:
    """A text without characters that a terminal would obey; these as Python writes them.

    >>> printable("a\x1b[31m")
    'a\\x1b[31m'
    """
    return "".join(
        sign if sign.isprintable() or sign == "\n" else ascii(sign)[1:-1] for sign in text
    )


def nearest(given: str, allowed: Iterable[str]) -> str:
    """A sentence that names the nearest to `given`, then everything that is allowed.

    Of more than a hundred words it has the ten nearest.

    >>> nearest("unte", ["unet", "attention_gate"])
    "did you mean 'unet'? allowed: attention_gate, unet"
    """
    words = sorted(allowed)
    # Finding the nearest takes time by the square of a word's length.
    given = given[:MOST_WORDS]
    close = get_close_matches(given, words, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    if len(words) > MOST_WORDS:
        shown = get_close_matches(given, words, n=10, cutoff=0.0)
        return f"{hint}allowed: {', '.join(shown)} and {len(words) - len(shown)} more"
    return f"{hint}allowed: {', '.join(words)}"


def told(error: BaseException) -> str:
    """What an error says, with its kind where that alone tells what was found.

    >>> told(KeyError("folds"))
    "KeyError: 'folds'"
    """
    said = str(error).strip()
    kind = type(error).__name__
    return f"{kind}: {said}" if isinstance(error, LookupError) or not said else said


def listed(items: Collection[object], at_most: int = 20) -> str:
    """The first items in words, and how many more there are.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    words = [str(item) for item in items]
    more = f" and {len(words) - at_most} more" if len(words) > at_most else ""
    return ", ".join(words[:at_most]) + more if words else "none"

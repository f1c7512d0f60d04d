"""Commands print in every encoding of a terminal."""

import io
import os
import subprocess
import sys

import pytest

from attnbench.encoding import print_in_any_encoding

SIGNS = "mean − 0.1 × Δ Dice ± 2 µm → größer 漢 ✓"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-8"])
def test_what_an_encoding_lacks_is_written_in_plain_characters(encoding, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    print_in_any_encoding()
    print(SIGNS)
    sys.stdout.flush()
    words = written.getvalue().decode(encoding).split()
    # All that the encoding has stands as it is.
    for said, word in zip(words, SIGNS.split(), strict=True):
        try:
            word.encode(encoding)
        except UnicodeEncodeError:
            assert said.isascii() or encoding != "ascii"
        else:
            assert said == word


def test_a_command_prints_where_there_is_ascii_alone():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LANG": "C", "PYTHONUTF8": "0"}
    run = subprocess.run(
        [sys.executable, "-c", "from attnbench.cli import main; main()", "datasets", "--markdown"],
        env=environment,
        capture_output=True,
    )
    assert run.returncode == 0 and run.stderr == b""
    assert run.stdout.decode("ascii").count("\n") > 50

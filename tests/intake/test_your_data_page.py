"""docs/your-data.md names flags that there are, and files that it links to."""

import re
from pathlib import Path

import pytest
import typer

from attnbench.cli import app

PAGE = Path(__file__).parents[2] / "docs" / "your-data.md"
TEXT = PAGE.read_text(encoding="utf-8")


def flags_of(*verb: str) -> set[str]:
    command = typer.main.get_command(app)
    for name in verb:
        command = command.commands[name]
    return {flag for parameter in command.params for flag in parameter.opts} | {"--help"}


def test_every_flag_is_one_of_dataset_add():
    prose = re.sub(r"(attnbench (study|dataset check)|pip|snakemake)[^`\n]*", "", TEXT)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", prose))
    assert len(named) > 15
    assert named <= flags_of("dataset", "add")


def test_every_guess_has_a_line_in_the_page():
    """What a command can be told about files, a user finds in the page."""
    unsaid = flags_of("dataset", "add") - set(re.findall(r"--[a-z-]+", TEXT))
    assert unsaid == {"folder", "--layout"}  # an argument, and what the folder itself says


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", TEXT))))
def test_linked_pages_exist(link):
    assert (PAGE.parent / link).exists()

"""The command starts fast, and offers what the hub can do."""

import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from eventhub import hub
from eventhub.cli import hosting, main

HEAVY = ("aiohttp", "duckdb", "jinja2", "nats", "pyarrow")


def test_a_command_does_not_load_the_parts_of_a_hub() -> None:
    """They take a second, which a command that only posts a message does not need."""
    code = f"import sys, eventhub.cli; print(*(name for name in {HEAVY} if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "\n"


def test_the_roles_of_the_command_are_those_of_the_hub() -> None:
    assert hosting.ROLES == hub.ROLES


@pytest.mark.parametrize("words", [[], ["alerts"], ["sessions"], ["token"]])
def test_a_list_of_commands_says_what_each_does_in_a_line(words: list[str]) -> None:
    """A line that does not fit a terminal of 80 columns would be cut off."""
    page = CliRunner().invoke(main, [*words, "--help"], terminal_width=80).stdout
    listed = re.findall(r"^  ([a-z-]+) +\S.*\.$", page, re.MULTILINE)
    group = main.commands[words[0]] if words else main
    assert isinstance(group, click.Group)
    assert set(listed) >= set(group.commands)
    assert not re.search(r"\w\.\.\.$", page, re.MULTILINE)

"""The command starts fast, and offers what the hub can do."""

import subprocess
import sys

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


def test_every_command_has_a_help_text() -> None:
    assert all(command.get_short_help_str() for command in main.commands.values())

"""The help of each command shows examples that the command accepts."""

import os
import shlex
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from eventhub.cli import main
from eventhub.cli.examples import EXAMPLES, commands

COMMANDS = dict(commands(main, "eventhub"))


def test_every_command_has_examples_and_every_example_a_command() -> None:
    assert COMMANDS.keys() == EXAMPLES.keys()


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_ends_with_the_examples_unbroken(words: str, flag: str) -> None:
    done = CliRunner().invoke(main, [*words.split()[1:], flag])
    assert done.exit_code == 0
    _, _, shown = done.output.rpartition("Examples:\n")
    assert [line.strip() for line in shown.splitlines()] == list(EXAMPLES[words])


@pytest.mark.parametrize(
    ("words", "example"), [(words, each) for words, all_ in EXAMPLES.items() for each in all_]
)
def test_every_example_is_accepted_by_its_command(words: str, example: str) -> None:
    """Options, choices and the number of arguments; what they name need not exist."""
    given = shlex.split(example.partition(" > ")[0])
    longest = max((each for each in COMMANDS if example.startswith(each)), key=len)
    assert longest.startswith(words)
    command, rest = COMMANDS[longest], given[len(longest.split()) :]
    with click.Context(main, **main.context_settings) as parent:
        command.make_context(longest, rest, parent=parent)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_the_commands(shell: str) -> None:
    typed = {"COMP_WORDS": "eventhub re", "COMP_CWORD": "re" if shell == "fish" else "1"}
    environment = {**os.environ, **typed, "_EVENTHUB_COMPLETE": f"{shell}_complete"}
    code = "from eventhub.cli import main; main(prog_name='eventhub')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert {b"rebuild", b"revert"} <= set(done.stdout.replace(b",", b"\n").split())

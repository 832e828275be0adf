"""An expected error is one line without secrets and an exit status, not a traceback."""

import os

import click
import pytest
from click.testing import CliRunner, Result

from eventhub import __version__
from eventhub.cli.group import Group
from eventhub.errors import EventHubError, Misconfigured, Rejected, Unavailable
from eventhub.masking import Masks


def run(error: Exception, masks: Masks | None = None) -> Result:
    @click.command()
    @click.pass_context
    def work(context: click.Context) -> None:
        context.find_root().obj = masks
        raise error

    return CliRunner().invoke(Group({"Work": [work]}), ["work"])


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Misconfigured("the file is wrong"), 2, ""),
        (Rejected("bad_value", "the value is wrong"), 1, " (bad_value)"),
        (Rejected("bad_value", "bad_value: the value is wrong"), 1, ""),
        (Unavailable("try later", code="busy"), 1, " (busy)"),
    ],
)
def test_an_error_is_one_line_with_its_code_and_a_status(
    error: EventHubError, status: int, code: str
) -> None:
    done = run(error)
    assert (done.exit_code, done.stdout) == (status, "")
    assert done.stderr == f"eventhub: {error}{code}\n"


def test_an_unexpected_error_is_not_hidden() -> None:
    assert isinstance(run(KeyError("why")).exception, KeyError)


def test_an_error_shows_no_secret_and_controls_no_terminal() -> None:
    error = Unavailable("nats://me:hunter2@h is \x1b[2J gone, says swordfish")
    assert "hunter2" not in run(error).stderr
    masks = Masks()
    masks.add_secret("swordfish")
    shown = run(error, masks).stderr
    assert "hunter2" not in shown
    assert "swordfish" not in shown
    assert "\x1b" not in shown
    assert r"\u001b[2J gone" in shown


def test_files_that_a_command_writes_are_for_its_user_alone() -> None:
    run(Unavailable("later"))
    assert os.umask(0o022) == 0o077


def test_the_version_is_that_of_the_package() -> None:
    done = CliRunner().invoke(Group({}), ["--version"], prog_name="eventhub")
    assert done.stdout == f"eventhub, version {__version__}\n"

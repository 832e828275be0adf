"""A password becomes a hash that a configuration takes, and is shown nowhere."""

import asyncio

import pytest
from click.testing import CliRunner

from eventhub.cli import main
from eventhub.config import Account
from eventhub.identity.passwords import Passwords


def test_a_line_of_input_becomes_the_hash_of_that_password() -> None:
    done = CliRunner().invoke(main, ["password"], input="correct horse\n")
    assert done.exit_code == 0
    assert "correct" not in done.output
    passwords = Passwords({"ann": Account(password=done.stdout.strip())})
    assert asyncio.run(passwords.user_of("ann", "correct horse")) is not None
    assert asyncio.run(passwords.user_of("ann", "wrong horse")) is None


@pytest.mark.parametrize("password", ["", "7 chars", "x" * 1001])
def test_a_password_that_is_too_short_or_too_long_is_refused(password: str) -> None:
    done = CliRunner().invoke(main, ["password"], input=f"{password}\n")
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"a password has 8 to 1000 characters, not {len(password)}" in done.stderr

"""A value is read as the type of its field, or refused with what was expected."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from eventhub.config import Server
from eventhub.config.reading import Struct, read_struct
from eventhub.config.tree import Findings, Node
from tests.unit.config.folder import Folder


def test_secret_may_be_in_a_separate_file(folder: Folder) -> None:
    folder.write("password", "s3cret\n")
    config = folder.load(
        """
        email: {a: {type: gmail, password_file: password}}
        auth: {jwt: {public_key_file: $YAMLPATH/password}, session: {secret_file: password}}
        broker: {token_file: password}
        """
    )
    assert config.email["a"].password == "s3cret"
    assert config.auth.jwt is not None
    assert config.auth.jwt.public_key == "s3cret"
    assert (config.auth.session.secret, config.broker.token) == ("s3cret", "s3cret")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("broker: {token_file: none}", "hub.yaml:1: broker.token_file: cannot read the file: "),
        (
            "broker: {token_file: a, token: b}",
            "hub.yaml:1: broker: give either token or token_file",
        ),
        ("broker: {url_file: a}", "hub.yaml:1: broker: unknown key 'url_file'"),
    ],
)
def test_invalid_file_of_a_secret_is_reported(folder: Folder, text: str, problem: str) -> None:
    (reported,) = folder.problems(text)
    assert reported.startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "server: {port: many}",
            "server.port: expected a whole number from 0 to 65535, not 'many'",
        ),
        ("server: {port: }", "server.port: expected a whole number from 0 to 65535, not null"),
        ("server: {drain: [1]}", "server.drain: expected a number from 0 to 3600, not [1]"),
        ("server: {drain: -1}", "server.drain: expected a number from 0 to 3600, not -1"),
        ("server: {drain: .nan}", "server.drain: expected a number from 0 to 3600, not nan"),
        (
            "server: {hosts: a}",
            "server.hosts: expected a list of text, not 'a'; write [ ] around it",
        ),
        ("server: {admin: {token: 1234}}", "server.admin.token: expected text; put it in quotes"),
        (
            "server: {host: on}",
            "server.host: expected text, not on (which YAML reads as true); put it in quotes",
        ),
        (
            "broker: {url: 1}",
            "broker.url: expected text or a list of text, not 1; put it in quotes",
        ),
        (
            "log: {level: loud}",
            "log.level: expected one of debug, info, warning, error, not 'loud'",
        ),
        (
            "auth: {jwt: {require_exp: maybe}}",
            "auth.jwt.require_exp: expected true or false, not 'maybe'",
        ),
        ("auth: {proxy: {header: X}}", "auth.proxy: trusted is missing"),
    ],
)
def test_value_that_does_not_fit_is_refused_with_what_was_expected(
    folder: Folder, text: str, problem: str
) -> None:
    assert folder.problems(text) == [f"hub.yaml:1: {problem}"]


def test_text_of_a_variable_may_be_a_number_or_a_truth_value(folder: Folder) -> None:
    config = folder.load(
        "server: {port: $PORT}\nauth: {jwt: {secret: abc, require_exp: $EXP}}",
        {"PORT": "81", "EXP": "false"},
    )
    assert config.auth.jwt is not None
    assert (config.server.port, config.auth.jwt.require_exp) == (81, False)


class Limits(Struct, frozen=True):
    rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    names: dict[str, int] | None = None
    inner: Server | None = None


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"rate": 0}, "limits.rate: expected a number of more than 0 and at most 1, not 0"),
        ({"rate": 2}, "limits.rate: expected a number of more than 0 and at most 1, not 2"),
        ({"names": 1}, "limits.names: expected a mapping of names to a whole number, not 1"),
        ({"inner": 1}, "limits.inner: expected a mapping (`key: value`), not 1"),
        (
            {"inner": {"port": []}},
            "limits.inner.port: expected a whole number from 0 to 65535, not []",
        ),
    ],
)
def test_bounds_and_nested_types_are_part_of_what_was_expected(
    value: Any, problem: str, tmp_path: Path
) -> None:
    findings = Findings()
    assert read_struct(Limits, node(value, tmp_path), "limits", findings) is None
    assert [str(each) for each in findings.problems] == [f"hub.yaml:1: {problem}"]


def node(value: Any, folder: Path) -> Node:
    if isinstance(value, dict):
        value = {key: node(member, folder) for key, member in value.items()}
    return Node(value, "hub.yaml:1", folder)

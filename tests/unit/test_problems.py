"""`check` finds every mistake that would stop a hub, before the hub starts."""

import sys
from pathlib import Path

import pytest

from eventhub import config, problems
from eventhub.errors import Misconfigured

MISTAKES = {
    "auth: {jwt: {secret: short}}": "auth: jwt: secret has 5 bytes",
    "auth: {proxy: {header: X-User, trusted: [nginx]}}": "nginx",
    "server: {hosts: ['a.*.org']}": "server: hosts: expected",
    "server: {admin: {token: short}}": "at least 16 characters",
}
"""Sections of a file → the error."""
ENDPOINT_MISTAKES = {
    "origins: ['https://a.*.org']": "https://a.*.org",
    "auth: {membership: {role: {is: admin}}}": "membership: role",
    "auth: {condition: 'no_such_module.check()'}": "no_such_module",
    "open: no_such_module.restrict(args)": "no_such_module",
    "prepare: no_such_module.check(msg)": "no_such_module",
    "modify: 'msg['": "modify",
    "alert: {to: ann@example.org, body: '{{ body'}": "alert",
}
"""Keys of an endpoint → the error."""
GOOD = """
email: {office: {host: 127.0.0.1, email: hub@example.org}}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {body: TEXT}
"""


def check(text: str, folder: Path) -> None:
    """Load and check a file; a mistake may be found by either."""
    file = folder / "eventhub.yaml"
    file.write_text(text)
    for error in problems.problems_of(config.load(file, environ={})):
        raise error


def test_a_good_file_is_accepted(tmp_path: Path) -> None:
    check(GOOD, tmp_path)


@pytest.mark.parametrize(("section", "error"), MISTAKES.items())
def test_a_mistake_in_a_section_is_found(section: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        check(f"{section}\n{GOOD}", tmp_path)
    assert error in caught.value.message


@pytest.mark.parametrize(("key", "error"), ENDPOINT_MISTAKES.items())
def test_a_mistake_in_an_endpoint_is_found(key: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        check(f"{GOOD}      {key}\n", tmp_path)
    assert error in caught.value.message


def test_snapshots_in_s3_without_what_speaks_it_are_refused_with_the_command_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"projection: {{snapshots: {{to: 's3://tables/hub'}}}}\n{GOOD}"
    check(text, tmp_path)
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "projections.stored.s3")
    with pytest.raises(Misconfigured, match=r"snapshots: to: .* pip install 'eventhub\[s3\]'"):
        check(text, tmp_path)

"""What a running hub cannot take over is named; everything else it can."""

from pathlib import Path

import pytest

from eventhub.changes import needs_restart
from eventhub.channel import endpoints_of
from tests.unit.config.folder import Folder

BEFORE = """
server: {port: 8080}
broker: {url: nats://127.0.0.1}
url:
  a: {pattern: /a, handler: MessageHandler, kwargs: {columns: {n: INTEGER}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder for configurations."""
    return Folder(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("port: 8080", "port: 8081", ["server.port"]),
        ("port: 8080", "host: 0.0.0.0", ["server.host"]),
        ("port: 8080", "socket_access: everyone", ["server.socket_access"]),
        ("nats://127.0.0.1", "nats://127.0.0.2", ["broker"]),
        ("n: INTEGER", "n: TEXT", ["the columns of table a"]),
        ("n: INTEGER", "n: INTEGER, m: TEXT", ["the columns of table a"]),
        (
            "columns:",
            "url: sqlite:///b.db, columns:",
            ["url: a: url, which names another database"],
        ),
        ("url:\n", "projection: {path: b.duckdb}\nurl:\n", ["projection"]),
        ("port: 8080", "port: 8080, drain: 1, hosts: [a.example]", []),
        ("url:\n", "archive: {to: archive}\nlog: {level: debug}\nurl:\n", []),
        ("pattern: /a", "pattern: /b", []),
        ("columns:", "auth: true, prepare: '1', columns:", []),
        ("url:\n", "url:\n  b: {pattern: /b, handler: MessageHandler}\n", []),
    ],
)
def test_only_a_restart_changes_what_is_opened_once(
    folder: Folder, old: str, new: str, what: list[str]
) -> None:
    before = folder.load(BEFORE)
    channels = {each.channel.name: each.channel for each in endpoints_of(before)}
    assert needs_restart(before, folder.load(BEFORE.replace(old, new, 1)), channels) == what

"""A hub with rows that its clients must not see, and what is true of it whatever they sent."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.e2e.hub import Hub, running_hub
from tests.e2e.wire import ask, head, with_body

HIDDEN = "hidden7f3a9c"
"""In each row that a client of `/rows` must not see, and in nothing that it sends."""
COLUMNS = (
    "{owner: TEXT, body: TEXT, n: INTEGER, price: 'DECIMAL(10,2)', at: TIMESTAMP,"
    " is_done: BOOLEAN, data: JSON}"
)
CONFIG = f"""
server: {{max_message: 20000}}
auth: {{session: {{secret: a secret of this test}}}}
url:
  all:
    pattern: /all
    handler: MessageHandler
    kwargs: {{table: rows, columns: {COLUMNS}}}
  rows:
    pattern: /rows
    handler: MessageHandler
    kwargs:
      table: rows
      send: true
      presence: true
      open: args.update(owner=['me'])
      rules: {{create: owner=me, update: owner=me}}
  logout: {{pattern: /logout, handler: LogoutHandler}}
  login: {{pattern: /login, handler: SimpleAuth, kwargs: {{credentials: {{annabel: secret}}}}}}
"""
NAMES = ("owner", "body", "n", "price", "at", "is_done", "data", "id", "user", "timestamp")
_FAILED = re.compile(r"Traceback|exception|_failed\b(?<!login_failed)|Unhandled|aiohttp")


@contextmanager
def fuzzed(folder: Path) -> Iterator[Hub]:
    """Run such a hub, with hidden rows and one that all clients see; at the end it must be well."""
    with running_hub(folder, CONFIG) as hub:
        for number in range(3):
            values = {"body": f"{HIDDEN} {number}", "data": {"k": HIDDEN}, "n": number, "user": "x"}
            post(hub, "/all", {"id": f"{HIDDEN}{number}", "owner": "you", **values})
        post(hub, "/all", {"id": "seen", "owner": "me", "body": "seen"})
        yield hub
        _check_well(hub)


def post(hub: Hub, path: str, message: dict[str, object]) -> None:
    """Store a message."""
    body = msgspec.json.encode(message)
    answer = ask(hub.url, with_body(f"POST {path} HTTP/1.1", body))
    assert answer.status == 201, answer


def _check_well(hub: Hub) -> None:
    """Fail unless the hub serves, has kept its rows, and has logged no failure."""
    post(hub, "/rows", {"owner": "me", "body": "x"})
    found = ask(hub.url, head("GET /all?owner=you&_c=body&_sort=body HTTP/1.1")).body
    assert msgspec.json.decode(found) == [{"body": f"{HIDDEN} {number}"} for number in range(3)]
    metrics = ask(hub.url, head("GET /metrics HTTP/1.1")).body
    assert b'messages_refused_total{code="internal"}' not in metrics
    log = hub.stderr()
    assert not _FAILED.search(log), log[-3000:]

"""`eventhub history` shows every version of a row, while a hub runs and without one."""

import json

import pytest

from tests.e2e.command import post, refused, run
from tests.e2e.hub import Hub, HubFactory

CONFIG = """
url:
  orders:
    pattern: /orders
    handler: MessageHandler
    kwargs:
      columns: {item: TEXT, count: INTEGER, price: "DECIMAL(12,2)"}
"""


@pytest.fixture
def hub(hub_factory: HubFactory) -> Hub:
    started = hub_factory(CONFIG)
    url = f"{started.url}/orders"
    post(url, id="other")
    post(url, id="a", item="tea", price=1.25)
    post(url, _method="PUT", id="a", count=3)
    post(url, _method="DELETE", id="a")
    post(url, id="a", item="\x1b[31mpot")
    return started


def audit(hub: Hub, command: str, *words: object) -> str:
    done = run(command, hub.config, "orders", *words, "--data", hub.folder / "data")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("hub_runs", [True, False])
def test_a_history_says_what_changed_from_what_to_what(hub: Hub, hub_runs: bool) -> None:
    if not hub_runs:
        hub.stop()
    found = json.loads(audit(hub, "history", "a", "--json"))
    assert [(each["_seq"], each["_method"]) for each in found] == [
        (2, "POST"),
        (3, "PUT"),
        (4, "DELETE"),
        (5, "POST"),
    ]
    assert {each["_endpoint"] for each in found} == {"orders"}
    created, changed, removed, again = found
    assert (created["row"]["item"], created["row"]["price"], created["was"]) == ("tea", 1.25, None)
    assert (changed["row"]["count"], changed["was"]) == (3, {"count": None})
    assert (removed["row"], removed["was"]["count"]) == (None, 3)
    assert (again["row"]["count"], again["was"]) == (None, None)
    text = audit(hub, "history", "a").splitlines()
    assert text[0].startswith("2 20")
    assert text[0].endswith("Z POST through orders")
    assert "  count: null → 3" in text
    assert '  item: "\\u001b[31mpot"' in text


def test_a_row_that_never_was_is_refused(hub: Hub) -> None:
    done = run("history", hub.config, "orders", "nope", "--data", hub.folder / "data")
    assert refused(1, done) == "orders never had a row with id 'nope'"

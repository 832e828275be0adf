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
    assert "orders never had a row with id 'nope'" in refused(1, done)


@pytest.mark.parametrize("hub_runs", [True, False])
def test_a_diff_has_the_rows_that_two_states_have_not_in_common(hub: Hub, hub_runs: bool) -> None:
    url = f"{hub.url}/orders"
    post(url, _method="PUT", id="other", price=10**9)
    post(url, _method="PUT", id="other", item="pot")
    post(url, _method="DELETE", id="a")
    post(url, id="short", item="lived")
    post(url, _method="DELETE", id="short")
    post(url, id="new", item="cup")
    if not hub_runs:
        hub.stop()
    found = json.loads(audit(hub, "diff", 5, 11, "--json"))
    assert [(each["id"], each["change"]) for each in found] == [
        ("other", "changed"),
        ("a", "removed"),
        ("new", "added"),
    ]
    changed, removed, added = found
    assert (changed["row"]["price"], changed["was"]) == (10**9, {"item": None, "price": None})
    assert (removed["row"]["item"], added["row"]["item"]) == ("\x1b[31mpot", "cup")
    text = audit(hub, "diff", "2020-01-01", 1).splitlines()
    assert text[:3] == ["added other", "  item: null", "  count: null"]
    assert json.loads(audit(hub, "diff", 5, 5, "--json")) == []


@pytest.mark.parametrize("hub_runs", [True, False])
def test_a_revert_restores_a_version_and_says_how(hub: Hub, hub_runs: bool) -> None:
    if not hub_runs:
        hub.stop()
    before = json.loads(audit(hub, "history", "a", "--json"))
    text = audit(hub, "revert", "a", 3, "--if-seq", 5).splitlines()
    assert text[0].endswith("Z PUT through (revert)")
    assert text[1:3] == ['  item: "\\u001b[31mpot" → "tea"', "  count: null → 3"]
    gone = json.loads(audit(hub, "revert", "a", 4, "--json"))
    assert (gone["_seq"], gone["_method"], gone["row"]) == (7, "DELETE", None)
    after = json.loads(audit(hub, "history", "a", "--json"))
    assert after[:4] == before
    assert after[4]["row"] == before[1]["row"]
    words = "revert", hub.config, "orders"
    more = "--data", hub.folder / "data"
    for given, says in {
        ("a", 2, "--if-seq", 6): "row 'a' has changed since event 6",
        ("a", 4): "the row does not exist, as it did not then",
        ("a", 1): "row 'a' has no event 1",
        ("a", 99): "row 'a' has no event 99",
        ("nope", 1): "there never was a row with id 'nope'",
    }.items():
        assert says in refused(1, run(*words, *given, *more))


def test_a_state_that_does_not_exist_is_refused(hub: Hub) -> None:
    words = "diff", hub.config, "orders"
    more = "--data", hub.folder / "data"
    for given, says in {
        (1, 99): "TO: the log has no event 99: its last one is 5",
        ("monday", 1): "FROM: 'monday' is not a sequence, a position or an ISO time",
        (3, 2): "FROM is after TO",
    }.items():
        assert says in refused(1, run(*words, *given, *more))

"""A backtest tells for each past event what its alert would have done, and does nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

from eventhub.alerts.backtest import Verdict, backtest
from eventhub.alerts.rule import AlertRule
from eventhub.event import LOADED, Event
from eventhub.memory import MemoryLog
from tests.builders import channel, make_event
from tests.unit.alerts.builders import make_rule

ALERT: dict[str, Any] = {"to": "ann@example.org, {{ text }}", "subject": "{{ text }}"}


async def tried(
    rules: list[AlertRule], *events: Event, since: datetime | None = None
) -> list[Verdict | None]:
    log = MemoryLog()
    stream = await log.open(channel())
    for event in events:
        await stream.append(event, expect=0)
    return [each async for each in backtest(rules, log, since)]


def written(row: str, text: str, **changes: Any) -> Event:
    return make_event(id=row, message={"id": row, "text": text}, **changes)


async def test_each_event_of_the_endpoint_says_whom_it_would_have_mailed() -> None:
    rule = make_rule(condition="text!=quiet", **ALERT)
    found = await tried(
        [rule],
        written("a", "bob@example.org"),
        written("b", "nobody"),
        written("c", "x", endpoint="another"),
        written("d", "eve@example.org", write=f"{LOADED}1"),
    )
    assert [each and (each.row, each.recipients, each.error) for each in found] == [
        ("a", ["ann@example.org", "bob@example.org"], None),
        ("b", ["ann@example.org"], "nobody: not an address"),
        None,  # of an import, which mails nobody
    ]


async def test_what_would_have_become_a_dead_letter_says_why() -> None:
    many, none = make_rule(max_recipients=1, **ALERT), make_rule(to="", subject="x")
    wrong = make_rule(condition="msg['nope'] > 1", **ALERT)
    for rule, reason in [
        (many, "2 recipients: above max_recipients: 1"),
        (none, "no recipients"),
        (wrong, "condition: KeyError: 'nope'"),
    ]:
        [found] = await tried([rule], written("a", "bob@example.org"))
        assert found is not None
        assert found.error == reason


async def test_no_attachment_is_read() -> None:
    rule = make_rule(attachments="https://nowhere.invalid/{{ text }}", **ALERT)
    [found] = await tried([rule], written("a", "bob@example.org"))
    assert found is not None
    assert found.error is None


async def test_only_events_since_a_time_count() -> None:
    rule, event = make_rule(**ALERT), written("a", "bob@example.org")
    hour = timedelta(hours=1)
    assert await tried([rule], event, since=datetime.now(UTC) + hour) == []
    assert len(await tried([rule], event, since=datetime.now(UTC) - hour)) == 1
    assert await tried([rule]) == []

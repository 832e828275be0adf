"""Operators see how a process is and was: what is counted is what happened."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eventhub import metrics
from eventhub.event import StoredEvent
from eventhub.feed import Feed
from eventhub.memory import MemoryStream
from eventhub.vitals import EVERY_SECONDS, KEPT, Vitals
from tests.builders import channel, make_event


def stored(sequences: range, seconds_ago: float = 0) -> list[StoredEvent]:
    time = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()
    return [StoredEvent(number, make_event(id=f"r{number}", time=time)) for number in sequences]


async def test_rates_are_those_of_what_happened_between_two_samples(tmp_path: Path) -> None:
    feed = Feed(MemoryStream(channel("vital")), 100)
    vitals = Vitals({"vital": feed}, tmp_path, ["gateway"])
    await vitals.sample()
    assert vitals.report()["past"] == []
    feed.publish(stored(range(101, 131)))
    metrics.DELIVERED.labels("vital").inc(7)
    metrics.ALERTS.labels("vital", "failed").inc(15)
    await vitals.sample()
    await vitals.sample()
    first, second = vitals.report()["past"]
    assert first["events"] / first["deliveries"] == pytest.approx(30 / 7, rel=0.01)
    assert first["events"] / first["mails_failed"] == pytest.approx(30 / 15, rel=0.01)
    assert second["events"] == second["deliveries"] == second["mails_failed"] == 0


async def test_a_table_that_is_added_counts_from_where_it_begins(tmp_path: Path) -> None:
    feeds = {"vital": Feed(MemoryStream(channel("vital")), 0)}
    vitals = Vitals(feeds, tmp_path, ["gateway"])
    await vitals.sample()
    feeds["added"] = Feed(MemoryStream(channel("added")), 1_000_000)
    await vitals.sample()
    assert [each["events"] for each in vitals.report()["past"]] == [0]


async def test_what_a_feed_left_out_while_it_rested_is_not_counted(tmp_path: Path) -> None:
    feed = Feed(MemoryStream(channel("vital")), 0)
    vitals = Vitals({"vital": feed}, tmp_path, ["gateway"])
    feed.is_followed = False
    await vitals.sample()
    feed.is_followed, feed.head = True, 1_000_000
    await vitals.sample()
    feed.publish(stored(range(1_000_001, 1_000_003)))
    await vitals.sample()
    first, second = vitals.report()["past"]
    assert first["events"] == 0
    assert second["events"] > 0


async def test_what_the_tables_lack_is_counted_and_has_an_age(tmp_path: Path) -> None:
    feed = Feed(MemoryStream(channel("behind")), 0)
    vitals = Vitals({"behind": feed}, tmp_path, ["gateway"])
    feed.publish(stored(range(1, 11), seconds_ago=60))
    metrics.PROJECTED.labels("behind").set(10)
    assert vitals.report()["behind"] == {}
    assert vitals.report()["behind_seconds"] == 0
    metrics.PROJECTED.labels("behind").set(4)
    found = vitals.report()
    assert found["behind"] == {"behind": 6}
    assert 60 <= found["behind_seconds"] < 120


async def test_only_a_process_that_sends_mails_counts_them(tmp_path: Path) -> None:
    assert Vitals({}, tmp_path, ["gateway"]).report()["mails"] is None
    before = Vitals({}, tmp_path, ["gateway", "alerts"]).report()["mails"]
    metrics.ALERTS.labels("vital", "dead").inc()
    after = Vitals({}, tmp_path, ["gateway", "alerts"]).report()["mails"]
    assert {name: after[name] - before[name] for name in after} == {
        "sent": 0,
        "failed": 0,
        "dead": 1,
    }


async def test_the_past_is_bounded_to_fifteen_minutes(tmp_path: Path) -> None:
    vitals = Vitals({}, tmp_path, ["gateway"])
    for _ in range(KEPT + 20):
        await vitals.sample()
    assert len(vitals.report()["past"]) == KEPT == 15 * 60 / EVERY_SECONDS


async def test_a_disk_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    vitals = Vitals({}, tmp_path / "gone", ["gateway"])
    await vitals.sample()
    assert vitals.report()["disk"] is None


async def test_tables_of_a_process_that_follows_no_feed_lack_what_the_log_has(
    tmp_path: Path,
) -> None:
    """As those of a projector: the feed stands still, and the leader says where the log ends."""
    stream = MemoryStream(channel("unfollowed"))
    vitals = Vitals({"unfollowed": Feed(stream, 0)}, tmp_path, ["projector"])
    metrics.PROJECTED.labels("unfollowed").set(0)
    for number in range(3):
        await stream.append(make_event(id=f"r{number}"), expect=0)
    assert vitals.report()["behind"] == {"unfollowed": 3}
    assert vitals.summary()["behind_seconds"] == 0.0  # no sample has noticed it
    await vitals.sample()
    while vitals.summary()["behind_seconds"] == 0.0:  # a thousandth of a second
        pass
    metrics.PROJECTED.labels("unfollowed").set(3)
    summary = vitals.summary()
    assert (summary["behind"], summary["behind_seconds"]) == (0, 0.0)


@pytest.mark.parametrize(
    ("role", "has"),
    [("gateway", "connections behind"), ("projector", "behind"), ("alerts", "mails")],
)
def test_a_process_says_of_itself_what_its_role_has(tmp_path: Path, role: str, has: str) -> None:
    summary = Vitals({}, tmp_path, [role]).summary()
    said = [name for name in ("connections", "behind", "mails") if summary[name] is not None]
    assert said == has.split()

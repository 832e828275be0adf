"""A log makes its streams, and brings those of an older version up to date without a loss."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
from nats.js.api import StreamConfig
from structlog.testing import capture_logs

from eventhub.broker import EmbeddedBroker
from eventhub.errors import Misconfigured, Unavailable
from eventhub.jetstream import JetStreamLog, Tables
from eventhub.jetstream.log import DEDUPLICATION_SECONDS
from eventhub.jetstream.permissions import permissions_of
from tests.builders import channel, make_event
from tests.integration.jetstream.writes import Outcomes
from tests.nats_server import nats_server
from tests.ports import free_port

PASSWORD = "a-password"


async def test_a_stream_with_other_settings_gets_those_of_today_and_keeps_its_events(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    name, subject = channel().stream, f"{channel().prefix}*"
    old = StreamConfig(name, subjects=[subject], duplicate_window=1, max_msgs=1000)
    async with await nats.connect(broker.url, token=broker.token) as client:
        await client.jetstream().add_stream(old)
        await client.jetstream().publish(channel().subject("a"), b"an event of long ago")
        stream = await log.open(channel())
        info = await client.jetstream().stream_info(name)
    assert info.config.duplicate_window == DEDUPLICATION_SECONDS
    assert (info.config.max_msgs, info.state.messages) == (1000, 1)
    assert (await stream.append(make_event(id="b"), expect=0)).sequence == 2


async def test_a_stream_that_the_broker_refuses_is_named_with_the_reason(
    broker: EmbeddedBroker,
) -> None:
    async with JetStreamLog.connect(broker.url, token=broker.token, replicas=3) as log:
        with pytest.raises(Misconfigured, match=f"stream {channel().stream}: .*replicas > 1"):
            await log.open(channel())


async def test_a_store_that_another_process_has_just_made_is_opened(
    broker: EmbeddedBroker, log: JetStreamLog
) -> None:
    async with JetStreamLog.connect(broker.url, token=broker.token) as other:
        await asyncio.gather(  # both see that there is none; the settings that differ are refused
            log.records("access", max_age_seconds=3600),
            other.records("access", max_age_seconds=7200),
        )
        assert await log.copies.stored() == ["EVENTHUB_access"]


async def test_two_openings_of_a_stream_write_through_one_queue(log: JetStreamLog) -> None:
    first, second = await log.open(channel()), await log.open(channel())
    await first.append(make_event(id="a"), expect=0)
    assert second.newest == first.newest == 1


async def test_a_write_after_the_log_was_closed_is_refused_at_once(broker: EmbeddedBroker) -> None:
    async with JetStreamLog.connect(broker.url, token=broker.token) as log:
        stream = await log.open(channel())
        await stream.append(make_event(id="a"), expect=0)
    async with asyncio.timeout(40):
        with pytest.raises(Unavailable, match="nothing was stored"):
            await stream.append(make_event(id="b"), expect=0)


async def test_a_write_to_a_log_that_closed_before_its_first_turn_is_refused(
    broker: EmbeddedBroker,
) -> None:
    outcomes = Outcomes()
    async with JetStreamLog.connect(broker.url, token=broker.token) as log:
        writer = log._writer(channel().stream, atomic=True)  # its task has not run yet
        writer.put(outcomes.write("before"))
    writer.put(outcomes.write("after"))
    assert {row: str(outcome) for row, outcome in outcomes.items()} == {
        "before": "the event log cannot be reached; nothing was stored",
        "after": "the event log is closed; nothing was stored",
    }


async def test_credentials_that_are_none_are_refused_before_connecting() -> None:
    with pytest.raises(Misconfigured):
        async with JetStreamLog.connect("nats://127.0.0.1:1", credentials="not a key"):
            pass


def storing(folder: Path, domain: str) -> dict[str, str]:
    return {"store_dir": str(folder / f"{domain}-js"), "domain": domain}


@pytest.fixture
def leaf(tmp_path: Path) -> Iterator[str]:
    """A leaf node with a JetStream of its own, of a server with the domain `hub`."""
    port = free_port()
    leaves = {"listen": f"127.0.0.1:{port}"}
    hub = {"jetstream": storing(tmp_path, "hub"), "leafnodes": leaves}
    remotes = {"remotes": [{"url": f"nats://127.0.0.1:{port}"}], "reconnect": 1}
    own = {"jetstream": storing(tmp_path, "leaf"), "leafnodes": remotes, "no_auth_user": "any"}
    rights = permissions_of("hub", Tables(channels=[channel()], domain="hub"))
    hub_user = {"user": "eventhub-hub", "password": PASSWORD, "permissions": rights}
    own["authorization"] = {"users": [hub_user, {"user": "any", "password": PASSWORD}]}
    with nats_server(tmp_path / "hub", hub), nats_server(tmp_path / "leaf", own) as url:
        yield url


def domains_with(stream: str, folder: Path) -> list[str]:
    stores = [each for each in folder.glob("*-js") if any(each.rglob(stream))]
    return [each.name.removesuffix("-js") for each in stores]


@pytest.mark.parametrize("domain", ["hub", None])
async def test_a_log_is_in_the_named_domain_or_in_that_of_the_server(
    leaf: str, domain: str | None, tmp_path: Path
) -> None:
    async with JetStreamLog.connect(leaf, domain=domain, inbox_prefix="mine") as log:
        with capture_logs() as lines:
            log.watch(writes=True)
        assert [line["event"] for line in lines] == ["max_payload_small"]
        stream = await log.open(channel())
        for row in "abcdef":
            await stream.append(make_event(id=row), expect=0)
        async with stream.follow(0) as batches, asyncio.timeout(20):
            assert (await anext(batches))[0].event.id == "a"
        assert len(await stream.read(0, 1 << 20)) == 6
        last = await stream.last("f")
        assert last is not None
    assert domains_with(channel().stream, tmp_path) == [domain or "leaf"]


async def test_a_user_with_the_rights_of_a_hub_writes_and_reads_in_the_domain(leaf: str) -> None:
    login = ("eventhub-hub", PASSWORD)
    async with JetStreamLog.connect(leaf, login=login, domain="hub") as log:
        stream = await log.open(channel())
        await stream.append(make_event(id="a"), expect=0)
        async with stream.follow(0) as batches, asyncio.timeout(20):
            assert (await anext(batches))[0].event.id == "a"
        assert len(await stream.read(0, 1 << 20)) == 1

"""Every past state can be asked for, on every surface, and what followed can be played."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.client import Client, Frame, connect, request
from tests.e2e.hub import Hub, HubFactory, running_hub
from tests.e2e.surfaces import Answer, events, joined

CONFIG = """
server: {heartbeat: 0.1}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {run: TEXT, topic: TEXT, n: INTEGER, exact: "DECIMAL(20, 2)"}
  mine:
    pattern: /mine
    handler: MessageHandler
    kwargs:
      table: notes
      columns: {run: TEXT, topic: TEXT, n: INTEGER, exact: "DECIMAL(20, 2)"}
      open: 'args.update({"topic": ["mine"]})'
"""
DEADLINE_SECONDS = 40.0


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file; `run` keeps their rows apart."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


class Write(NamedTuple):
    """One message of a script; of a row that may or may not exist."""

    method: str
    row: int
    values: dict[str, Any]


writes = st.builds(
    Write,
    st.sampled_from(["POST", "POST", "PUT", "PUT", "DELETE"]),
    st.integers(0, 3),
    st.fixed_dictionaries(
        {}, optional={"topic": st.sampled_from(["mine", "other"]), "n": st.integers(0, 9)}
    ),
)


async def written(hub: Hub, run: str, script: Sequence[Write]) -> list[tuple[int, list[Frame]]]:
    """Write a script; return each sequence with the rows after it, in order of creation."""
    states: list[tuple[int, list[Frame]]] = []
    table: dict[str, Frame] = {}
    for method, row, values in script:
        identity = f"{run}-{row}"
        message = {**values, "id": identity, "_method": method}
        if method == "POST":
            message["run"] = run
        status, answer = await request("POST", f"{hub.url}/notes", json=message)
        if status >= 400:
            assert answer["_error"]["code"] in ("exists", "not_found"), answer
            continue
        empty = dict.fromkeys(("run", "topic", "n", "exact"))
        if method == "DELETE":
            table.pop(identity, None)
        elif method == "PUT":
            table[identity] = {**table.get(identity, {}), **values}
        else:
            table[identity] = {**empty, "run": run, **values, "id": identity}
        states.append((answer["_seq"], [dict(each) for each in table.values()]))
    return states


def pruned(rows: list[Frame]) -> list[Frame]:
    """Return rows with the members that the model has, without controls."""
    names = ("id", "run", "topic", "n")
    return [{name: row[name] for name in names} for row in rows]


async def rows_of(url: str) -> list[Frame]:
    status, rows = await request("GET", url)
    assert status == 200, rows
    return list(rows)


async def until_ready(client: Client) -> list[Frame]:
    frames: list[Frame] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not frames or "_ready" not in frames[-1]:
            frames.append(await client.receive())
    return frames


async def streamed(url: str) -> list[Frame]:
    async with events(url, {}) as stream, asyncio.timeout(DEADLINE_SECONDS):
        assert not isinstance(stream, Answer), stream
        frames = []
        async for frame in stream:
            if "_ready" in frame:
                break
            if "_resume" not in frame:
                frames.append(frame)
    return frames


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(script=st.lists(writes, min_size=1, max_size=8))
async def test_each_past_state_is_the_log_folded_to_it(hub: Hub, script: list[Write]) -> None:
    """By sequence, on each surface, and filtered after it was made what it was."""
    run = uuid4().hex
    for sequence, state in await written(hub, run, script):
        asked = f"run={run}", f"_as_of={sequence}"
        expected = pruned(state)
        assert pruned(await rows_of(joined(f"{hub.url}/notes", *asked))) == expected
        async with connect(joined(f"{hub.url}/notes", *asked)) as client:
            *rows, ready = await until_ready(client)
            assert pruned(rows) == expected
            assert ready["_ready"]["position"].endswith(f".{sequence}")
        assert pruned(await streamed(joined(f"{hub.url}/notes", *asked))) == expected
        few = await rows_of(joined(f"{hub.url}/notes", *asked, "n>~=5", "_sort=-n"))
        wanted = [row for row in expected if row["n"] is not None and row["n"] >= 5]
        assert sorted(map(repr, pruned(few))) == sorted(map(repr, wanted))
        mine = await rows_of(joined(f"{hub.url}/mine", *asked))
        assert pruned(mine) == [row for row in expected if row["topic"] == "mine"]


async def test_a_time_a_sequence_and_a_position_name_the_same_state(hub: Hub) -> None:
    run = uuid4().hex
    first = await written(hub, run, [Write("POST", 0, {"n": 1})])
    between = datetime.now(UTC)
    await written(hub, run, [Write("PUT", 0, {"n": 2})])
    [(sequence, _)] = first
    url = joined(f"{hub.url}/notes", f"run={run}")
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}&_as_of={sequence}") as answer,
    ):
        position = answer.headers["EventHub-Position"]
    assert position.endswith(f".{sequence}")
    for as_of in (str(sequence), position, f"{between:%Y-%m-%dT%H:%M:%S.%fZ}"):
        [row] = await rows_of(f"{url}&_as_of={as_of}")
        assert row["n"] == 1, as_of
    [row] = await rows_of(url)
    assert row["n"] == 2


@pytest.mark.parametrize(
    ("as_of", "says"),
    [
        ("nonsense", "not a sequence, a position or an ISO time"),
        ("99999999", "its last one is"),
        ("abc.1", "a log that no longer exists"),
        ("9" * 30, "not a sequence"),
        ("-1", "not a sequence"),
        ("1.5", "a log that no longer exists"),
    ],
)
async def test_a_state_that_does_not_exist_is_refused(hub: Hub, as_of: str, says: str) -> None:
    """The same on each surface, never answered with another state."""
    await written(hub, uuid4().hex, [Write("POST", 0, {})])
    status, answer = await request("GET", joined(f"{hub.url}/notes", f"_as_of={as_of}"))
    error = answer["_error"]
    assert (status, error["code"], error["column"]) == (400, "bad_position", "_as_of")
    assert says in error["message"]
    async with connect(joined(f"{hub.url}/notes", f"_as_of={as_of}")) as client:
        assert (await client.receive())["_error"]["message"] == error["message"]


async def test_the_future_is_refused(hub: Hub) -> None:
    soon = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    status, answer = await request("GET", joined(f"{hub.url}/notes", f"_as_of={soon}"))
    assert (status, answer["_error"]["code"]) == (400, "bad_position")
    assert "is in the future" in answer["_error"]["message"]


@pytest.mark.parametrize("more", ["_since=earliest", "_replay=log", "_speed=x", "_speed=-1"])
async def test_what_does_not_go_with_a_past_state_is_refused(hub: Hub, more: str) -> None:
    async with connect(joined(f"{hub.url}/notes", "_as_of=0", more)) as client:
        assert (await client.receive())["_error"]["code"] in ("bad_request", "bad_filter")


async def test_speed_without_a_past_state_is_refused(hub: Hub) -> None:
    async with connect(joined(f"{hub.url}/notes", "_speed=1")) as client:
        assert "add _as_of" in (await client.receive())["_error"]["message"]


async def test_a_past_state_stands_still(hub: Hub) -> None:
    """Without `_speed` nothing follows: the next frame after a write is a tick, or nothing."""
    run = uuid4().hex
    [(sequence, _)] = await written(hub, run, [Write("POST", 0, {"n": 1})])
    url = joined(f"{hub.url}/notes", f"run={run}", f"_as_of={sequence}")
    live = joined(f"{hub.url}/notes", f"run={run}")
    async with connect(url) as client, connect(live) as other:
        await until_ready(client)
        await until_ready(other)
        await written(hub, run, [Write("PUT", 0, {"n": 2})])
        while (await other.receive()).get("n") != 2:
            pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.receive()


@pytest.mark.parametrize("speed", ["0", "1000000", "20"])
async def test_what_followed_is_played_and_then_goes_on_live(hub: Hub, speed: str) -> None:
    """Each event once, in order, with its time."""
    run = uuid4().hex
    script = [Write("POST", 0, {"n": 0}), *(Write("PUT", 0, {"n": n}) for n in range(1, 6))]
    states = await written(hub, run, script)
    url = joined(f"{hub.url}/notes", f"run={run}", f"_as_of={states[1][0]}", f"_speed={speed}")
    async with connect(url) as client, asyncio.timeout(DEADLINE_SECONDS):
        [row, ready] = await until_ready(client)
        assert (row["n"], ready["_ready"]["recovered"]) == (1, False)
        played = [await client.receive() for _ in range(4)]
        await written(hub, run, [Write("POST", 1, {"n": 9})])
        while "_tick" in (live := await client.receive()):
            pass
    assert [frame["n"] for frame in [*played, live]] == [2, 3, 4, 5, 9]
    moments = [datetime.fromisoformat(frame["_time"]) for frame in [*played, live]]
    assert moments == sorted(moments)


async def test_a_playback_keeps_the_distances(hub: Hub) -> None:
    """At a hundredth of the speed, two events that were 5 ms apart are half a second apart."""
    run = uuid4().hex
    [(first, _)] = await written(hub, run, [Write("POST", 0, {"n": 0})])
    await written(hub, run, [Write("PUT", 0, {"n": 1})])
    await written(hub, run, [Write("PUT", 0, {"n": 2})])
    url = joined(f"{hub.url}/notes", f"run={run}", f"_as_of={first}", "_speed=0.01")
    async with connect(url) as client, asyncio.timeout(DEADLINE_SECONDS):
        await until_ready(client)
        frames, arrived = [], []
        for _ in range(2):
            frames.append(await client.receive())
            arrived.append(asyncio.get_running_loop().time())
    happened = [datetime.fromisoformat(frame["_time"]).timestamp() for frame in frames]
    assert arrived[1] - arrived[0] >= 100 * (happened[1] - happened[0]) * 0.9


async def test_a_restriction_holds_in_the_past_and_in_what_is_played(hub: Hub) -> None:
    """A row that left the client's reach is shown as it was before, and then as deleted."""
    run = uuid4().hex
    states = await written(
        hub,
        run,
        [
            Write("POST", 0, {"topic": "mine", "n": 1}),
            Write("PUT", 0, {"topic": "other", "n": 2}),
            Write("PUT", 0, {"n": 3}),
        ],
    )
    url = joined(f"{hub.url}/mine", f"run={run}", f"_as_of={states[0][0]}", "_speed=0")
    async with connect(url) as client, asyncio.timeout(DEADLINE_SECONDS):
        [row, _] = await until_ready(client)
        gone = await client.receive()
    assert row["n"] == 1
    assert (gone["_method"], gone.get("n")) == ("DELETE", None)
    asked = f"run={run}", f"_as_of={states[2][0]}"
    assert await rows_of(joined(f"{hub.url}/mine", *asked)) == []


async def test_the_past_survives_changed_columns(hub_factory: HubFactory) -> None:
    """Rows of the past have today's columns, with the values that they had."""
    config = CONFIG.partition("  mine:")[0]
    hub = hub_factory(config.replace("n: INTEGER, ", ""))
    run = uuid4().hex
    states = await written(hub, run, [Write("POST", 0, {"topic": "a"})])
    hub.stop()
    hub.config.write_text(config.replace("n: INTEGER", "n: {type: INTEGER, default: 7}"))
    hub.start()
    more = await written(hub, run, [Write("PUT", 0, {"topic": "b", "n": 8})])
    url = joined(f"{hub.url}/notes", f"run={run}")
    [before] = await rows_of(f"{url}&_as_of={states[-1][0]}")
    [after] = await rows_of(f"{url}&_as_of={more[-1][0]}")
    assert (before["topic"], before["n"]) == ("a", 7)
    assert (after["topic"], after["n"]) == ("b", 8)

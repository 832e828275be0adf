"""A command gets from a running hub the answer that the hub's handler gives."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventhub.errors import Rejected, Unavailable
from eventhub.queries import Question
from projections.sql.local import LocalQueries
from projections.sql.remote import RemoteQueries
from tests.unit.projections.serving import filled, served


@pytest.fixture
async def handler(tmp_path: Path) -> AsyncIterator[LocalQueries]:
    """What the hub that is served answers with, under the name `ask`."""
    async with filled(tmp_path) as store:
        queries = LocalQueries(store, tmp_path)
        async with served(tmp_path, store, {"ask": queries}):
            yield queries


async def test_the_answer_is_that_of_the_handler(handler: LocalQueries, tmp_path: Path) -> None:
    question = Question(
        sql="SELECT id, votes FROM chat WHERE votes > $n ORDER BY id",
        parameters={"n": 2},
        format="csv",
        rows=2,
    )
    here = await handler.ask(question)
    there = await RemoteQueries(tmp_path, "ask", 10).ask(question)
    with here.file as expected, there.file as found:
        assert found.read() == expected.read() == b"id,votes\r\nr1,10\r\nr3,3\r\n"
    facts = [(a.size, a.rows, a.columns, a.position, a.truncated) for a in (here, there)]
    assert facts[0] == facts[1]
    assert (there.rows, there.truncated) == (2, True)


async def test_a_large_answer_arrives_whole(handler: LocalQueries, tmp_path: Path) -> None:
    question = Question(sql="SELECT repeat('x', 1000) AS x FROM range(3000)", format="ndjson")
    answer = await RemoteQueries(tmp_path, "ask", 10).ask(question)
    with answer.file as file:
        assert len(file.read()) == answer.size > 3_000_000


async def test_a_mistake_keeps_its_code(handler: LocalQueries, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="nope") as refusal:
        await RemoteQueries(tmp_path, "ask", 10).ask(Question(sql="SELECT nope"))
    assert refusal.value.code == "bad_sql"


async def test_without_a_hub_the_command_is_to_try_again(tmp_path: Path) -> None:
    async with filled(tmp_path) as store, served(tmp_path, store):
        pass
    (tmp_path / "tables.sock").touch()  # as a hub that was killed leaves it
    with pytest.raises(Unavailable, match="the hub has stopped"):
        await RemoteQueries(tmp_path, "ask", 10).ask(Question(sql="SELECT 1"))

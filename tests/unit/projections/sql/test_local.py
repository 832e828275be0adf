"""The queries of a command see its own copy of the tables, and their past."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventhub.errors import Rejected
from eventhub.queries import Answer, Question
from projections.sql.local import LocalQueries
from projections.sql.past import definitions
from projections.store import Store
from tests.builders import channel
from tests.projecting import history

CHAT = channel()
EVENTS = history(CHAT, [("POST", "a", {"votes": 1}), ("PUT", "a", {"votes": 2})])


@pytest.fixture
async def queries(tmp_path: Path) -> AsyncIterator[LocalQueries]:
    async with Store(tmp_path / "p", [CHAT], definitions=definitions([CHAT])) as store:
        await store.begin("chat", "e1")
        await store.append("chat", EVENTS)
        await store.fold("chat")
        yield LocalQueries(store, tmp_path)


def rows_of(answer: Answer) -> Any:
    with answer.file as file:
        return msgspec.json.decode(file.read())


async def test_rows_history_and_past_are_answered(queries: LocalQueries) -> None:
    for sql, votes in (
        ("SELECT votes FROM chat", [2]),
        ("SELECT votes FROM chat_history ORDER BY _seq", [1, 2]),
        ("SELECT votes FROM chat_as_of(1)", [1]),
    ):
        answer = await queries.ask(Question(sql=sql))
        assert answer.position == "e1.2"
        assert [row["votes"] for row in rows_of(answer)] == votes


async def test_parameters_are_values(queries: LocalQueries) -> None:
    question = Question(sql="SELECT $x AS x", parameters={"x": "'; DROP TABLE chat"})
    assert rows_of(await queries.ask(question)) == [{"x": "'; DROP TABLE chat"}]


@pytest.mark.parametrize(("rows", "count"), [(None, 10), (3, 3)])
async def test_only_the_command_limits_the_rows(
    queries: LocalQueries, rows: int | None, count: int
) -> None:
    answer = await queries.ask(Question(sql="FROM range(10)", rows=rows))
    assert (answer.rows, answer.truncated) == (count, count < 10)
    answer.file.close()


async def test_an_answer_has_no_name_and_a_mistake_is_refused(
    queries: LocalQueries, tmp_path: Path
) -> None:
    answer = await queries.ask(Question(sql="SELECT 1"))
    assert os.fstat(answer.file.fileno()).st_nlink == 0
    answer.file.close()
    with pytest.raises(Rejected, match="nope"):
        await queries.ask(Question(sql="SELECT nope"))


async def test_a_statement_that_fails_leaves_no_file(queries: LocalQueries, tmp_path: Path) -> None:
    before = os.listdir(tmp_path)
    for sql in ("SELECT error('no') FROM range(10)", "SELECT nothing", "DROP TABLE chat"):
        with pytest.raises(Rejected):
            await queries.ask(Question(sql=sql))
    assert sorted(os.listdir(tmp_path)) == sorted(before)

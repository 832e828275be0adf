"""One statement becomes one file, or an error and no rows of it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventhub.errors import Rejected, Unavailable
from projections.sql import answering
from projections.sql.answering import answer, opened
from projections.sql.messages import Query, Refusal, Result
from projections.store import Connection, Store
from tests.builders import channel


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "tables.duckdb", [channel("chat"), channel("b, c")]) as opened:
        await opened.begin("chat", "e1")
        await opened.begin("b, c", "e2")
        yield opened


async def run(store: Store, path: Path, sql: str, **changes: Any) -> Result:
    query = Query(
        sql=sql,
        parameters={},
        format=changes.get("format", "csv"),
        at_least="",
        rows=changes.get("rows", 1000),
        file="answer",
    )

    def step(connection: Connection) -> Result:
        return answer(connection, query, path, changes.get("tables", ["chat"]), frozenset())

    async with store.reader() as reader:
        return await store.read(reader, step)


async def test_the_file_is_opened_and_has_no_name_then(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "answer"
    result = await run(store, path, "SELECT 1 AS a, 'x' AS a, 2.5::DOUBLE AS b")
    found = opened(result, path)
    with found.file as file:
        assert file.read() == b"a,a_2,b\r\n1,x,2.5\r\n"
    assert not path.exists()
    assert (found.columns[1], found.position, found.rows) == (("a_2", "VARCHAR"), "e1.0", 1)


@pytest.mark.parametrize(("limit", "is_truncated"), [(9, True), (10, False), (11, False)])
async def test_rows_are_cut_exactly_at_the_limit(
    store: Store, tmp_path: Path, limit: int, is_truncated: bool
) -> None:
    result = await run(store, tmp_path / "answer", "FROM range(10)", rows=limit)
    assert (result.rows, result.truncated) == (min(limit, 10), is_truncated)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS a, error('it was run') AS b",
        "; SELECT 1 AS a, 'é;' AS b; -- the end",
        "SELECT 1 AS a, 'x' AS b /* ; */ -- the end",
        "FROM (SELECT 1 AS a, 'x' AS b) ORDER BY a LIMIT 5 ;;",
        "WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM r) SELECT a, 'x' AS b FROM r",
    ],
)
async def test_without_rows_a_statement_is_not_run_and_has_its_columns(
    store: Store, tmp_path: Path, sql: str
) -> None:
    result = await run(store, tmp_path / "answer", sql, rows=0)
    assert [name for name, _ in result.columns] == ["a", "b"]
    assert (result.rows, result.truncated) == (0, False)


async def test_the_position_of_several_tables_names_each(store: Store, tmp_path: Path) -> None:
    result = await run(store, tmp_path / "answer", "SELECT 1", tables=["chat", "b, c"])
    assert result.position == "chat=e1.0, b%2C%20c=e2.0"


@pytest.mark.parametrize(
    ("sql", "format_", "code"),
    [
        ("SELECT nope", "json", "bad_sql"),
        ("SELECT error('x')", "json", "bad_sql"),
        ("SELECT INTERVAL 1 day AS i", "parquet", "bad_request"),
    ],
)
async def test_what_cannot_be_answered_is_an_error(
    store: Store, tmp_path: Path, sql: str, format_: str, code: str
) -> None:
    with pytest.raises(Rejected) as caught:
        await run(store, tmp_path / "answer", sql, format=format_)
    assert caught.value.code == code


async def test_no_answer_is_written_to_a_disk_without_room(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "RESERVED_BYTES", 1 << 60)
    with pytest.raises(Unavailable, match="no room"):
        await run(store, tmp_path / "answer", "FROM range(10)")


def test_a_refusal_keeps_its_code_and_a_retry_stays_one(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        opened(Result(refused=Refusal("bad_sql", "no", "a")), tmp_path / "none")
    assert (caught.value.code, caught.value.column) == ("bad_sql", "a")
    with pytest.raises(Unavailable):
        opened(Result(refused=Refusal("unavailable", "later")), tmp_path / "none")
    with pytest.raises(Unavailable, match="try again"):
        opened(Result(), tmp_path / "none")

"""The process of a SQLHandler knows what it was told, and answers within its limits."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from eventhub.stream import EventStream
from projections.sql.messages import ANSWERS, SOCKET, Query, Result, Setup

ENDLESS = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT max(i) FROM r"


@asynccontextmanager
async def started(setup: Setup) -> AsyncIterator[Process]:
    """A process that says that it is ready."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "projections.sql.worker"), stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(40):
            process.stdin.write(msgspec.json.encode(setup) + b"\n")
            assert await process.stdout.readline() == b"ready\n"
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ask(setup: Setup, sql: str, **more: Any) -> Result:
    asked: dict[str, Any] = {"parameters": {}, "format": "csv", "at_least": "", "rows": 10, **more}
    reader, writer = await asyncio.open_unix_connection(str(Path(setup.folder) / SOCKET))
    writer.write(msgspec.json.encode(Query(sql=sql, file="answer", **asked)) + b"\n")
    line = await reader.readline()
    writer.close()
    return msgspec.json.decode(line, type=Result)


async def test_it_answers_mistakes_and_deadlines_and_goes_on(
    setup: Callable[[], Setup], stream: EventStream
) -> None:
    given = msgspec.structs.replace(setup(), seconds=0.3)
    file = Path(given.folder) / ANSWERS / "answer"
    async with started(given):
        for sql, code in ((ENDLESS, "too_costly"), ("SELECT nope", "bad_sql")):
            refused = (await ask(given, sql)).refused
            assert refused is not None
            assert refused.code == code
            assert not file.exists()
        late = (await ask(given, "SELECT 1", at_least=f"{stream.epoch}.99")).refused
        assert late is not None
        result = await ask(given, "SELECT id, votes FROM chat ORDER BY id", rows=2)
    assert (result.refused, result.rows, result.truncated) == (None, 2, True)
    assert result.position == f"{stream.epoch}.3"
    assert file.read_bytes() == b"id,votes\r\nr0,0\r\nr1,1\r\n"


async def test_a_killed_one_leaves_tables_that_the_next_one_goes_on_with(
    setup: Callable[[], Setup],
) -> None:
    folder = Path(setup().folder)
    async with started(setup()) as process:
        [tables] = tables_in(folder)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    (folder / ANSWERS / "left").touch()
    (folder / "tables-other").mkdir()
    (folder / "tables-other" / "ask.duckdb").touch()
    async with started(setup()):
        result = await ask(setup(), "SELECT count(*) AS n FROM chat_history")
        assert result.refused is None
    assert tables_in(folder) == [tables]
    assert os.listdir(folder / ANSWERS) == ["answer"]


def tables_in(folder: Path) -> list[Path]:
    return list(folder.glob("tables-*/*.duckdb"))


async def test_a_caller_that_hangs_up_or_says_nonsense_does_no_harm(
    setup: Callable[[], Setup],
) -> None:
    async with started(setup()) as process:
        for line in (b"\n", b"nonsense\n", b""):
            _, writer = await asyncio.open_unix_connection(str(Path(setup().folder) / SOCKET))
            writer.write(line)
            writer.close()
        assert (await ask(setup(), "SELECT 1")).rows == 1
        assert process.returncode is None

"""Each known attack by SQL is refused or contained: hub, tables and files stay as they are."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.e2e.attacks import (
    BAIT,
    COSTS,
    FILES,
    OTHERS,
    PROCESS,
    WRITES,
    check_unharmed,
    send,
    started,
    table,
)
from tests.e2e.command import post
from tests.e2e.hub import Hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = started(tmp_path_factory.mktemp("hub"))
    yield hub
    check_unharmed(hub)
    hub.kill()


@pytest.mark.parametrize("statement", [*WRITES, *FILES, *OTHERS, *PROCESS])
def test_a_statement_that_reaches_beyond_its_tables_is_refused(hub: Hub, statement: str) -> None:
    status, text = send(hub, statement.replace("{folder}", str(hub.folder)))
    assert status == 400, text
    assert json.loads(text)["_error"]["code"] == "bad_sql"
    assert BAIT not in text
    assert str(hub.folder / "data") not in text.replace(statement, "")


@pytest.mark.parametrize("number", range(len(COSTS)))
def test_a_statement_that_costs_too_much_is_contained(hub: Hub, number: int) -> None:
    before = time.monotonic()
    status, text = send(hub, COSTS[number].replace("{{", "{").replace("}}", "}"))
    assert time.monotonic() - before < 10
    assert status in (200, 400, 503)
    if status != 200:
        assert json.loads(text)["_error"]["code"] in ("bad_sql", "too_costly", "unavailable")
    post(f"{hub.url}/secret", id=f"after-{number}")
    assert table(hub) == [{"id": "a", "body": "one", "n": 1}]


@pytest.mark.parametrize(
    "statement",
    [
        "FROM information_schema.tables",
        "FROM information_schema.columns",
        "FROM duckdb_tables()",
        "FROM duckdb_columns()",
        "FROM duckdb_views()",
        "FROM sqlite_master",
        "FROM pg_catalog.pg_class",
        "SHOW TABLES",
        "SHOW ALL TABLES",
        "DESCRIBE chat",
    ],
)
def test_what_describes_tables_names_none_of_other_handlers(hub: Hub, statement: str) -> None:
    status, text = send(hub, statement)
    assert status == 200, text
    assert not [
        row for row in json.loads(text) if "secret" in str(row).replace("duckdb_secret", "")
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM chat PIVOT (count(*) FOR body IN ('one', 'two'))",
        "UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b",
        "SELECT * FROM chat, LATERAL (SELECT n + 1) AS t(m)",
        "WITH x AS MATERIALIZED (FROM chat) FROM x",
        "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 9) FROM r",
        "SELECT COLUMNS('b.*') FROM chat",
        "SELECT list_transform([1, 2], lambda x: x + 1) AS l",
        "SELECT unnest([1, 2]) AS v",
        "FROM chat c ASOF JOIN chat_history h ON c.id = h.id AND c._seq >= h._seq SELECT h.n",
        "SELECT * FROM chat TABLESAMPLE 50%",
        "SELECT n, sum(n) OVER (ORDER BY n) FROM chat QUALIFY row_number() OVER () = 1",
        "VALUES (1, 'a')",
        "SUMMARIZE chat",
        "SELECT 1 EXCEPT SELECT 2",
        "SELECT j.key FROM json_each('{\"a\": 1}') AS j",
        "SELECT time_bucket(INTERVAL 1 day, _time) FROM chat",
        "SELECT body FROM chat GROUP BY ALL ORDER BY ALL;",
    ],
)
def test_the_dialect_is_whole(hub: Hub, statement: str) -> None:
    status, text = send(hub, statement)
    assert status == 200, text

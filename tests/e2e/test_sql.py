"""A SQLHandler answers SQL about its tables, whatever the statement, and the hub goes on."""

import io
import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.e2e.command import post
from tests.e2e.hub import Hub, running_hub

CONFIG = """
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {body: TEXT, n: INTEGER, price: "DECIMAL(10,2)", seen: TIMESTAMPTZ, tags: JSON}
  secret:
    pattern: /secret
    handler: MessageHandler
    kwargs: {columns: {x: TEXT}}
  ask:
    pattern: /ask
    handler: SQLHandler
    kwargs:
      tables: notes
      origins: https://app.example.org
      limits: {seconds: 3, rows: 50000, memory: 512MiB, concurrent: 2}
  both:
    pattern: /both
    handler: SQLHandler
    kwargs: {tables: all, auth: true}
  shared:
    pattern: /shared
    handler: SQLHandler
    kwargs: {tables: notes, auth: true, limits: {seconds: 2, concurrent: 2}}
auth:
  proxy: {header: X-User, trusted: [127.0.0.1]}
"""
UNSTOPPABLE = "SELECT length(lpad('x', 2000000000, 'y'))"
"""DuckDB does not interrupt a single call of a function: this one takes more than a minute."""
ENDLESS = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT max(i) FROM r"
DEADLINE_SECONDS = 30


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as started:
        tags = {"x": [1, None]}
        post(f"{started.url}/notes", id="a", body="=1+1", n=5, price=1.5, tags=tags)
        post(f"{started.url}/notes", _method="PUT", id="a", n=6)
        post(f"{started.url}/notes", id="b", body="two", n=7, seen="2026-01-02T03:04:05+01:00")
        post(f"{started.url}/secret", id="s", x="hidden")
        yield started


def ask(
    hub: Hub,
    statement: str | dict[str, Any] | None = None,
    /,
    path: str = "/ask",
    headers: Any = None,
    **args: str,
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of the answer to a statement; without one, of a GET.

    Each call is of another user: one whose queries end the process may have none for a while.
    """
    body = None
    if statement is not None:
        body = (statement if isinstance(statement, str) else json.dumps(statement)).encode()
    url = f"{hub.url}{path}?{urlencode(args)}"
    named = {"X-User": uuid4().hex} if headers is None else headers
    asked = urllib.request.Request(url, body, named)
    with urllib.request.urlopen(asked, timeout=DEADLINE_SECONDS) as answer:
        return answer.read(), dict(answer.headers)


def rows(
    hub: Hub, statement: str | dict[str, Any] | None = None, /, **args: str
) -> list[dict[str, Any]]:
    return list(json.loads(ask(hub, statement, min_seq="3", **args)[0]))


def refused(
    hub: Hub, statement: str | dict[str, Any] | None = None, /, **args: Any
) -> tuple[str, str]:
    """Return code and message of an error."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(hub, statement, **args)
    with caught.value as answer:
        error = json.load(answer)["_error"]
    return error["code"], error["message"]


def test_current_rows_history_and_past_are_queried(hub: Hub) -> None:
    assert rows(hub, "SELECT id, n FROM notes ORDER BY id") == [
        {"id": "a", "n": 6},
        {"id": "b", "n": 7},
    ]
    history = rows(hub, "SELECT _seq, _method, n FROM notes_history WHERE id = 'a' ORDER BY _seq")
    assert history == [
        {"_seq": 1, "_method": "POST", "n": 5},
        {"_seq": 2, "_method": "PUT", "n": 6},
    ]
    assert len(rows(hub, "FROM ask.main.notes")) == len(rows(hub, 'FROM "ask".notes')) == 2
    assert rows(hub, "SELECT id, n FROM notes_as_of(1)") == [{"id": "a", "n": 5}]
    moment = "(SELECT max(_time) FROM notes_history WHERE _seq = 2)"
    assert rows(hub, f"SELECT id, n FROM notes_as_of({moment})") == [{"id": "a", "n": 6}]
    _, headers = ask(hub, "SELECT 1 AS one", min_seq="3")
    position = headers["EventHub-Position"]
    assert position.endswith(".3")
    assert len(rows(hub, f"FROM notes_as_of('{position}')")) == 2
    assert rows(hub, "FROM notes_as_of($moment)", moment=position)


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("yesterday", "is not a sequence, a position or a time"),
        ("99999", "there is no event 99999 yet: the last one is 3"),
        ("abc.1", "abc.1 is a position of a log that no longer exists"),
        ("9999-01-01", "is in the future"),
    ],
)
def test_a_moment_that_is_no_state_of_the_table_is_refused(
    hub: Hub, moment: str, words: str
) -> None:
    code, message = refused(hub, None, sql="FROM notes_as_of($moment)", moment=moment, min_seq="3")
    assert code == "bad_position"
    assert message.startswith("notes_as_of: ")
    assert words in message


def test_parameters_are_values_and_never_sql(hub: Hub) -> None:
    sql = "SELECT id FROM notes WHERE n >= $least AND body = $body"
    evil = "x' OR 1=1 --"
    assert rows(hub, None, sql=sql, least="7", body="two") == [{"id": "b"}]
    assert rows(hub, None, sql=sql, least="7", body=evil) == []
    assert rows(hub, {"sql": sql, "params": {"least": 7, "body": "two"}}) == [{"id": "b"}]
    assert rows(hub, {"sql": "SELECT $l[2] AS v", "params": {"l": [1, 2]}}) == [{"v": 2}]
    assert refused(hub, None, sql=sql, least="7")[0] == "bad_request"
    assert "no parameter $other" in refused(hub, "SELECT 1", other="1")[1]
    assert refused(hub, None, sql=sql, least="many", body="two")[0] == "bad_sql"


def test_every_format_has_the_rows_with_their_types(hub: Hub) -> None:
    sql = "SELECT id, body, n, price, seen, tags FROM notes ORDER BY id"
    first = {"id": "a", "body": "=1+1", "n": 6, "price": 1.5, "seen": None}
    first["tags"] = {"x": [1, None]}
    assert rows(hub, sql)[0] == first
    lines = ask(hub, sql, _format="ndjson")[0].splitlines()
    assert json.loads(lines[0]) == first
    text = ask(hub, sql, _format="csv")[0].decode().splitlines()
    assert text[0] == "id,body,n,price,seen,tags"
    assert text[2] == "b,two,7,,2026-01-02T02:04:05Z,"
    assert "a,'=1+1,6" in ask(hub, sql, _format="csv", _csv="safe")[0].decode()
    arrow = pa.ipc.open_stream(ask(hub, sql, _format="arrow")[0]).read_all()
    parquet = pyarrow.parquet.read_table(io.BytesIO(ask(hub, sql, _format="parquet")[0]))
    assert arrow.to_pylist() == parquet.to_pylist()
    assert arrow.schema.field("price").type == pa.decimal128(10, 2)
    assert refused(hub, sql, _format="xml")[0] == "bad_request"


def test_an_answer_is_cut_at_the_limit_and_says_so(hub: Hub) -> None:
    body, headers = ask(hub, "FROM range(60000)", _format="ndjson")
    assert len(body.splitlines()) == 50_000
    assert headers["EventHub-Truncated"] == "true"
    _, headers = ask(hub, "FROM range(50000)")
    assert (headers["EventHub-Rows"], headers.get("EventHub-Truncated")) == ("50000", None)


def test_a_post_limits_its_rows_or_asks_for_the_columns_alone(hub: Hub) -> None:
    body, headers = ask(hub, {"sql": "FROM range(10)", "rows": 3}, _format="ndjson")
    assert (len(body.splitlines()), headers["EventHub-Truncated"]) == (3, "true")
    unknown = {"sql": "SELECT n + $n AS n FROM notes", "params": {"n": None}, "rows": 0}
    schema = pa.ipc.open_stream(ask(hub, unknown, _format="arrow")[0]).schema
    assert schema.names == ["n"]
    assert refused(hub, {"sql": "FROM nope", "rows": 0})[0] == "bad_sql"
    assert refused(hub, {"sql": "SELECT 1", "rows": -1})[0] == "bad_request"


def test_a_query_sees_the_write_whose_position_it_names(hub: Hub) -> None:
    for number in range(20):
        one = {"id": f"w{number}", "x": "y"}
        message: Any = [one, {"id": f"v{number}"}] if number % 2 else one
        with urllib.request.urlopen(f"{hub.url}/secret", json.dumps(message).encode()) as answer:
            position = answer.headers["EventHub-Position"]
        body, headers = ask(
            hub,
            "SELECT count(*) AS n FROM secret WHERE id IN ($w, $v)",
            path="/both",
            headers={"X-User": "ann", "EventHub-Position": position},
            w=f"w{number}",
            v=f"v{number}",
        )
        assert json.loads(body) == [{"n": 1 + number % 2}]
        assert f"secret={position.partition('.')[0]}." in headers["EventHub-Position"]


@pytest.mark.parametrize(
    ("at_least", "words"),
    [
        ("99999", "after the end of the log"),
        ("abc.1", "not a position of notes"),
        ("soon", "not a position"),
    ],
)
def test_a_position_that_cannot_be_waited_for_is_refused(
    hub: Hub, at_least: str, words: str
) -> None:
    code, message = refused(hub, "SELECT 1", min_seq=at_least)
    assert code == "bad_position"
    assert words in message


@pytest.mark.parametrize(
    ("sql", "code", "words"),
    [
        ("FROM nope", "bad_sql", "nope does not exist"),
        ("FROM secret", "bad_sql", "secret does not exist"),
        ("SELECT FROM", "bad_sql", "syntax error"),
        ("SELECT 1; SELECT 2", "bad_sql", "one statement"),
        ("DROP TABLE notes", "bad_sql", "only SELECT"),
        ("", "bad_request", "sql is missing"),
        ('{"sql": 5}', "bad_request", "$.sql"),
        ('{"sql": "SELECT 1", "parms": {}}', "bad_request", "parms"),
        ("{", "bad_json", "not JSON"),
    ],
)
def test_a_mistake_is_an_error_with_a_code(hub: Hub, sql: str, code: str, words: str) -> None:
    given = refused(hub, sql)
    assert given[0] == code
    assert words in given[1]


def test_a_million_rows_cost_the_hub_no_memory(hub: Hub) -> None:
    sql = "SELECT i, 'row ' || i AS text FROM range(1000000) AS t(i)"
    headers = {"X-User": "ann"}
    ask(hub, "SELECT 1 AS one", path="/both", headers=headers)
    before = peak_of(hub)
    url = f"{hub.url}/both?{urlencode({'sql': sql, '_format': 'ndjson'})}"
    size = 0
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        while piece := answer.read(1 << 20):
            size += len(piece)
    assert size > 25_000_000
    assert peak_of(hub) - before < 10 << 20


def peak_of(hub: Hub) -> int:
    """Return the most bytes of memory that the hub's process has had."""
    assert hub.process is not None
    status = Path(f"/proc/{hub.process.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10


def test_only_pages_of_listed_origins_may_ask(hub: Hub) -> None:
    _, headers = ask(hub, "SELECT 1 AS one", headers={"Origin": "https://app.example.org"})
    assert "EventHub-Truncated" in headers["Access-Control-Expose-Headers"]
    assert refused(hub, "SELECT 1", headers={"Origin": "https://evil.example"})[0] == "forbidden"


def test_a_rule_guards_the_handler(hub: Hub) -> None:
    assert refused(hub, "SELECT 1", path="/both", headers={})[0] == "unauthorized"
    assert ask(hub, "SELECT x FROM secret WHERE id = 's'", path="/both", headers={"X-User": "ann"})


def test_a_query_without_end_is_killed_and_others_are_told_to_try_again(hub: Hub) -> None:
    with ThreadPoolExecutor(2) as threads:
        killed = threads.submit(refused, hub, UNSTOPPABLE)
        while not killed.done():
            before = time.monotonic()
            post(f"{hub.url}/secret", id=f"during-{before}")
            assert time.monotonic() - before < 2
        assert killed.result()[0] == "too_costly"
    assert len(rows(hub, "FROM notes WHERE id IN ('a', 'b')")) == 2


def test_a_kill_makes_queries_of_other_users_try_again(hub: Hub) -> None:
    ann = {"path": "/shared", "headers": {"X-User": "ann"}}
    bob = {"path": "/shared", "headers": {"X-User": "bob"}}
    ask(hub, "SELECT 1 AS one", **bob)  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as threads:
        killed = threads.submit(refused, hub, UNSTOPPABLE, **ann)
        codes = []
        while not killed.done():
            codes.append(refused(hub, ENDLESS, **bob)[0])
        assert killed.result()[0] == "too_costly"
    assert "unavailable" in codes
    assert ask(hub, "SELECT 1 AS one", **bob)  # type: ignore[arg-type]


def test_a_process_that_dies_is_started_again(hub: Hub) -> None:
    ask(hub, "SELECT 1 AS one")
    pids = [int(pid) for pid in re.findall(r'"ask", "pid": (\d+)', hub.stderr())]
    os.kill(pids[-1], signal.SIGKILL)
    give_up = time.monotonic() + DEADLINE_SECONDS
    while (code := code_of(hub, "FROM notes")) == "unavailable":
        assert time.monotonic() < give_up
    assert code == ""
    assert len(rows(hub, "FROM notes WHERE id IN ('a', 'b')")) == 2
    assert "query_process_ended" in hub.stderr()


def test_a_user_who_ends_the_process_repeatedly_waits_and_others_are_served(hub: Hub) -> None:
    cid = {"path": "/shared", "headers": {"X-User": "cid"}}
    dan = {"path": "/shared", "headers": {"X-User": "dan"}}
    assert refused(hub, UNSTOPPABLE, **cid)[0] == "too_costly"
    assert ask(hub, "SELECT 1 AS one", **dan)  # type: ignore[arg-type]
    pid = re.findall(r'"shared", "pid": (\d+)', hub.stderr())[-1]
    before = ticks_of(pid)
    with ThreadPoolExecutor(1) as threads:
        crashed = threads.submit(refused, hub, ENDLESS, **cid)
        while ticks_of(pid) < before + 10:
            assert not crashed.done()
        os.kill(int(pid), signal.SIGSEGV)
        assert crashed.result()[0] == "unavailable"
    code, message = refused(hub, "SELECT 1", **cid)
    assert code == "too_many_reads"
    assert "try again in" in message
    assert ask(hub, "SELECT 1 AS one", **dan)  # type: ignore[arg-type]


def ticks_of(pid: str) -> int:
    """Return the clock ticks that a process has computed for."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[11])


def code_of(hub: Hub, statement: str) -> str:
    """Return the code of the error that a statement gets; empty if it is answered."""
    try:
        ask(hub, statement)
    except urllib.error.HTTPError as error:
        with error:
            return str(json.load(error)["_error"]["code"])
    return ""


def test_a_query_whose_client_leaves_frees_its_slot(hub: Hub) -> None:
    url = f"{hub.url}/ask?{urlencode({'sql': ENDLESS})}"
    for _ in range(3):
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(url, timeout=0.3)
    before = time.monotonic()
    ask(hub, "SELECT 1 AS one")
    assert time.monotonic() - before < 2  # three deadlines would be nine seconds


def test_a_query_ends_at_its_deadline(hub: Hub) -> None:
    code, message = refused(hub, ENDLESS)
    assert (code, message) == ("too_costly", "the query took more than 3 s")


def test_a_query_cannot_fill_the_memory(hub: Hub) -> None:
    for sql in (
        "SELECT length(repeat('x', 2000000000))",
        "SELECT length(format('{:>2000000000}', 'x'))",
        "SELECT string_agg(repeat('x', 1000), '') FROM range(2000000)",
    ):
        assert refused(hub, sql)[0] in ("too_costly", "unavailable")
    assert rows(hub, "SELECT 1 AS one") == [{"one": 1}]


def test_the_page_shows_rows_errors_and_downloads(hub: Hub) -> None:
    browser = {"Accept": "text/html"}
    assert "<textarea" in ask(hub, headers=browser)[0].decode()
    sql = "SELECT '<script>' AS s, $n::INT AS n"
    text = ask(hub, sql=sql, n="5", _format="html")[0].decode()
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert 'name="n" value="5"' in text
    assert "_format=parquet" in text
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(hub, sql="FROM nope", _format="html")
    with caught.value as answer:
        assert 'role="alert"' in answer.read().decode()


def test_the_process_ends_with_a_hub_that_is_killed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("killed")
    (folder / "eventhub.yaml").write_text(CONFIG)
    hub = Hub(folder / "eventhub.yaml", folder, [])
    hub.start()
    post(f"{hub.url}/notes", id="a", n=1)
    assert rows_after(hub, 1) == [{"n": 1}]
    assert hub.process is not None
    os.kill(hub.process.pid, signal.SIGKILL)  # alone, without the processes that it has started
    hub.process.wait(DEADLINE_SECONDS)
    give_up = time.monotonic() + DEADLINE_SECONDS
    for pid in re.findall(r'"pid": (\d+), "event": "query_process_ready"', hub.stderr()):
        while is_running(int(pid)):
            assert time.monotonic() < give_up
    hub.start()
    post(f"{hub.url}/notes", id="b", n=2)
    assert rows_after(hub, 2) == [{"n": 2}]
    assert hub.stop() == 0


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def rows_after(hub: Hub, sequence: int) -> Any:
    return json.loads(ask(hub, "SELECT count(*) AS n FROM notes", min_seq=str(sequence))[0])

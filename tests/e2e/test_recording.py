"""What users and operators do to the hub itself is in `_audit`, which nobody can forge."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import jwt

from eventhub.logs import FIRST
from eventhub.recording import operator
from tests.e2e.client import connect, request
from tests.e2e.command import refused, run, run_all
from tests.e2e.hub import DEADLINE_SECONDS, Hub, HubFactory
from tests.e2e.reload import reload
from tests.integration.alerts.sink import Sink

SECRET = "0123456789abcdef0123456789abcdef"
CONFIG = f"""
log: {{format: json}}
server: {{admin: {{token: an-operators-token}}}}
auth: {{jwt: {{secret: {SECRET}}}}}
url:
  login:
    pattern: /login
    handler: SimpleAuth
    kwargs: {{credentials: {{ann: correct horse}}}}
  logout: {{pattern: /logout, handler: LogoutHandler}}
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs: {{columns: {{body: TEXT}}, auth: true}}
  audit:
    pattern: /audit
    handler: MessageHandler
    kwargs:
      table: _audit
      auth: {{membership: {{role: auditor}}}}
  sql:
    pattern: /sql
    handler: SQLHandler
    kwargs: {{auth: true}}
  audit-sql:
    pattern: /audit-sql
    handler: SQLHandler
    kwargs: {{tables: _audit, auth: {{membership: {{role: auditor}}}}}}
"""


def login(user: str, **attributes: Any) -> dict[str, str]:
    claims = {"sub": user, "exp": int(time.time()) + 36_000, **attributes}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


AUDITOR = login("olga", role="auditor")


async def entries(hub: Hub, query: str = "", least: int = 0) -> list[dict[str, Any]]:
    """Return the entries that match, once there are so many: most are stored a moment later."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            status, found = await request("GET", f"{hub.url}/audit?{query}", headers=AUDITOR)
            assert status == 200, found
            if len(found) >= least:
                return list(found)


def kinds(found: list[dict[str, Any]]) -> list[tuple[str, str | None, str]]:
    return [(each["action"], each["user"], each["outcome"]) for each in found]


@asynccontextmanager
async def browser(hub: Hub) -> AsyncIterator[aiohttp.ClientSession]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(hub.url, cookie_jar=jar) as session:
        yield session


async def log_in(session: aiohttp.ClientSession, password: str = "correct horse") -> int:
    async with session.post("/login", json={"user": "ann", "password": password}) as answer:
        return answer.status


async def test_logins_failures_and_refusals_are_entries(hub_factory: HubFactory) -> None:
    hub = await asyncio.to_thread(hub_factory, CONFIG)
    async with connect(f"{hub.url}/audit?action!=configured", headers=AUDITOR) as auditor:
        assert await auditor.replay() == []
        async with browser(hub) as session:
            assert await log_in(session, "a guess") == 401
            assert await log_in(session) == 200
            async with session.get("/audit") as answer:
                assert answer.status == 403
            async with session.post("/logout", json={}) as answer:
                assert answer.status == 200
        live = [await auditor.receive() for _ in range(4)]
    assert kinds(live) == [
        ("login_failed", "ann", "unauthorized"),
        ("logged_in", "ann", "ok"),
        ("access_refused", "ann", "forbidden"),
        ("logged_out", "ann", "ok"),
    ]
    assert {each["address"] for each in live} == {"127.0.0.1"}
    assert [each["target"] for each in live] == ["/login", "/login", "audit", "/logout"]
    found = await entries(hub, "action!=configured")
    assert kinds(found) == kinds(live)


async def test_a_login_is_an_entry_even_if_the_hub_is_killed_at_once(
    hub_factory: HubFactory,
) -> None:
    hub = await asyncio.to_thread(hub_factory, CONFIG)
    async with browser(hub) as session:
        assert await log_in(session) == 200
    hub.kill()
    await asyncio.to_thread(hub.start)
    assert len(await entries(hub, "action=logged_in")) == 1


async def test_a_flood_of_refusals_is_counted(hub_factory: HubFactory) -> None:
    hub = await asyncio.to_thread(hub_factory, CONFIG)
    async with browser(hub) as session:
        for _ in range(50):
            async with session.get("/notes") as answer:
                assert answer.status == 401
    assert len(await entries(hub, "action=access_refused", FIRST)) == FIRST
    await asyncio.to_thread(hub.stop)
    await asyncio.to_thread(hub.start)
    found = await entries(hub, "action=access_refused")
    assert sum(each["count"] for each in found) == 50
    assert len(found) == FIRST + 1


async def test_a_configuration_is_an_entry_at_each_start_and_reload(
    hub_factory: HubFactory,
) -> None:
    hub = await asyncio.to_thread(hub_factory, CONFIG)
    await reload(hub, CONFIG.replace("pattern: /logout", "pattern: /leave"))
    await asyncio.to_thread(hub.stop)
    hub.config.write_text(
        CONFIG.replace("  logout: {pattern: /logout, handler: LogoutHandler}", "")
    )
    await asyncio.to_thread(hub.start)
    await reload(hub, CONFIG)
    await reload(hub, CONFIG.replace("correct horse", "battery staple"))
    first, second, third, fourth, fifth = [
        each["detail"] for each in await entries(hub, "action=configured", 5)
    ]
    assert (first["cause"], second["cause"], third["cause"]) == ("start", "reload", "start")
    assert "changed" not in first
    changes = [(each["added"], each["removed"], each["changed"]) for each in (second, third)]
    assert changes == [([], [], ["logout"]), ([], ["logout"], [])]
    assert (fourth["added"], fifth["changed"]) == (["logout"], ["login"])
    assert len({each["sha256"] for each in (first, second, third)}) == 3
    assert first["sha256"] == fourth["sha256"], "the same configuration again"
    assert fourth["sha256"] == fifth["sha256"], "a hash tells nothing of secrets"


async def test_a_statement_is_an_entry_with_its_user_and_rows(hub_factory: HubFactory) -> None:
    hub = await asyncio.to_thread(hub_factory, CONFIG)
    ann = login("ann")
    sql = "SELECT 1 AS one WHERE $x = 1"
    for query, given, status in (
        (sql, {"x": 1}, 200),
        ("SELECT nope", {}, 400),
        ("FROM _audit", {}, 400),
    ):
        body = {"sql": query, "params": given}
        reply = await request("POST", f"{hub.url}/sql", json=body, headers=ann)
        assert reply[0] == status, reply
    found = await entries(hub, "action=queried", 3)
    assert kinds(found) == [
        ("queried", "ann", "ok"),
        ("queried", "ann", "bad_sql"),
        ("queried", "ann", "bad_sql"),
    ]
    assert found[0]["target"] == "sql"
    assert found[0]["detail"] == {"sql": sql, "parameters": '{"x": 1}', "rows": 1}
    count = "SELECT user, count(*) AS n FROM _audit GROUP BY ALL ORDER BY n"
    url = f"{hub.url}/audit-sql?min_seq=4&sql={count}"
    status, rows = await request("GET", url, headers=AUDITOR)
    assert (status, rows[-1]) == (200, {"user": "ann", "n": 3})
    async with browser(hub) as session:
        for _ in range(2):
            for suffix in ("", "&x=2"):
                path = f"/sql.csv?sql={sql}{suffix or '&x=1'}"
                async with session.get(path, headers=ann) as answer:
                    assert answer.status == 200
    outcomes = [each["outcome"] for each in (await entries(hub, "action=queried", 8))[4:]]
    assert sorted(outcomes) == ["kept", "kept", "ok", "ok"]


async def test_nobody_writes_to_the_trail(hub_factory: HubFactory) -> None:
    hub = await asyncio.to_thread(hub_factory, CONFIG)
    [before] = await entries(hub, least=1)
    for method, path, body in (
        ("POST", "/audit", {"action": "forged"}),
        ("POST", "/audit", [{"action": "forged"}, {"action": 7}]),
        ("POST", "/audit?_upsert", {"id": before["id"], "action": "forged"}),
        ("PUT", "/audit", {"id": before["id"], "action": "forged"}),
        ("PUT", "/audit", {"id": before["id"], "_revert": 1, "_if_seq": 1}),
        ("PUT", f"/audit/{before['id']}", {"action": "forged"}),
        ("DELETE", f"/audit/{before['id']}", None),
        ("PUT", "/audit/nope", {"action": "forged"}),
    ):
        status, answer = await request(method, f"{hub.url}{path}", json=body, headers=AUDITOR)
        text = json.dumps(answer)
        assert "forbidden" in text, (method, path, status, answer)
        assert "hub alone writes" in text
    async with connect(f"{hub.url}/audit", headers=AUDITOR) as client:
        await client.replay()
        for message in ({"action": "x"}, {"_method": "DELETE", "id": before["id"]}):
            assert (await client.ask(message))["_error"]["code"] == "forbidden"
    assert await entries(hub) == [before]
    rows = hub.folder / "rows.ndjson"
    rows.write_text('{"id": "x", "action": "forged"}\n')
    words = (hub.config, "_audit")
    data = ("--data", hub.folder / "data")
    for command in (
        ("revert", *words, before["id"], 0),
        ("import", *words, rows),
    ):
        done = await asyncio.to_thread(run, *command, *data)
        assert "the hub alone writes the audit trail" in refused(1, done)
    assert (await entries(hub))[0] == before


async def test_commands_are_entries_of_the_user_who_runs_them(hub_factory: HubFactory) -> None:
    hub = await asyncio.to_thread(hub_factory, CONFIG)
    await request("POST", f"{hub.url}/notes", json={"id": "a", "body": "x"}, headers=login("ann"))
    rows = hub.folder / "rows.ndjson"
    rows.write_text('{"id": "b", "body": "imported"}\n')
    data = ("--data", hub.folder / "data")
    out = hub.folder / "out"
    commands: tuple[tuple[object, ...], ...] = (
        ("import", hub.config, "notes", rows),
        ("revert", hub.config, "notes", "a", 0),
        ("export", hub.config, "_audit", "--events", "--to", out / "audit"),
        ("snapshot", hub.config, out / "all.duckdb"),
        ("sql", hub.config, "SELECT count(*) FROM notes"),
        ("alerts", "retry", hub.config),
        ("revert", hub.config, "notes", "nope", 1),
    )
    out.mkdir()
    ended = []
    for first in range(0, len(commands), 2):  # more at once would be slow on a busy machine
        pair = ((*command, *data) for command in commands[first : first + 2])
        ended += await asyncio.to_thread(run_all, *pair)
    assert [done.returncode for done in ended] == [0, 0, 0, 0, 0, 0, 1], ended
    async with browser(hub) as session:
        path = "/-/snapshot.duckdb"
        async with session.get(path, headers={"Authorization": "Bearer an-operators-token"}) as got:
            assert got.status == 200
    expected = [
        ("imported", "notes", "ok"),
        ("reverted", "notes", "ok"),
        ("exported", "_audit", "ok"),
        ("exported", "all tables", "ok"),
        ("queried", "command", "ok"),
        ("alerts_retried", "dead letters", "ok"),
        ("reverted", "notes", "not_found"),
    ]
    found = [each for each in await entries(hub) if each["target"] in {t for _, t, _ in expected}]
    found = [each for each in found if each["user"] != "ann"]
    *by_commands, by_http = found
    recorded = [(each["action"], each["target"], each["outcome"]) for each in by_commands]
    assert sorted(recorded) == sorted(expected)
    assert all(each["user"].startswith("os:") for each in by_commands)
    assert (by_http["user"], by_http["address"]) == (None, "127.0.0.1")
    [imported] = [each for each in by_commands if each["action"] == "imported"]
    assert imported["detail"]["stored"] == 1
    await asyncio.to_thread(hub.stop)
    for command in (("rebuild", hub.config), ("sql", hub.config, "SELECT 1")):
        done = await asyncio.to_thread(run, *command, *data)
        assert done.returncode == 0, done
    verified = await asyncio.to_thread(run, "verify", hub.config, *data)
    assert "_audit: equal" in verified.stdout
    await asyncio.to_thread(hub.start)
    assert [each["action"] for each in await entries(hub)][-3:] == [
        "rebuilt",
        "queried",
        "configured",
    ]


async def test_past_history_formats_and_alerts_work_as_for_any_channel(
    hub_factory: HubFactory,
) -> None:
    async with Sink.running() as sink:
        mail = (
            f"email: {{sink: {{type: smtp, host: 127.0.0.1, port: {sink.port},"
            " email: hub@example.org}}\n"
        )
        alert = (
            "      alert: {to: op@example.org, condition: action=login_failed,"
            " subject: 'login of {{ user }} failed'}\n"
        )
        config = mail + CONFIG.replace("table: _audit\n", f"table: _audit\n{alert}", 1)
        hub = await asyncio.to_thread(hub_factory, config)
        async with browser(hub) as session:
            assert await log_in(session, "a guess") == 401
        [failed] = await entries(hub, "action=login_failed", 1)
        assert [each["action"] for each in await entries(hub, "_as_of=1")] == ["configured"]
        [version] = await entries(hub, f"id={failed['id']}&_history")
        assert (version["_method"], version["_user"]) == ("POST", "ann")
        async with browser(hub) as session:
            path = "/audit?_format=csv&_c=action&_c=user"
            async with session.get(path, headers=AUDITOR) as answer:
                assert (await answer.text()).splitlines()[1:] == [
                    f"configured,{operator()}",
                    "login_failed,ann",
                ]
        [taken] = await sink.has(1)
        assert taken.mail["Subject"] == "login of ann failed"


async def test_without_an_entry_there_is_no_trail(hub_factory: HubFactory) -> None:
    config = CONFIG[: CONFIG.index("  audit:")] + CONFIG[CONFIG.index("  sql:") :]
    config = config[: config.index("  audit-sql:")]
    hub = await asyncio.to_thread(hub_factory, config)
    async with browser(hub) as session:
        assert await log_in(session) == 200
    assert list((hub.folder / "data").rglob("EH__audit*")) == []

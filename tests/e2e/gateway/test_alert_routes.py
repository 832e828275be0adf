"""Operators see alerts and the configuration of a running hub, retry mails, and check a text."""

from collections.abc import Iterator

import aiohttp
import pytest

from eventhub.gateway.configuration import MAX_TEXT
from tests.e2e.client import request
from tests.e2e.command import post
from tests.e2e.hub import Hub, running_hub
from tests.integration.alerts.sink import Sink, served_sink
from tests.waiting import until

OPERATOR = {"Authorization": "Bearer an-operators-token"}
FORWARDED = {"X-Forwarded-For": "192.0.2.7"}


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with served_sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[Hub]:
    config = f"""
server: {{admin: {{token: an-operators-token}}}}
email: {{sink: {{host: 127.0.0.1, port: {sink.port}, email: hub@example.org}}}}
url:
  notes: {{pattern: /notes, handler: MessageHandler, kwargs: {{columns: {{body: TEXT, n: INTEGER}},
    alert: {{to: ann@example.org, subject: '{{{{ body }}}}', body: 'It says {{{{ body }}}}'}}}}}}
  quiet: {{pattern: /quiet, handler: MessageHandler, kwargs: {{table: notes,
    alert: {{to: bob@example.org, subject: 'Quiet', condition: "msg['n'] > 1"}}}}}}
  audit: {{pattern: /audit, handler: MessageHandler, kwargs:
    {{table: _audit, auth: {{membership: {{role: auditor}}}}}}}}
"""
    with running_hub(tmp_path_factory.mktemp("hub"), config) as hub:
        sink.answers = ["554 no", "250 OK"]
        post(f"{hub.url}/notes", body="refused", n=1)
        until(lambda: "alert_dead" in hub.stderr())
        post(f"{hub.url}/notes", body="sent", n=2)
        until(lambda: len(sink.taken) == 1)
        yield hub


async def test_what_is_for_operators_is_refused_to_others_and_to_other_sites(hub: Hub) -> None:
    for method, path in (
        ("GET", "/-/configuration"),
        ("POST", "/-/configuration"),
        ("POST", "/-/configuration/rehearsal"),
        ("GET", "/-/alerts"),
        ("POST", "/-/alerts/retry"),
        ("GET", "/-/alerts/preview?endpoint=notes"),
        ("GET", "/-/alerts/backtest?endpoint=notes"),
    ):
        body = {"data": b"{}"} if method == "POST" else {}
        for headers in (FORWARDED, {"Origin": "https://evil.example"}):
            status, answer = await request(method, hub.url + path, headers=headers, **body)
            assert (status, answer["_error"]["code"]) == (403, "forbidden"), path
        status, _ = await request(method, hub.url + path, headers={**FORWARDED, **OPERATOR}, **body)
        assert status != 403


async def test_a_dead_letter_is_seen_previewed_and_sent_again(hub: Hub, sink: Sink) -> None:
    _, found = await request("GET", f"{hub.url}/-/alerts")
    [letter] = found["dead"]
    assert (letter["id"], letter["reason"], letter["missing"]) == (
        "notes:1",
        "554 no",
        ["ann@example.org"],
    )
    assert found["alerts"][0]["alert"]["subject"] == "{{ body }}"
    preview = f"{hub.url}/-/alerts/preview?endpoint=notes&sequence=1"
    _, previewed = await request("GET", preview)
    assert previewed["mail"]["text"] == "It says refused"
    _, tried = await request("GET", f"{hub.url}/-/alerts/backtest?endpoint=notes&condition=n>~=2")
    assert [each["subject"] for each in tried["mails"]] == ["sent"]
    expression = f"{hub.url}/-/alerts/backtest?endpoint=notes&condition=msg%5B'n'%5D%20>%201"
    _, tried = await request("GET", expression)
    assert [each["subject"] for each in tried["mails"]] == ["sent"]
    assert len(sink.taken) == 1
    _, sent = await request("POST", f"{hub.url}/-/alerts/retry", json={"ids": ["notes:1"]})
    assert sent == [{"id": "notes:1", "error": None}]
    assert [each.mail["Subject"] for each in sink.taken] == ["sent", "refused"]
    _, found = await request("GET", f"{hub.url}/-/alerts")
    assert (found["dead"], found["dead_count"]) == ([], 0)


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/-/alerts?x=1", None, 400, "'x' is not an argument here"),
        ("/-/alerts/preview", None, 400, "endpoint is missing"),
        ("/-/alerts/preview?endpoint=nope", None, 404, "no endpoint 'nope' has an alert"),
        ("/-/alerts/preview?endpoint=notes&sequence=-1", None, 400, "sequence is a whole number"),
        ("/-/alerts/backtest?endpoint=notes&days=0", None, 400, "days is a whole number"),
        ("/-/alerts/backtest?endpoint=notes&methods=GET", None, 400, "'GET' is none of"),
        ("/-/alerts/backtest?endpoint=notes&condition=1", None, 400, "is not a filter"),
        (
            "/-/alerts/backtest?endpoint=notes&condition=msg%5B'n'%5D%20>%200",
            None,
            400,
            "url: notes: alert: condition: it is not a filter",
        ),
        ("/-/alerts/retry", b'{"ids": []}', 400, "name 1 to"),
        ("/-/alerts/retry", b'{"ids": ["\xff"]}', 400, "not UTF-8"),
        ("/-/alerts/retry", b'{"id": 1}', 400, "send"),
        ("/-/alerts/retry", b'{"ids": ["notes:9"]}', 404, "no dead letter"),
        ("/-/configuration", b"\xff", 400, "not UTF-8"),
        ("/-/configuration/rehearsal", b"\xff", 400, "not UTF-8"),
        ("/-/configuration/rehearsal?events=0", b"", 400, "events is a whole number"),
        ("/-/configuration/rehearsal?days=1", b"", 400, "the only argument here is events"),
        ("/-/configuration/rehearsal", b"import: {a: {path: /etc/passwd}}", 400, "FILE NEWFILE"),
        ("/-/configuration/rehearsal", b"url: $HOME", 400, "FILE NEWFILE"),
        ("/-/configuration", b"a" * (MAX_TEXT + 1), 413, "KiB"),
    ],
)
async def test_a_mistake_is_named(
    hub: Hub, path: str, body: bytes | None, status: int, message: str
) -> None:
    method = "GET" if body is None else "POST"
    found, answer = await request(method, hub.url + path, data=body)
    assert (found, message in answer["_error"]["message"]) == (status, True), answer


async def test_the_configuration_is_shown_masked_and_a_text_is_checked(hub: Hub) -> None:
    _, shown = await request("GET", f"{hub.url}/-/configuration")
    assert shown["server"]["admin"]["token"] == "***"
    assert [each["pattern"] for each in shown["endpoints"]] == ["/notes", "/quiet", "/audit"]
    async with aiohttp.ClientSession() as session:
        text = "url: {a: {pattern: /a, handler: MessageHandler, kwargs: {colums: {}}}}"
        async with session.post(f"{hub.url}/-/configuration", data=text) as answer:
            checked = await answer.json()
    [finding] = checked["findings"]
    assert (checked["valid"], finding["line"]) == (False, 1)
    assert "'colums'" in finding["message"]

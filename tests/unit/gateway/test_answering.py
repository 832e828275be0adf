"""Whatever a request raises, its client gets one answer, and the log has what was no refusal."""

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from eventhub.errors import EventHubError, Rejected
from eventhub.gateway.answering import answered
from eventhub.gateway.refusal import answer
from tests.unit.gateway.serving import handling


async def asked(error: Exception | None) -> tuple[int, str, list[EventHubError]]:
    """Return status and text of the answer of a handler that raises, and what was refused."""
    refused: list[EventHubError] = []

    async def dispatch(request: web.Request) -> web.StreamResponse:
        if error is not None:
            raise error
        return web.Response(text="fine")

    def refuse(error: EventHubError, request: web.Request) -> web.StreamResponse:
        refused.append(error)
        return answer(error)

    async with (
        handling(answered("notes", dispatch, refuse)) as port,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/") as response,
    ):
        return response.status, await response.text(), refused


async def test_an_answer_is_sent_as_it_is() -> None:
    assert await asked(None) == (200, "fine", [])


async def test_an_error_of_the_client_is_refused_with_its_code() -> None:
    status, text, refused = await asked(Rejected("bad_value", "n: expected a number"))
    assert (status, len(refused)) == (400, 1)
    assert "expected a number" in text


async def test_a_fault_of_the_hub_is_an_error_without_details_and_a_line_in_the_log() -> None:
    with capture_logs() as logs:
        status, text, _ = await asked(KeyError("a secret"))
    assert status == 500
    assert "a secret" not in text
    assert [(line["event"], line["endpoint"]) for line in logs] == [("request_failed", "notes")]


@pytest.mark.parametrize("method", ["GET"])
async def test_an_answer_of_the_framework_passes(method: str) -> None:
    status, _, refused = await asked(web.HTTPMethodNotAllowed("PUT", [method]))
    assert (status, refused) == (405, [])


async def test_an_answer_that_has_begun_is_broken_off() -> None:
    """Its client must not take an error object for a part of what it asked for."""

    async def dispatch(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"half")
        raise Rejected("bad_value", "too late")

    def refuse(error: EventHubError, request: web.Request) -> web.StreamResponse:
        raise AssertionError

    async with (
        handling(answered("notes", dispatch, refuse)) as port,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/") as response,
    ):
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()

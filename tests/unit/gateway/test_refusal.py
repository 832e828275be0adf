"""Whatever is refused is answered with an error object, counted, and logged if it is unusual."""

import msgspec
import pytest
from aiohttp import web
from aiohttp.http_exceptions import BadStatusLine, InvalidHeader, LineTooLong
from aiohttp.test_utils import make_mocked_request
from structlog.testing import capture_logs

from eventhub import metrics
from eventhub.errors import CODES, EventHubError, Rejected, Unavailable
from eventhub.gateway import refusal


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (Rejected("bad_type", "no"), {"Accept-Encoding": "gzip, deflate"}),
        (Rejected("upgrade_required", "no"), {"Sec-WebSocket-Version": "13"}),
        (Unavailable("later", code="busy"), {"Retry-After": "1"}),
        (EventHubError("internal error"), {}),
    ],
)
def test_an_answer_has_status_object_and_the_headers_of_its_code(
    error: EventHubError, headers: dict[str, str]
) -> None:
    answer = refusal.answer(error, {"X-Own": "kept"})
    assert answer.status == CODES[error.code].http
    assert isinstance(answer.body, bytes)
    assert msgspec.json.decode(answer.body)["_error"]["code"] == error.code
    for name, value in {**headers, "X-Own": "kept", "Cache-Control": "no-store"}.items():
        assert answer.headers[name] == value


def test_a_message_that_quotes_invalid_text_can_be_sent() -> None:
    answer = refusal.answer(Rejected("bad_filter", "no column \udcff"))
    assert isinstance(answer.body, bytes)
    assert msgspec.json.decode(answer.body)["_error"]["message"] == "no column \\udcff"


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (web.HTTPNotFound(), "unknown_path"),
        (web.HTTPMethodNotAllowed("PATCH", ["GET"]), "method_not_allowed"),
        (web.HTTPRequestEntityTooLarge(1, 2), "too_large"),
        (web.HTTPBadRequest(), "bad_request"),
        (web.HTTPInternalServerError(), "internal"),
    ],
)
def test_an_answer_of_the_library_becomes_an_error_of_the_hub(
    raised: web.HTTPException, code: str
) -> None:
    assert refusal.of_exception(raised).code == code


def test_a_method_that_a_path_does_not_take_is_refused_with_those_that_it_takes() -> None:
    error = refusal.of_exception(web.HTTPMethodNotAllowed("POST", ["HEAD", "GET"]))
    assert error.message == "this path takes only GET, HEAD: is it the right one?"


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (LineTooLong("", str(refusal.MAX_LINE)), "bad_request"),
        (BadStatusLine("x"), "bad_request"),
        (InvalidHeader("x"), "bad_request"),
        (None, "bad_request"),
    ],
)
def test_bytes_that_are_not_a_request_are_the_clients_mistake(
    raised: BaseException | None, code: str
) -> None:
    assert refusal.of_bad_http(raised).code in (code, "headers_too_large")


@pytest.mark.parametrize(("code", "is_logged"), [("bad_request", True), ("unauthorized", False)])
def test_a_refusal_is_counted_and_logged_unless_it_is_usual(code: str, is_logged: bool) -> None:
    counter = metrics.REFUSED.labels(code)
    before = counter._value.get()
    with capture_logs() as logs:
        refusal.count(Rejected(code, "why"), make_mocked_request("GET", "/rows?secret=1"))
    assert counter._value.get() == before + 1
    assert [each["event"] for each in logs] == (["request_refused"] if is_logged else [])
    for each in logs:
        assert (each["reason"], each["path"]) == (code, "/rows")

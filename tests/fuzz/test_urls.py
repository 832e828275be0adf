"""Whatever the query or a cookie says, the hub does not fail, and shows no row that it must not."""

import base64
import re
from collections.abc import Iterator
from http.cookies import SimpleCookie
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from eventhub.filters.arguments import CONTROLS
from eventhub.filters.conditions import EQUALITY, MATCH, ORDER
from eventhub.gateway.controls import CHOICES
from tests.e2e.hub import Hub
from tests.e2e.wire import Answer, ask, head, with_body
from tests.examples import examples
from tests.fuzz.hub import HIDDEN, NAMES, fuzzed

PATHS = ["/rows", "/rows.csv", "/rows.ndjson", "/rows/seen", "/rows?_history&id=seen"]
PATHS += [f"/rows/{HIDDEN}0", f"/rows?_history&id={HIDDEN}1", "/rows?_since=earliest"]
FORMATS = [each for each in CHOICES["_format"] if each not in ("arrow", "parquet")]
"""Those whose text is not compressed: what they show can be searched."""

operators = st.sampled_from(["", "", *EQUALITY, *ORDER, *MATCH])
names = st.sampled_from(NAMES) | st.sampled_from([f"data.{each}" for each in ["k", "k.l", "."]])
keys = (
    st.builds(lambda name, operator: f"{name}{operator}".encode(), names, operators)
    | st.sampled_from(CONTROLS).map(str.encode)
    | st.binary(max_size=6)
)
texts = [
    "", "me", "you", "seen", "1", "-1", "0", "9" * 30, "1.5", "nan", "-inf", "1e400", "true", "no",
    "2023", "2023-04-01", "2023-04-01T10:00:00+05:30", "9999-12-31T23:59:59-23:59", "earliest",
    "now", "-5", "x.1", "body", "-body", "body*", "-data", "log", "rows", "string", "safe",
    *FORMATS,
    "' OR 1=1 --", "%", "_", "\\", "{{7*7}}", "$n", "../..", "\r\nX: y", "\u0130", "e\u0301",
]  # fmt: skip
values = st.sampled_from(texts).map(str.encode) | st.binary(max_size=8)
arguments = st.builds(
    lambda key, value, is_raw: _argument(key, value, is_raw=is_raw), keys, values, st.booleans()
)


def _argument(key: bytes, value: bytes, *, is_raw: bool) -> str:
    """Return an argument, percent-encoded, or as it is if a request line may have it."""
    pair = [each.decode("latin-1") for each in (key, value)]
    if is_raw and all(each.isascii() and each.isprintable() for each in pair):
        return "=".join(pair).replace(" ", "+").replace("#", "%23").replace("&", "%26")
    return f"{quote_from_bytes(key)}={quote_from_bytes(value)}"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with fuzzed(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(scope="module")
def cookie(hub: Hub) -> tuple[str, str]:
    """The name and the value of the cookie of a user who has logged in."""
    body = b'{"user": "annabel", "password": "secret"}'
    answer = ask(hub.url, with_body("POST /login HTTP/1.1", body, "Content-Type: application/json"))
    [(name, morsel)] = SimpleCookie(answer.headers["set-cookie"]).items()
    assert _is_ann(ask(hub.url, head("GET /logout HTTP/1.1", f"Cookie: {name}={morsel.value}")))
    return name, morsel.value


@settings(max_examples=examples(150), suppress_health_check=list(HealthCheck))
@given(st.sampled_from(PATHS), st.lists(arguments, max_size=5), st.sampled_from(["GET", "HEAD"]))
def test_no_query_makes_the_hub_fail_or_show_a_hidden_row(
    hub: Hub, path: str, query: list[str], method: str
) -> None:
    given = [each for each in query if not each.startswith("_wait=")]
    target = "&".join([path if "?" in path else f"{path}?", *given])
    answer = ask(hub.url, head(f"{method} {target} HTTP/1.1"))
    answer.check()
    body = answer.body
    if answer.status >= 400:  # errors repeat an id
        body = re.sub(rb"\b%b\d\b" % HIDDEN.encode(), b"", body)
    assert HIDDEN.encode() not in body


@settings(max_examples=examples(100), suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 400),
    st.integers(0, 4),
    st.text(st.characters(codec="ascii", exclude_characters="\r\n\0"), max_size=6),
    st.sampled_from(["{n}={v}", "{n}={v}; {n}=x", "{n}=x; {n}={v}", '{n}="{v}"', "{v}", "{n}{v}"]),
)
def test_no_cookie_but_that_of_the_login_admits_a_client(
    hub: Hub, cookie: tuple[str, str], at: int, cut: int, put: str, form: str
) -> None:
    name, value = cookie
    at = min(at, len(value))
    forged = value[:at] + put + value[at + cut :]
    # Decoding skips what is not base64, and what follows a cookie's value is another one.
    parts = [forged, *re.split(r'[;,"\s]', forged)]
    assume(all(_content(part) != _content(value) for part in parts))
    assume(value not in re.sub(r"[^\w=-]", "", forged))
    answer = ask(hub.url, head("GET /logout HTTP/1.1", f"Cookie: {form.format(n=name, v=forged)}"))
    # 400: a header cannot have it. After many of those in a row, the client is asked to wait.
    assert answer.status in (200, 400) or answer.code == "busy"
    assert not _is_ann(answer)


def _is_ann(answer: Answer) -> bool:
    """Tell whether the page asks the user whether to log out, or says that nobody has logged in."""
    return b"annabel" in answer.body


def _content(value: str) -> bytes:
    """Return what a cookie decodes to: several texts of base64 stand for the same bytes."""
    try:
        return base64.urlsafe_b64decode(value)
    except ValueError:
        return b""

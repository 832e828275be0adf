"""Whatever comes over a WebSocket, the hub neither fails nor shows a row that it must not show."""

import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventhub.delivery.frames import ARRAYS_SUBPROTOCOL, FORMS
from eventhub.errors import CODES, Close
from eventhub.filters.arguments import CONTROLS as URL_CONTROLS
from eventhub.ingest.command import CONTROLS
from eventhub.methods import METHODS, SEND
from tests.bench.wire import BINARY, connect, masked
from tests.e2e.hub import Hub
from tests.examples import examples
from tests.fuzz.hub import HIDDEN, NAMES, fuzzed

QUIET_SECONDS = 0.15
"""After which a hub that says nothing has said everything; then the test reads no further."""
PROTOCOL_CODES = {1000, 1002, 1003, 1007, 1009}
"""Of RFC 6455 section 7.4.1, besides those of the hub."""

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["me", "you", "seen", *METHODS, SEND, "earliest", "2023-01-01"])
)
values = st.recursive(
    scalars, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=4), some)
)
keys = st.sampled_from([*NAMES, *CONTROLS, *URL_CONTROLS, "_auth", "_seq", "_ready"])
messages = st.dictionaries(keys, values, max_size=5) | st.dictionaries(keys | st.text(), values)
likely = st.fixed_dictionaries(
    {"_method": st.sampled_from([*METHODS, SEND])},
    optional={
        "id": st.sampled_from(["seen", "other"]) | values,
        "owner": st.sampled_from(["me", "you"]),
        "_ref": values,
        "_if_seq": st.integers(0, 9),
        "_revert": st.integers(0, 9),
        "_upsert": st.booleans(),
        "_key": st.sampled_from(["k", "l"]),
    },
)
texts = (
    st.one_of(likely, messages, values, st.lists(likely | messages, max_size=4)).map(
        msgspec.json.encode
    )
    | st.text().map(str.encode)
    | st.binary(max_size=40)
)
frames = st.one_of(
    texts.map(masked),
    texts.map(lambda text: masked(text, BINARY)),
    st.builds(masked, st.binary(max_size=130), st.integers(0, 255)),
    texts.map(lambda text: text[: len(text) // 2] and masked(text[: len(text) // 2], 0x01)),
    st.binary(max_size=20),
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with fuzzed(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@settings(max_examples=examples(40), suppress_health_check=list(HealthCheck))
@given(
    st.lists(frames, min_size=1, max_size=8),
    st.sampled_from(["", *FORMS]),
    st.sampled_from(["", "?_replay=log", "?_since=earliest", "?_c=-body&owner=you", "?_presence"]),
)
def test_no_frames_make_the_hub_fail_or_show_a_hidden_row(
    hub: Hub, sent: list[bytes], protocol: str, query: str
) -> None:
    with connect(f"{hub.url}/rows{query}", subprotocol=protocol) as wire:
        _check_answers(_answers(wire, b"".join(sent)))


asked = st.fixed_dictionaries(
    {"_subscribe": st.integers(0, 3), "path": st.sampled_from(["/rows", "/rows/seen"])},
    optional={
        "query": st.sampled_from(["", "_replay=log", "_c=-body&owner=you", "_presence"]) | values,
        "since": st.sampled_from(["earliest", "now", "-3"]) | values,
        "_ref": values,
    },
)
of_subscription = st.builds(
    lambda sub, message: {"_sub": sub, **message}, st.integers(1, 3), likely
)
commands = (
    asked
    | st.fixed_dictionaries({"_unsubscribe": st.integers(0, 3) | values})
    | st.dictionaries(keys | st.sampled_from(["_sub", "_subscribe", "_unsubscribe"]), values)
)
subscribing = st.one_of(asked, of_subscription, commands, st.lists(of_subscription | commands)).map(
    lambda each: masked(msgspec.json.encode(each))
)


@settings(max_examples=examples(40), suppress_health_check=list(HealthCheck))
@given(st.lists(subscribing | frames, min_size=1, max_size=10))
def test_no_subscriptions_make_the_hub_fail_or_show_a_hidden_row(
    hub: Hub, sent: list[bytes]
) -> None:
    with connect(f"{hub.url}/-/socket", subprotocol=ARRAYS_SUBPROTOCOL) as wire:
        first = masked(msgspec.json.encode({"_subscribe": 1, "path": "/rows"}))
        _check_answers(_answers(wire, first + b"".join(sent)))


def _check_answers(got: bytes) -> None:
    assert HIDDEN.encode() not in got
    for opcode, payload in _parsed(got):
        if opcode == 1:
            _check(msgspec.json.decode(payload))
        elif opcode == 8:
            assert int.from_bytes(payload[:2]) in PROTOCOL_CODES | set(Close)
        else:
            assert opcode in (9, 10), (opcode, payload)


def _check(frame: Any) -> None:
    assert isinstance(frame, dict)
    if error := frame.get("_error"):
        assert error["code"] in CODES
        assert error["code"] != "internal", error


def _answers(wire: socket.socket, sent: bytes) -> bytes:
    """Send bytes; return what comes until the hub closes the connection, or is quiet."""
    got = bytearray()
    try:
        wire.sendall(sent)
        wire.settimeout(QUIET_SECONDS)
        while part := wire.recv(65536):
            got += part
    except (TimeoutError, ConnectionError):
        pass
    return bytes(got)


def _parsed(got: bytes) -> Iterator[tuple[int, bytes]]:
    """Iterate over the opcodes and payloads of the frames that came whole."""
    at = 0
    while at + 2 <= len(got):
        first, size, start = got[at], got[at + 1], at + 2
        assert first & 0xF0 == 0x80, "a frame of the hub is whole"
        assert size < 128, "a frame of the hub is not masked"
        if size > 125:
            start += 2 if size == 126 else 8
            size = int.from_bytes(got[at + 2 : start])
        if start + size > len(got):
            return
        yield first & 0x0F, got[start : start + size]
        at = start + size

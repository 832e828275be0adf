"""What a client sends is cut into the same messages, however it arrives."""

from typing import Any

import pytest
from aiohttp.http_websocket import WSMsgType
from hypothesis import given
from hypothesis import strategies as st

from eventhub.errors import Close
from eventhub.gateway.incoming import SMALL_PIECE_SECONDS, Incoming
from tests.bench.wire import masked

MAX_BYTES = 1 << 16
TEXTS = st.lists(st.text(max_size=400).map(str.encode), max_size=8)


def read(incoming: Incoming) -> list[tuple[int, Any]]:
    """Cut everything that was taken; return kinds and payloads."""
    messages = list[tuple[int, Any]]()
    while True:
        while (message := incoming.next()) is not None:
            messages.append((int(message.type), message.data))
        if not incoming.waiting or incoming.error is not None:
            return messages
        incoming.cut()


@given(TEXTS, st.lists(st.integers(1, 500), min_size=1))
def test_messages_are_whole_and_in_order_however_they_are_split(
    texts: list[bytes], sizes: list[int]
) -> None:
    sent = b"".join(masked(text) for text in texts)
    incoming, messages, at, turn = Incoming(MAX_BYTES), [], 0, 0
    while at < len(sent):
        size = sizes[turn % len(sizes)]
        incoming.take(sent[at : at + size])
        if turn % 2:  # otherwise more arrives before anything is cut
            messages += read(incoming)
        at, turn = at + size, turn + 1
    messages += read(incoming)
    assert [bytes(data) for _, data in messages] == texts
    assert incoming.taken == len(sent)
    assert incoming.begun == 0


def test_fragments_are_one_message_and_a_ping_may_come_within_it() -> None:
    incoming = Incoming(MAX_BYTES)
    incoming.take(masked(b"Hel", 0x01) + masked(b"?", 0x89) + masked(b"lo", 0x80))
    assert [bytes(data) for _, data in read(incoming)] == [b"?", b"Hello"]


def test_a_message_that_is_not_complete_is_counted_as_begun() -> None:
    incoming = Incoming(MAX_BYTES)
    whole = masked(b"x" * 10_000)
    incoming.take(whole[:9000])
    assert read(incoming) == []
    assert incoming.begun == 9000
    incoming.take(whole[9000:])
    assert len(read(incoming)) == 1
    assert incoming.begun == 0


def test_a_tiny_fragment_has_a_fixed_price_and_a_message_has_none() -> None:
    incoming = Incoming(MAX_BYTES)
    incoming.take(masked(b"x", 0x01))
    assert incoming.cut() == SMALL_PIECE_SECONDS
    incoming.take(masked(b"y", 0x80))
    assert incoming.cut() == 0.0


def test_one_piece_of_pings_is_cut_at_a_time() -> None:
    incoming = Incoming(MAX_BYTES)
    incoming.take(masked(b"", 0x89) * 40_000)
    incoming.cut()
    cut = 0
    while incoming.next() is not None:
        cut += 1
    assert 0 < cut <= 200
    assert incoming.waiting > 200_000


def test_pings_after_larger_messages_are_cut_in_few_pieces_of_the_larger_size() -> None:
    incoming = Incoming(MAX_BYTES)
    incoming.take(masked(b"{}".ljust(300)) * 100 + masked(b"", 0x89) * 10_000)
    most = 0
    while incoming.waiting:
        incoming.cut()
        pings = 0
        while (message := incoming.next()) is not None:
            pings += message.type == WSMsgType.PING
        most = max(most, pings)
    assert 0 < most <= 700


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x81\x02{}", 1002),  # not masked
        (masked(b"{", 0xC1), 1002),  # compressed, which was not agreed on
        (masked(b"{}", 0x83), 1002),  # no such opcode
        (masked(b"x" * (MAX_BYTES + 1)), Close.TOO_LARGE),
    ],
    ids=["unmasked", "compressed", "opcode", "size"],
)
def test_what_breaks_the_protocol_has_its_close_code(sent: bytes, code: int) -> None:
    incoming = Incoming(MAX_BYTES)
    incoming.take(sent + masked(b"{}"))
    read(incoming)
    assert incoming.error == code


def test_a_silent_client_costs_no_reader() -> None:
    incoming = Incoming(MAX_BYTES)
    assert incoming.waiting == 0
    assert incoming.next() is None
    assert incoming.error is None
    assert incoming._reader is None

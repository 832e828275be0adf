"""The load counts what came, wherever the network cuts it, and sends frames that a server takes."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.wire import BINARY, TEXT, Marks, Stamps, masked, stamp, text_frame

MARK = b'"_method"'


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at some places; pieces are never empty, for a socket gives none."""
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[begin:end] for begin, end in pairwise(ends)]


def unmasked(frame: bytes) -> tuple[int, bytes]:
    """Read a client's frame by the letter of RFC 6455 section 5.2."""
    assert frame[1] & 0x80, "a client's frame has to be masked"
    size, at = frame[1] & 0x7F, 2
    if size == 126:
        (size,), at = struct.unpack_from("!H", frame, 2), 4
    elif size == 127:
        (size,), at = struct.unpack_from("!Q", frame, 2), 10
    key, body = frame[at : at + 4], frame[at + 4 :]
    assert len(body) == size
    return frame[0], bytes(byte ^ key[index % 4] for index, byte in enumerate(body))


@given(st.lists(st.sampled_from([MARK, MARK[:5], MARK[5:], b'"', b"x"])), st.lists(st.integers(0)))
def test_marks_are_counted_wherever_they_are_cut(parts: list[bytes], places: list[int]) -> None:
    data = b"".join(parts)
    marks = Marks(MARK)
    counts = [marks.take(piece) for piece in cut(data, places)]
    assert marks.seen == sum(counts) == data.count(MARK)


@given(st.lists(st.integers(0, 10**15 - 1)), st.lists(st.integers(0)))
def test_stamps_are_read_once_wherever_they_are_cut(moments: list[int], places: list[int]) -> None:
    data = b"<at <at 12>".join(stamp(moment / 1e6).encode() for moment in moments)
    stamps = Stamps()
    found = [each for piece in cut(data, places) for each in stamps.take(piece)]
    assert found == pytest.approx([moment / 1e6 for moment in moments], abs=2e-6)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("first", [TEXT, BINARY])
def test_a_masked_frame_is_what_the_server_unmasks(size: int, first: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    assert unmasked(masked(payload, first)) == (first, payload)


def test_a_frame_of_a_server_is_not_masked() -> None:
    assert text_frame(b"abc") == b"\x81\x03abc"

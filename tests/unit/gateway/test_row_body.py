"""The rows of a replay become one whole body, and nothing that the replay had is lost."""

from collections.abc import AsyncIterator

from eventhub.gateway.encodings import json_array, ndjson, plain_csv
from eventhub.gateway.one_thread import OneThread
from eventhub.gateway.row_body import BinaryBody, Body, TextBody


async def body_of(body: Body, *pieces: list[bytes]) -> bytes:
    """Return the bytes of an answer with some rows, as a replay renders them."""

    async def rows() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield body.row_format.render(piece)

    return b"".join([part async for part in body.parts(rows())])


async def test_text_begins_and_ends_once_whatever_the_pieces_are() -> None:
    columns = ("id",)
    whole = b'[{"id":"a"},\n{"id":"b"},\n{"id":"c"}]'
    rows = [b'{"id":"a"}', b'{"id":"b"}', b'{"id":"c"}']
    assert await body_of(TextBody(json_array(columns)), rows) == whole
    assert await body_of(TextBody(json_array(columns)), *([row] for row in rows)) == whole
    assert await body_of(TextBody(json_array(columns))) == b"[]"
    assert await body_of(TextBody(plain_csv(columns)), rows) == b"id\r\na\r\nb\r\nc\r\n"


async def test_text_says_what_it_is() -> None:
    headers = TextBody(ndjson(("id",))).headers
    assert headers == {"Content-Type": "application/x-ndjson; charset=utf-8"}


class Reversing:
    """A recoder that writes its bytes backwards, so that it can be recognized."""

    def __init__(self) -> None:
        self.taken = b""

    def feed(self, lines: bytes) -> bytes:
        self.taken = lines + self.taken
        return b""

    def finish(self) -> bytes:
        return self.taken[::-1]


async def test_a_binary_file_is_made_of_lines_and_sent_with_its_name() -> None:
    body = BinaryBody("parquet", Reversing(), "to do/2026", OneThread())
    assert await body_of(body, [b'{"id":"a"}'], [b'{"id":"b"}']) == b'\n}"a":"di"{\n}"b":"di"{'
    assert body.headers["Content-Type"] == "application/vnd.apache.parquet"
    disposition = body.headers["Content-Disposition"]
    assert disposition.startswith('attachment; filename="')
    assert disposition.endswith('.parquet"')
    assert "/" not in disposition


async def test_replays_of_equal_lines_are_shared_between_text_and_binary_bodies() -> None:
    text, binary = TextBody(ndjson(("id",))), BinaryBody("arrow", Reversing(), "chat", OneThread())
    assert text.row_format.name == binary.row_format.name

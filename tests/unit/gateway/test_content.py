"""A body is what its headers say, and inflates to no more than it may."""

import gzip
import zlib
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Rejected
from eventhub.gateway.content import FREE_BYTES, MAX_MEMBERS, Content

COLUMNS = Columns([Column("topic"), Column("votes", Kind.INTEGER)])
FORM = "application/x-www-form-urlencoded"


def content(kind: str = "", method: str = "POST", query: str = "", **headers: str) -> Content:
    """What a request says about its body."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if kind:
        sent["Content-Type"] = kind
    return Content.of(make_mocked_request(method, f"/rows?{query}", sent))


def messages(raw: bytes, **about: str) -> list[Any]:
    return content(**about).messages(raw, COLUMNS).messages


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x+json", "", FORM])
def test_json_is_json_whatever_the_media_type_says(kind: str) -> None:
    assert messages(b'{"topic": "Help"}', kind=kind) == [{"topic": "Help"}]
    assert messages(b"\xef\xbb\xbf [1]", kind=kind) == [1]


def test_an_array_is_answered_message_by_message() -> None:
    assert content().messages(b'[{"topic": "a"}, {"topic": "b"}]', COLUMNS).is_array
    assert not content().messages(b'{"topic": "a"}', COLUMNS).is_array


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/jsonl; charset=utf-8"])
def test_ndjson_is_answered_line_by_line(kind: str) -> None:
    for raw in (b'{"topic": "a"}\n{"topic": "b"}\n', b'\xef\xbb\xbf{"topic": "a"}\n{"topic": "b"}'):
        read = content(kind).messages(raw, COLUMNS)
        assert (read.messages, read.is_array) == ([{"topic": "a"}, {"topic": "b"}], True)
    assert content(kind).messages(b'{"topic": "a"}', COLUMNS).is_array


def test_a_form_is_one_message() -> None:
    assert messages(b"topic=Help+me&votes=3", kind=FORM) == [{"topic": "Help me", "votes": "3"}]


def test_a_delete_without_a_body_takes_its_keys_from_the_url() -> None:
    of_url = content(method="DELETE", query="id=a&id=b&_if_seq=3").messages(b"", COLUMNS)
    assert of_url.messages == [{"id": "a", "_if_seq": "3"}, {"id": "b", "_if_seq": "3"}]
    assert of_url.is_array
    assert messages(b"", method="DELETE", query="id=a") == [{"id": "a"}]


@pytest.mark.parametrize("charset", ["utf-16", "utf-32", "latin-1"])
def test_a_charset_is_believed(charset: str) -> None:
    raw = '{"topic": "Grüße"}'.encode(charset)
    kind = f"application/json; charset={charset}"
    assert messages(raw, kind=kind) == [{"topic": "Grüße"}]


@pytest.mark.parametrize(
    ("raw", "about", "code"),
    [
        (b"<a/>", {"kind": "application/xml"}, "bad_type"),
        (b"\xff{}", {"kind": "application/json; charset=utf-8"}, "bad_body"),
        (b"{}", {"kind": "application/json; charset=klingon"}, "bad_type"),
        (b"{", {}, "bad_json"),
        (b"nothing", {"kind": FORM}, "bad_json"),
        (b"", {"method": "DELETE", "query": "_key=a&_key=b"}, "bad_control"),
    ],
)
def test_other_bodies_are_refused_by_what_is_wrong(
    raw: bytes, about: dict[str, str], code: str
) -> None:
    with pytest.raises(Rejected) as caught:
        messages(raw, **about)
    assert caught.value.code == code


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "GZIP", "identity"])
def test_codings_are_undone(coding: str) -> None:
    read = content(Content_Encoding=coding)
    raw = {"gzip": gzip.compress(b"{}"), "deflate": zlib.compress(b"{}"), "": b"{}"}[read.coding]
    assert read.coding == "" or read.inflate(raw, 100) == b"{}"


def test_deflate_without_a_zlib_header_is_undone() -> None:
    packer = zlib.compressobj(wbits=-15)
    raw = packer.compress(b"{}") + packer.flush()
    assert content(Content_Encoding="deflate").inflate(raw, 100) == b"{}"


def test_an_unknown_coding_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(Rejected, match="gzip, deflate") as caught:
        content(Content_Encoding="br")
    assert caught.value.code == "bad_type"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (gzip.compress(b"x" * 1001, mtime=0), "too_large"),
        (gzip.compress(b"{}", mtime=0)[:-1], "bad_body"),
        (gzip.compress(b"{}", mtime=0) * (MAX_MEMBERS + 1), "bad_body"),
        (b"not gzip", "bad_body"),
    ],
)
def test_what_cannot_be_inflated_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(Rejected) as caught:
        content(Content_Encoding="gzip").inflate(raw, 1000)
    assert caught.value.code == code


def test_a_few_bytes_never_inflate_to_very_many() -> None:
    bomb = gzip.compress(b"0" * (4 * FREE_BYTES))
    with pytest.raises(Rejected, match="inflates to more") as caught:
        content(Content_Encoding="gzip").inflate(bomb, 1 << 30)
    assert caught.value.code == "too_large"

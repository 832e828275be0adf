"""Bytes that cannot begin a request are told from requests, however those are cut."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.gateway.not_http import ANSWER, is_http

REQUEST = b"\r\nVERSION-CONTROL /rows?topic=Help HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@given(st.integers(1, len(REQUEST)))
def test_a_request_is_one_wherever_it_is_cut(length: int) -> None:
    assert is_http(REQUEST[:length])


@pytest.mark.parametrize("method", ["GET", "get", "M-SEARCH", "PRI", "PATCH", "my_method"])
def test_any_method_may_begin_a_request(method: str) -> None:
    assert is_http(f"{method} / HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00\x01", b"{}", b"\x00" * 64, b"SSH-2.0-x\r\n", b"A" * 30]
)
def test_other_protocols_are_not_http(data: bytes) -> None:
    assert not is_http(data)


def test_nearly_all_garbage_is_found() -> None:
    assert sum(is_http(os.urandom(64)) for _ in range(1000)) < 50


def test_the_answer_is_complete_and_safe() -> None:
    head, _, body = ANSWER.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert b"X-Content-Type-Options: nosniff" in head
    assert b"Server: EventHub\r\n" in head
    assert b'"code":"bad_request"' in body

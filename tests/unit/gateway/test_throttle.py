"""A client that is refused too often in a row waits; others of its address do not."""

from eventhub.gateway import throttle
from eventhub.gateway.throttle import BUSY, MAX_KEYS, Key, Throttle

HEAD = b"GET /rows?topic=Help HTTP/1.1\r\nHost: x\r\n"


class Clock:
    """Time that passes when a test says so, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def key(number: int = 0) -> Key:
    return Key(f"192.0.2.{number}", b"/rows", has_credentials=False)


def test_attempts_up_to_the_limit_are_not_too_many() -> None:
    refused = Throttle(attempts=3, per_second=1, clock=Clock())
    assert [refused.note(key()) for _ in range(4)] == [False, False, False, True]
    assert refused.is_over(key())
    assert not refused.is_over(key(1))


def test_attempts_are_forgotten_at_a_steady_rate() -> None:
    clock = Clock()
    refused = Throttle(attempts=3, per_second=2, clock=clock)
    for _ in range(5):
        refused.note(key())
    clock.now += 0.9
    assert refused.is_over(key())
    clock.now += 0.2
    assert not refused.is_over(key())
    assert refused.note(key())  # one was forgotten, so one is again too many


def test_addresses_paths_and_logins_are_told_apart_and_queries_are_not() -> None:
    refused = Throttle()
    same = refused.key("192.0.2.1", HEAD)
    assert refused.key("192.0.2.1", HEAD.replace(b"Help", b"Sales")) == same
    for address, head in [
        ("192.0.2.2", HEAD),
        ("192.0.2.1", HEAD.replace(b"/rows", b"/notes")),
        ("192.0.2.1", HEAD + b"Authorization: Bearer x\r\n"),
        ("192.0.2.1", HEAD + b"cookie: session=x\r\n"),
        ("192.0.2.1", HEAD + b"Sec-WebSocket-Protocol: v1, bearer.x\r\n"),
        ("192.0.2.1", HEAD.replace(b"topic", b"token")),
    ]:
        assert refused.key(address, head) != same


def test_bytes_that_are_not_a_request_have_a_key() -> None:
    refused = Throttle()
    assert refused.key("192.0.2.1", b"") == refused.key("192.0.2.1", b"\x16\x03\x01")


def test_keys_are_bounded_however_many_clients_are_refused() -> None:
    clock = Clock()
    refused = Throttle(attempts=1, per_second=1, clock=clock)
    for number in range(3 * MAX_KEYS):
        refused.note(Key(f"{number}", b"/", has_credentials=False))
        assert len(refused._forgotten_at) <= MAX_KEYS
    clock.now += 100
    refused.note(key())
    assert len(refused._forgotten_at) <= MAX_KEYS


def test_the_answer_of_a_waiting_client_is_complete_http() -> None:
    head, _, body = BUSY.partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert b'"code":"busy"' in body
    assert throttle.BUSY_SECONDS <= 1  # as its Retry-After says

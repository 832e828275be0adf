"""A write reports its outcome once, and says truly whether its event may be stored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from eventhub.errors import EventHubError, Unavailable
from eventhub.jetstream.write import UNKNOWN_SECONDS, Write
from eventhub.stream import Appended, OnAppended

Outcomes = list[Appended | EventHubError]


def make_write(on_appended: OnAppended, payload: bytes = b"{}") -> Write:
    return Write("eh.chat.r1", payload, 7, "w1.a", on_appended)


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"_INBOX.a.1"]),
    st.sampled_from([b"", b"A: b\r\n"]),
)
def test_the_command_says_the_lengths_of_its_headers_and_payload(
    payload: bytes, reply: bytes, headers: bytes
) -> None:
    command = make_write(print, payload).command(reply, headers)
    line, _, rest = command.partition(b"\r\n")
    verb, *to, head, total = line.split()
    assert (verb, to) == (b"HPUB", [each for each in (b"eh.chat.r1", reply) if each])
    lines = rest[: int(head)].split(b"\r\n")
    assert lines[:3] == [
        b"NATS/1.0",
        b"Nats-Msg-Id: w1.a",
        b"Nats-Expected-Last-Subject-Sequence: 7",
    ]
    assert lines[3:] == [*headers.split(b"\r\n"), b""] if headers else lines[3:] == [b"", b""]
    assert rest[int(head) : int(total)] == payload
    assert rest[int(total) :] == b"\r\n"


def test_an_outcome_is_reported_once() -> None:
    outcomes: Outcomes = []
    write = make_write(outcomes.append)
    assert not write.is_settled
    write.settle(Appended(1, duplicate=False))
    write.settle(Appended(2, duplicate=False))
    write.abandon()
    assert outcomes == [Appended(1, duplicate=False)]
    assert write.is_settled


def test_a_forgotten_write_reports_nothing() -> None:
    outcomes: Outcomes = []
    write = make_write(outcomes.append)
    write.forget()
    write.settle(Appended(1, duplicate=False))
    assert outcomes == []


def test_an_abandoned_write_says_whether_its_event_may_be_stored() -> None:
    outcomes: Outcomes = []
    make_write(outcomes.append).abandon()
    sent = make_write(outcomes.append)
    sent.note_sent(0.0)
    sent.abandon()
    codes = [outcome.code for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert codes == ["unavailable", "unknown_outcome"]


def test_only_the_first_attempt_starts_the_time_to_give_up() -> None:
    write = make_write(print)
    write.note_sent(100.0)
    write.note_sent(105.0)
    assert write.give_up == 100.0 + UNKNOWN_SECONDS


def test_a_caller_that_fails_is_logged_and_does_not_stop_the_writer() -> None:
    def fail(_: Appended | EventHubError) -> None:
        raise RuntimeError("a bug")

    write = make_write(fail)
    with capture_logs() as logs:
        write.settle(Appended(1, duplicate=False))
    assert [line["event"] for line in logs] == ["outcome_callback_failed"]
    assert write.is_settled


@pytest.mark.parametrize("sent", [False, True])
def test_a_write_is_sent_from_its_first_attempt_on(sent: bool) -> None:
    write = make_write(print)
    if sent:
        write.note_sent(0.0)
    assert write.sent is sent

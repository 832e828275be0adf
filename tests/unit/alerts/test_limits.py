"""An alert sends so many mails in an hour, to one address and in all; the rest is a digest."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from eventhub.alerts import limits
from eventhub.alerts.addresses import Address
from eventhub.alerts.limits import HOUR_SECONDS, IN_ALL, MAX_WAITING, Limit, Waiting, digest
from eventhub.alerts.mail import Mail

MAIL = Mail(
    message_id="<e.1.chat@eventhub>",
    date=datetime(2026, 11, 23, 10, tzinfo=UTC),
    sender=Address("Hub", "hub", "x.org"),
    subject="Hello",
    text="The text",
)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def waiting(user: str, number: int = 1) -> Waiting:
    return Waiting.of(f"letter.e.{number}.chat", Address("", user, "x.org"), MAIL)


def test_an_address_gets_no_more_than_its_mails_in_an_hour_and_others_theirs() -> None:
    clock = Clock()
    limit = Limit(3, clock)
    assert [limit.take("a@x.org") for _ in range(5)] == [True] * 3 + [False] * 2
    assert not limit.take("A@X.org")
    assert limit.take("b@x.org")
    clock.now += HOUR_SECONDS - 1
    assert not limit.take("a@x.org")
    clock.now += 1
    assert limit.take("a@x.org")


def test_all_addresses_together_get_ten_times_as_many() -> None:
    clock = Clock()
    limit = Limit(2, clock)
    taken = [limit.take(f"u{number}@x.org") for number in range(1000)]
    assert taken.count(True) == 2 * IN_ALL
    clock.now += HOUR_SECONDS
    assert limit.take("u999@x.org")


def test_a_place_that_is_given_back_is_free() -> None:
    limit = Limit(1, Clock())
    for _ in range(3):
        assert limit.take("a@x.org")
        limit.give_back("a@x.org")
    assert limit.take("a@x.org")
    assert not limit.take("a@x.org")


def test_what_waits_is_due_once_when_the_hour_is_over() -> None:
    clock = Clock()
    limit = Limit(1, clock)
    assert limit.take("a@x.org")
    first, second = waiting("a", 2), waiting("a", 3)
    limit.wait(first)
    limit.wait(second)
    assert list(limit.due()) == []
    clock.now += HOUR_SECONDS
    assert not limit.take("a@x.org")  # its place is the digest's
    assert list(limit.due()) == [[first, second]]
    assert list(limit.due()) == []
    assert not limit.take("a@x.org")
    limit.put_back([first])
    clock.now += HOUR_SECONDS
    assert list(limit.due()) == [[first]]


def test_digests_are_bounded_as_all_mails_are() -> None:
    clock = Clock()
    limit = Limit(1, clock)
    for number in range(30):
        limit.wait(waiting(f"u{number}"))
    clock.now += HOUR_SECONDS
    assert len(list(limit.due())) == IN_ALL
    clock.now += HOUR_SECONDS
    assert len(list(limit.due())) == IN_ALL


def test_what_waits_is_bounded() -> None:
    clock = Clock()
    limit = Limit(1, clock)
    for number in range(MAX_WAITING + 10):
        limit.wait(waiting("a", number))
    clock.now += HOUR_SECONDS
    (found,) = limit.due()
    assert len(found) == MAX_WAITING


@pytest.mark.parametrize(
    ("mail", "text"),
    [
        (MAIL, "Hello\n  The text"),
        (replace(MAIL, text=None, html="<p>a &lt; b</p>"), "Hello\n  a < b"),
        (replace(MAIL, subject="x\nBcc: y", text="a\nb"), "x Bcc: y\n  a\n  b"),
        (replace(MAIL, text=None, html="<" * 1_000_000), "Hello\n"),
    ],
)
def test_a_digest_tells_subject_and_text(mail: Mail, text: str) -> None:
    listed = [Waiting.of("letter", Address("", "a", "x.org"), mail)] * 2
    made = digest("chat", listed, MAIL.date)
    assert made.recipients == ("a@x.org",)
    assert made.subject == "2 more messages of chat"
    assert (made.text or "").count(f"2026-11-23 10:00:00 UTC  {text}") == 2
    assert len(made.text or "") < 4 * limits.MAX_TEXTS * 10

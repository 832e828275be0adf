"""An alert sends a limited number of mails in an hour, to one address and to all together."""

from datetime import UTC, datetime

from eventhub.alerts.addresses import Address
from eventhub.alerts.digest import DigestEntry
from eventhub.alerts.limits import ALL_FACTOR, HOUR_SECONDS, MAX_HELD, Limit
from eventhub.alerts.mail import Mail

MAIL = Mail(
    message_id="<e.1.chat@eventhub>",
    date=datetime(2026, 11, 23, 10, tzinfo=UTC),
    sender=Address("Hub", "hub", "x.org"),
)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def entry(user: str, number: int = 1) -> DigestEntry:
    return DigestEntry.of(f"letter.e.{number}.chat", Address("", user, "x.org"), MAIL)


def test_an_address_gets_its_mails_of_an_hour_whatever_others_get() -> None:
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
    assert taken.count(True) == 2 * ALL_FACTOR
    clock.now += HOUR_SECONDS
    assert limit.take("u999@x.org")


def test_a_mail_that_is_given_back_does_not_count() -> None:
    limit = Limit(1, Clock())
    for _ in range(3):
        assert limit.take("a@x.org")
        limit.give_back("a@x.org")
    assert limit.take("a@x.org")
    assert not limit.take("a@x.org")


def test_held_mails_are_due_once_when_the_hour_is_over() -> None:
    clock = Clock()
    limit = Limit(1, clock)
    assert limit.take("a@x.org")
    first, second = entry("a", 2), entry("a", 3)
    limit.hold(first)
    limit.hold(second)
    assert list(limit.due()) == []
    clock.now += HOUR_SECONDS
    assert not limit.take("a@x.org")  # the digest comes first
    assert list(limit.due()) == [[first, second]]
    assert list(limit.due()) == []
    assert not limit.take("a@x.org")
    limit.hold_again([first])
    clock.now += HOUR_SECONDS
    assert list(limit.due()) == [[first]]


def test_digests_count_toward_the_limit_of_all_addresses() -> None:
    clock = Clock()
    limit = Limit(1, clock)
    for number in range(30):
        limit.hold(entry(f"u{number}"))
    clock.now += HOUR_SECONDS
    assert len(list(limit.due())) == ALL_FACTOR
    clock.now += HOUR_SECONDS
    assert len(list(limit.due())) == ALL_FACTOR


def test_held_mails_are_bounded() -> None:
    clock = Clock()
    limit = Limit(1, clock)
    for number in range(MAX_HELD + 10):
        limit.hold(entry("a", number))
    clock.now += HOUR_SECONDS
    (found,) = limit.due()
    assert len(found) == MAX_HELD

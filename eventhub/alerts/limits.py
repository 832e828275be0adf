"""Limits: how many mails one alert sends in an hour, to one address and in all.

What is above is a dead letter, and is told of in one mail, a digest, when the hour is over. Each
process that sends alerts counts for itself.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from html import unescape

from eventhub.alerts.addresses import Address, Addresses
from eventhub.alerts.headers import one_line
from eventhub.alerts.mail import Mail

HOUR_SECONDS = 3600.0
IN_ALL = 10
"""Times `max_per_hour:` is what an alert sends to all addresses together."""
MAX_WAITING = 1000
"""Mails of one alert that wait for a digest; what is above is a dead letter only."""
MAX_TEXTS = 100
"""Of a digest: the others are told of by their subject."""
_MAX_TEXT = 500
_MAX_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class Waiting:
    """One mail that an address has not got by itself."""

    letter: str
    """Key of its dead letter."""
    address: Address
    """Who has not got it."""
    mail: Mail
    """Without its texts and files."""
    text: str
    """The beginning of it."""

    @classmethod
    def of(cls, letter: str, address: Address, mail: Mail) -> "Waiting":
        """Return what a digest tells of a mail."""
        slim = Mail(
            message_id=mail.message_id,
            date=mail.date,
            sender=mail.sender,
            subject=one_line(mail.subject)[:_MAX_SUBJECT],
        )
        return cls(letter, address, slim, _beginning(mail))


def _beginning(mail: Mail) -> str:
    if mail.text is not None:
        return mail.text[:_MAX_TEXT].strip()
    shown = unescape(re.sub(r"<[^<>]*>", " ", (mail.html or "")[: 8 * _MAX_TEXT]))
    return " ".join(shown.split())[:_MAX_TEXT]


@dataclass(slots=True)
class _Window:
    """An hour, which begins with the first mail."""

    ends: float
    sent: int = 0
    waiting: list[Waiting] = field(default_factory=list)


class Limit:
    """What one alert may still send."""

    def __init__(self, per_hour: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_hour = per_hour
        self._clock = clock
        self._all = _Window(0.0)
        self._windows: dict[str, _Window] = {}

    def take(self, address: str) -> bool:
        """Take the place of one mail to an address; False if there is none."""
        known = self._current(address)
        if known is not None and (known.waiting or known.sent >= self.per_hour):
            return False
        if not self._take_in_all():
            return False
        self._window(address).sent += 1
        return True

    def give_back(self, address: str) -> None:
        """Return a place that was taken for a mail that was not sent."""
        window = self._windows.get(address.lower())
        if window is not None and window.sent:
            window.sent -= 1
            self._all.sent = max(self._all.sent - 1, 0)

    def wait(self, waiting: Waiting) -> None:
        """Keep a mail for the digest of its address, if there is room."""
        if sum(len(window.waiting) for window in self._windows.values()) < MAX_WAITING:
            self._window(waiting.address.addr_spec).waiting.append(waiting)

    def due(self) -> Iterator[list[Waiting]]:
        """Yield what waits for each address whose hour is over; a new one begins."""
        now = self._clock()
        for address, window in list(self._windows.items()):
            if window.ends <= now and (not window.waiting or self._take_in_all()):
                del self._windows[address]
                if window.waiting:
                    self._window(address).sent = 1
                    yield window.waiting

    def put_back(self, waiting: list[Waiting]) -> None:
        """Keep for another hour what a digest could not tell."""
        self._window(waiting[0].address.addr_spec).waiting[:0] = waiting

    def _current(self, address: str) -> _Window | None:
        window = self._windows.get(address.lower())
        is_over = window is not None and window.ends <= self._clock() and not window.waiting
        return None if is_over else window

    def _window(self, address: str) -> _Window:
        window = self._current(address)
        if window is None:
            window = self._windows[address.lower()] = _Window(self._clock() + HOUR_SECONDS)
        return window

    def _take_in_all(self) -> bool:
        if self._all.ends <= self._clock():
            self._all = _Window(self._clock() + HOUR_SECONDS)
        if self._all.sent >= self.per_hour * IN_ALL:
            return False
        self._all.sent += 1
        return True


def digest(endpoint: str, waiting: list[Waiting], date: datetime) -> Mail:
    """Return the mail that stands for those that one address has not got."""
    last = waiting[-1].mail
    lines = [
        f"{len(waiting)} messages were not mailed one by one: they were more than max_per_hour: of"
        f" the alert of {endpoint} allows.",
    ]
    for number, each in enumerate(waiting):
        lines += ["", f"{each.mail.date:%Y-%m-%d %H:%M:%S} UTC  {each.mail.subject}"]
        if number < MAX_TEXTS and each.text:
            lines += [f"  {line}" for line in each.text.splitlines()]
    return Mail(
        message_id=f"<digest.{last.message_id.strip('<>')}>",
        date=date,
        sender=last.sender,
        to=Addresses((waiting[0].address,)),
        subject=f"{len(waiting)} more messages of {endpoint}",
        text="\n".join(lines),
    )

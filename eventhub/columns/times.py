"""Times: the one grammar of dates and times, in messages and in filters.

A subset of ISO 8601 and RFC 3339, the same in every version of Python::

    2023-04-01                                    a date, years 0001 to 9999
    2023-04-01T10:30:00.123456+05:30              a time: minutes, seconds, fraction, zone optional

`T` may be `t` or one blank; a zone is `Z`, `z`, `+05:30`, `+0530` or `+05`. A time without a zone
is UTC. A fraction has up to nine digits, of which six are kept, without rounding. 24:00, leap
seconds, week dates, and dates or times without hyphens and colons are refused.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_CLOCK = re.compile(
    r"[Tt ]([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?)?"
    r"(?:[Zz]|([+-])([0-9]{2})(?::?([0-9]{2}))?)?"
)
_BEGINNING = re.compile(r"[0-9]{4}(?:-[0-9]{2})?")


def day(text: str) -> date:
    """Return the date that a text spells.

    Raises:
        ValueError: the text is not a date.
    """
    match = _DATE.fullmatch(text.strip())
    if match is None:
        raise ValueError
    return date(*map(int, match.groups()))


def moment(text: str) -> datetime:
    """Return the instant that a text spells, in UTC without a zone; a date is its midnight.

    Raises:
        ValueError: the text is neither a time nor a date.
        OverflowError: the instant is before year 1 or after year 9999 in UTC.
    """
    text = text.strip()
    midnight = datetime.combine(day(text[:10]), datetime.min.time())
    if len(text) == 10:
        return midnight
    match = _CLOCK.fullmatch(text, 10)
    if match is None:
        raise ValueError
    hour, minute, second, fraction, sign, zone_hours, zone_minutes = match.groups()
    clock = midnight.replace(
        hour=int(hour),
        minute=int(minute or 0),
        second=int(second or 0),
        microsecond=int((fraction or "")[:6].ljust(6, "0")),
    )
    if sign is None:
        return clock
    if int(zone_minutes or 0) > 59:
        raise ValueError
    offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes or 0))
    zone = timezone(-offset if sign == "-" else offset)  # refuses 24 hours and more
    return clock.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)


def beginning(text: str) -> datetime:
    """Return an instant as `moment` does; a year or a month (`2023-04`) is its first instant."""
    text = text.strip()
    return moment((text + "-01-01")[:10] if _BEGINNING.fullmatch(text) else text)


def is_short(text: str) -> bool:
    """Tell whether a text that `beginning` accepts has no time of day."""
    return len(text.strip()) <= 10

"""Metadata: what is kept with a stream: its epoch, and the columns of the newest configuration.

The epoch is the time at which a process made the stream, or else the server did. It is written
down, because a restored or moved stream is made at another time (ADR-2). The columns let a process
notice that its own are older (ADR-77).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from eventhub.columns import BUILT_IN, Column, Columns

EPOCH: Final = "eventhub.epoch"
COLUMNS: Final = "eventhub.columns"
UPGRADE: Final = timedelta(hours=1)
"""How long columns that were replaced count as older ones, so that a process that still has them
may start again without putting them back. Later, they are a return to an earlier configuration."""
MOST_REPLACED: Final = 20
_SERVER: Final = "_nats."
"""What the keys of the server begin with."""


class Known(msgspec.Struct, frozen=True):
    """The columns that a stream has now, and had before."""

    columns: list[Column]
    """Declared ones."""
    replaced: dict[str, datetime] = {}
    """When columns of other signatures were replaced."""

    @property
    def whole(self) -> Columns:
        """The columns with the built-in ones."""
        return Columns(self.columns)


def own(info: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of a stream, without what the server adds.

    Args:
        info: the answer to `STREAM.INFO`.
    """
    metadata: dict[str, str] = info["config"].get("metadata") or {}
    return {key: value for key, value in metadata.items() if not key.startswith(_SERVER)}


def epoch_of(info: Mapping[str, Any]) -> str:
    """Return the epoch of a stream: that of its metadata, or else that of the time it was made."""
    return own(info).get(EPOCH) or epoch_at(info["created"])


def new_epoch() -> str:
    """Return the epoch of a stream that is about to be made."""
    return epoch_at(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z")


def epoch_at(created: str) -> str:
    """Return the epoch of a stream that was made at an instant.

    Args:
        created: RFC 3339. The epoch is its digits as a number in base 36.
    """
    number, digits = int("".join(filter(str.isdigit, created))), ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


def known_of(info: Mapping[str, Any]) -> Known | None:
    """Return the columns that a stream has; None if none were written down, or they are unreadable.

    A later version may write them down in another way.
    """
    text = own(info).get(COLUMNS)
    try:
        return None if text is None else msgspec.json.decode(text, type=Known)
    except msgspec.DecodeError:
        return None


def newer_than(columns: Columns, info: Mapping[str, Any]) -> Columns | None:
    """Return the columns of a stream if they are not these."""
    known = known_of(info)
    newest = None if known is None else known.whole
    return None if newest is None or newest.signature == columns.signature else newest


def claimed(columns: Columns, info: Mapping[str, Any], now: datetime | None = None) -> str | None:
    """Return what is to be written down for the columns of a process that starts; None for nothing.

    Nothing is written if they are known, or were replaced lately: then the process is an older one.
    """
    now, known = now or datetime.now(UTC), known_of(info)
    replaced: dict[str, datetime] = {}
    if known is not None:
        newest, signature = known.whole.signature, columns.signature
        left = known.replaced.get(signature)
        if newest == signature or (left is not None and now - left < UPGRADE):
            return None
        times = sorted({**known.replaced, newest: now}.items(), key=lambda each: each[1])
        replaced = {each: at for each, at in times[-MOST_REPLACED:] if each != signature}
    declared = [column for column in columns if column.name not in BUILT_IN]
    return msgspec.json.encode(Known(declared, replaced)).decode()

"""Spelling: how values are sent to clients where that differs from how they are stored.

A DECIMAL, which is stored as text, is sent as a JSON number with all of its digits. `timestamp` is
sent with a `Z` if the endpoint is configured so.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

STAMP_FORM = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?"
"""A `timestamp` of this form is sent with a `Z`; other text, set by an expression, is not."""
_STAMP = re.compile(STAMP_FORM, re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Spelling:
    """How messages and rows of a table are sent. Hashable; false if they are sent as stored."""

    decimals: frozenset[str] = frozenset()
    """The DECIMAL columns."""
    stamp: str = ""
    """The column that is sent with a `Z`; empty for none."""

    def __bool__(self) -> bool:
        return bool(self.decimals or self.stamp)

    def spell(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a frame or a row as it is sent."""
        spelled = message.copy()
        for name in self.decimals & message.keys():
            value = message[name]
            if isinstance(value, str) and _NUMBER.fullmatch(value):
                spelled[name] = msgspec.Raw(value.encode())
        value = message.get(self.stamp)
        if isinstance(value, str) and _STAMP.fullmatch(value):
            spelled[self.stamp] = f"{value}Z"
        return spelled

    def spell_record(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return a frame of the history, which holds two rows, as it is sent."""
        rows = {name: self.spell(record[name]) for name in ("row", "was") if record[name]}
        return {**record, **rows}

    def numbers(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message for expressions and templates, with each DECIMAL as a `Decimal`."""
        found = {}
        for name in self.decimals & message.keys():
            value = message[name]
            if isinstance(value, str) and _NUMBER.fullmatch(value):
                found[name] = Decimal(value)
        return {**message, **found} if found else message


AS_STORED = Spelling()

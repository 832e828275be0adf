"""Spelling: how values are spelled to who reads them, where that is not how they are stored.

The text of a DECIMAL goes out as the JSON number that it writes, digit for digit; `timestamp` with
a `Z`, where an endpoint says so.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

STAMP_FORM = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?"
"""Of a `timestamp` that gets its `Z`; what an endpoint's expressions write otherwise stays."""
_STAMP = re.compile(STAMP_FORM, re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Spelling:
    """How messages and rows of a table go out. Hashable; false if as they are stored."""

    decimals: frozenset[str] = frozenset()
    """Columns of numbers that are stored as text."""
    stamp: str = ""
    """The column that gets a `Z`; empty for none."""

    def __bool__(self) -> bool:
        return bool(self.decimals or self.stamp)

    def spell(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a frame, or a row, as it goes out."""
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
        """Return a frame of the history, which holds two rows, as it goes out."""
        rows = {name: self.spell(record[name]) for name in ("row", "was") if record[name]}
        return {**record, **rows}

    def numbers(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message for expressions and templates: a number is one to reckon with."""
        found = {}
        for name in self.decimals & message.keys():
            value = message[name]
            if isinstance(value, str) and _NUMBER.fullmatch(value):
                found[name] = Decimal(value)
        return {**message, **found} if found else message


AS_STORED = Spelling()

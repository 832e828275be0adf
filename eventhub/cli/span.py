"""Span: a length of time as an option, such as 90d or 12h."""

import re
from typing import Final

import click

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN: Final = re.compile(r"([1-9][0-9]{0,6})([smhd])")
LONGEST: Final = 3650 * 86400.0
"""Seconds."""


class Span(click.ParamType[float | None]):
    """Seconds; None for one word that stands for no limit.

    Args:
        unlimited: the word.
    """

    name = "span"

    def __init__(self, unlimited: str) -> None:
        self._unlimited = unlimited

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        """Return the seconds of a text."""
        if isinstance(value, float):  # click converts a default that was converted
            return value
        if value == self._unlimited:
            return None
        found = _SPAN.fullmatch(value)
        seconds = int(found[1]) * _UNITS[found[2]] if found else 0
        if not 0 < seconds <= LONGEST:
            text = f"write a time such as 90d or 12h, up to 3650d, or {self._unlimited}"
            self.fail(text, param, ctx)
        return float(seconds)

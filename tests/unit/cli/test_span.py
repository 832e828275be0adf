"""Lengths of time are read as people write them."""

import click
import pytest

from eventhub.cli.span import LONGEST, Span


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90d", 90 * 86400.0), ("12h", 43200.0), ("1s", 1.0), ("3650d", LONGEST), ("all", None)],
)
def test_a_number_with_a_unit_is_seconds(text: str, seconds: float | None) -> None:
    assert Span("all").convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0d", "1y", "-1d", "1.5h", "3651d", "never", "90"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="90d or 12h, up to 3650d, or all"):
        Span("all").convert(text, None, None)

"""Modules stay small enough to be read in one go."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES = 300
MODULES = sorted(
    str(path.relative_to(ROOT))
    for package in ("eventhub", "projections")
    for path in (ROOT / package).rglob("*.py")
)


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_it_may_be(module: str) -> None:
    """A module that has grown beyond this does two jobs: give the second one its own."""
    lines = len((ROOT / module).read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES

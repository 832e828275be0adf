"""Garbage is looked for rarely, and not among what lives as long as the process."""

import gc
from collections.abc import Iterator

import pytest

from eventhub import cli
from eventhub.garbage import THRESHOLDS, without_what_lives


@pytest.fixture
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("thresholds")
def test_a_command_loads_what_it_needs_with_few_collections() -> None:
    with pytest.raises(SystemExit):
        cli.main(["check", "no-such-file.yaml"])
    assert gc.get_threshold() == THRESHOLDS


def test_what_lives_is_not_examined_until_the_end() -> None:
    assert gc.get_freeze_count() == 0
    with without_what_lives():
        assert gc.get_freeze_count() > 10_000
    assert gc.get_freeze_count() == 0

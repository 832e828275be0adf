"""A manifest is read as it was written; the names of later snapshots are greater."""

import msgspec
import pytest

from eventhub.errors import Damaged
from projections.progress import Progress
from projections.stored.manifest import (
    Held,
    Manifest,
    Part,
    age_seconds,
    new_name,
    read_manifest,
)

MANIFEST = Manifest(
    name="20260101T000000000000Z-000000",
    version="0.1",
    tables={"chat": Held("e", 7, 5, {"id": ["VARCHAR", None]})},
    parts=[Part("a", 4, "00"), Part("b", 3, "01")],
)


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert read_manifest(MANIFEST.name, msgspec.json.encode(MANIFEST)) == MANIFEST
    assert MANIFEST.size == 7
    assert MANIFEST.tables["chat"].progress == Progress("e", 7, 5)


def test_growth_counts_events_that_a_manifest_does_not_have() -> None:
    assert MANIFEST.grown({"chat": Progress("e", 10, 10), "new": Progress("x", 4, 0)}) == 7
    assert MANIFEST.grown({"chat": Progress("other", 10, 10)}) == 10


def test_another_name_is_refused() -> None:
    with pytest.raises(Damaged, match="that of 20260101"):
        read_manifest("other", msgspec.json.encode(MANIFEST))


def test_names_tell_their_age() -> None:
    assert 0 <= age_seconds(f"{new_name()}.duckdb.00001") < 3600
    assert age_seconds(MANIFEST.name) > 3600
    assert age_seconds("of-another-program") == 0
    assert new_name() > MANIFEST.name

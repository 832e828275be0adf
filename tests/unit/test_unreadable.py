"""Stored bytes that are not UTF-8 are damage, as all others are that cannot be read.

msgspec has an error of its own for bytes that are not JSON, and raises `UnicodeDecodeError` for
these.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from eventhub import segments
from eventhub.errors import Damaged, Rejected
from eventhub.event import plain
from eventhub.jetstream.publisher import Ack
from projections import manifest as exports
from projections.stored import manifest as snapshots

TEXTS = ("epoch", "version", "channel", "stream", "id")
BYTES = b"{" + b",".join(b'"%b":"\xff"' % name.encode() for name in TEXTS) + b"}"
EVENT = b'{"shared":["\xff"]' + b" " * 1100 + b"}"
"""Long enough for one that has its long texts once."""


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (partial(segments.read_manifest, stream="EH_notes"), BYTES),
        (partial(snapshots.read_manifest, "notes"), BYTES),
        (plain, EVENT),
    ],
    ids=["segments", "snapshots", "event"],
)
def test_what_is_stored_is_damaged(read: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(Damaged):
        read(data)


def test_the_manifest_of_an_export_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / exports.NAME).write_bytes(BYTES)
    with pytest.raises(Rejected, match="cannot be read"):
        exports.load(tmp_path)


def test_the_answer_of_a_broker_acknowledges_nothing() -> None:
    assert Ack.read(b'{"error":{"description":"\xff"}}') is None

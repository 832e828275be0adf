"""A spool gives back what was put in, in order, and leaves nothing behind."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.errors import Unavailable
from projections import spool as module
from projections.spool import Chunk, Spool

CHUNKS: st.SearchStrategy[Chunk] = st.lists(
    st.tuples(st.integers(1, 2**63 - 1), st.text(st.characters(exclude_categories=["Cs"]))),
    max_size=5,
)


@given(st.lists(st.none() | CHUNKS))
def test_chunks_come_out_in_the_order_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Chunk | None]
) -> None:
    """None takes one, if there is one."""
    spool, waiting = Spool(tmp_path_factory.getbasetemp()), list[Chunk]()
    for chunk in steps:
        if chunk is not None:
            spool.put(chunk)
            waiting.append(chunk)
        elif waiting:
            assert spool.take() == waiting.pop(0)
        assert spool.has_unread == bool(waiting)
    assert [spool.take() for _ in waiting] == waiting
    spool.close()


def test_the_file_has_no_name_and_is_gone_with_the_close(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    spool = Spool(tmp_path)
    spool.put([(1, "{}")])
    assert os.listdir(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) == before + 1
    spool.close()
    spool.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_closed_spool_makes_no_new_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.close()
    with pytest.raises(Unavailable, match="closed"):
        spool.put([(1, "{}")])


def test_the_last_of_the_disk_is_left_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    monkeypatch.setattr(module, "RESERVED_BYTES", 1 << 62)
    with pytest.raises(Unavailable, match="no room"):
        spool.put([(1, "{}")])
    spool.close()

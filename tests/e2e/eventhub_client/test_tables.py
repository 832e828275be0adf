"""Rows as frames and tables, with the types of their columns, of now and of the past."""

import sys

import pytest

from eventhub_client import AsyncHub

pytestmark = pytest.mark.xdist_group("eventhub_client")


async def test_rows_are_a_frame_of_each_kind(hub: AsyncHub, path: str) -> None:
    await hub.bulk(path, ({"n": n, "topic": "ab"[n % 2]} for n in range(10)))
    await hub.put(path, {"id": (await hub.post(path, {"n": 10}))["id"], "topic": "a"})
    table = await hub.arrow(path, columns=["n", "topic"], where={"topic": "a"}, sort="-n", limit=2)
    assert table.to_pylist() == [{"n": 10, "topic": "a"}, {"n": 8, "topic": "a"}]
    assert str(table.schema.field("n").type) == "int64"
    polars = await hub.polars(path, columns="n", sort="n")
    assert polars["n"].to_list() == list(range(11))
    frame = await hub.frame(path, columns=["n", "topic"], as_of=3)
    assert frame.to_dict("list") == {"n": [0, 1, 2], "topic": ["a", "b", "a"]}


async def test_a_kind_that_is_not_installed_names_its_extra(
    hub: AsyncHub, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match=r'pip install "eventhub-client\[polars\]"'):
        await hub.polars(path)

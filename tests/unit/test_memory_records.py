"""What tests rely on in the records in memory beyond the contract shared with real ones."""

from eventhub.memory_records import MemoryRecords


async def test_a_watcher_that_has_ended_is_forgotten() -> None:
    records = MemoryRecords(None)
    async with records.watch() as watching:
        assert (await anext(watching)).is_whole
        assert records._watchers
    assert not records._watchers

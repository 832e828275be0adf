"""The caches of a live channel get an event before its subscribers do."""

from tests.subscribing import Pipe, Reading, reading


class Watching(Pipe):
    """Records, with each frame, the sequence of row 1 in the row cache."""

    def __init__(self) -> None:
        super().__init__()
        self.hub: Reading | None = None
        self.cached: list[int | None] = []

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.hub is not None:
            last = self.hub.channel.rows.recent("1")
            self.cached.append(None if last is None else last.sequence)


async def test_a_row_is_cached_before_its_frame_is_written() -> None:
    async with reading() as hub:
        pipe = Watching()
        await hub.joined(pipe)
        pipe.hub = hub
        await hub.write(_method="POST", id="1", text="a")
        await hub.write(_method="PUT", id="1", text="b")
        assert pipe.cached == [1, 2]

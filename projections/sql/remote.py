"""Remote: queries of a running hub, for a command of its user, through the tables socket."""

import asyncio
from collections.abc import Hashable
from pathlib import Path
from tempfile import TemporaryFile

import msgspec

from eventhub.errors import Unavailable
from eventhub.queries import Answer, Question
from projections.tables_socket import Answered, Request, asked


class RemoteQueries:
    """Asks a SQLHandler of the hub that has a data folder; see `Queries`."""

    def __init__(self, folder: Path, handler: str, seconds: float) -> None:
        """Prepare.

        Args:
            folder: the data folder.
            handler: the name of the SQLHandler.
            seconds: in which the hub answers.
        """
        self._folder = folder
        self._handler = handler
        self._seconds = seconds

    async def ask(self, question: Question, client: Hashable = None) -> Answer:
        """See `Queries`."""
        request = Request(want="query", handler=self._handler, question=question)
        file = await asyncio.to_thread(TemporaryFile)
        try:
            async with asked(self._folder, request) as reply:
                await reply.begin(self._seconds)
                answered = msgspec.json.decode(await reply.one(), type=Answered)
                async for piece in reply.part():
                    await asyncio.to_thread(file.write, piece)
        except ConnectionError:
            file.close()
            raise Unavailable("the hub has stopped meanwhile: try again") from None
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return Answer(
            file=file,
            size=answered.size,
            rows=answered.rows,
            columns=answered.columns,
            position=answered.position,
            truncated=answered.truncated,
        )

"""Row files: the rows of an endpoint as a file at `PATH.parquet`, `.arrow`, `.csv` or `.ndjson`.

With `_history`, it is the versions of one row.
"""

from collections.abc import Hashable
from dataclasses import dataclass

from aiohttp import web

from eventhub.delivery.frames import Form
from eventhub.delivery.view import View
from eventhub.errors import Rejected
from eventhub.gateway import history, rows
from eventhub.gateway.controls import Surface, check_honoured, check_options
from eventhub.gateway.disconnection import while_connected
from eventhub.gateway.file_answer import SUFFIXES, Wanted, answer_file
from eventhub.gateway.kept_file import KeptFile, State
from eventhub.gateway.route import Route, Visit
from eventhub.identity.expiry import while_valid


@dataclass(frozen=True, slots=True)
class _Rows:
    """One request for the rows of a view; see `Wanted`."""

    route: Route
    view: View
    variant: str
    client: str
    key: Hashable
    head: int
    """The sequence that a new file has to include."""

    def is_current(self, tag: str) -> bool:
        """See `Wanted`: a tag of this position is of these rows, even if the file is gone."""
        position = str(self.view.position(self.head))
        return tag.startswith(self.route.shared.kept.tag_prefix(self.key, position))

    def find(self) -> KeptFile | None:
        """See `Wanted`."""
        return self.route.shared.kept.at(self.key, (self.head,))

    async def make(self) -> KeptFile:
        """See `Wanted`."""
        body = rows.body_of(self.route, self.view, self.variant)
        async with self.route.channel.replays.open(
            self.view, self.head, row_format=body.row_format, client=self.client
        ) as past:
            state = State(str(self.view.position(past.sequence)), (past.sequence,))
            parts = body.parts(past.parts())
            return await self.route.shared.kept.make(self.key, self.client, state, parts)


@dataclass(frozen=True, slots=True)
class _Versions(_Rows):
    """One request for the versions of a row; see `Wanted`."""

    row_id: str

    async def make(self) -> KeptFile:
        """See `Wanted`."""
        parts = history.parts(
            self.route, self.view, self.row_id, self.variant, self.head, self.client
        )
        state = State(str(self.view.position(self.head)), (self.head,))
        return await self.route.shared.kept.make(self.key, self.client, state, parts)


async def get(route: Route, suffix: str, request: web.Request) -> web.StreamResponse:
    """Answer with the file, with a part of it, or with why there is none.

    Raises:
        Rejected, Unavailable: as a GET of rows, or of a history, and as `answer_file`.
    """
    visit = await route.admit(request)
    # A browser may keep it for this user, and asks each time whether it is still current.
    headers = rows.headers_of(route, request, cache="private, no-cache")
    async with while_connected(request), while_valid(visit.validity):
        of_versions = visit.control("_history") is not None
        wanted = await (_versions if of_versions else _rows)(route, visit, suffix, request)
        shared = route.shared
        return await answer_file(wanted, shared.kept, shared.compression, request, suffix, headers)


async def _rows(route: Route, visit: Visit, suffix: str, request: web.Request) -> Wanted:
    check_honoured(visit.asked, Surface.FILE)
    check_options(visit.asked, suffix)
    view = route.view(visit, Form.BARE)
    if view.history:
        text = "a file has rows, or with id=ID&_history the versions of one"
        raise Rejected("bad_request", text, column="_replay")
    view = await rows.shape(route, visit, view, suffix)
    variant = rows.variant_of(visit, SUFFIXES[suffix][0])
    key = (route.endpoint.channel.name, variant, view.query)
    head = await rows.head_of(route, view)
    return _Rows(route, view, variant, route.client(request, visit), key, head)


async def _versions(route: Route, visit: Visit, suffix: str, request: web.Request) -> Wanted:
    check_honoured(visit.asked, Surface.HISTORY_FILE)
    check_options(visit.asked, suffix)
    row_id = history.row_id_of(visit)
    view = route.view(visit, Form.POLL)
    variant = rows.variant_of(visit, SUFFIXES[suffix][0])
    key = (route.endpoint.channel.name, "history", row_id, variant, view.query)
    head = await rows.head_of(route, view)
    return _Versions(route, view, variant, route.client(request, visit), key, head, row_id)

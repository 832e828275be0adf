"""Client: the HTTP and WebSocket client of the command line: `send` writes, `Tail` reads."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec
from aiohttp import WSMsgType
from yarl import URL

from eventhub.delivery.frames import SUBPROTOCOL
from eventhub.errors import CODES, Close, EventHubError, Rejected, Unavailable
from eventhub.event import POSITION_HEADER, Position

ANSWER_SECONDS = 30.0
RETRY_SECONDS = (0.2, 5.0)
"""First and longest pause before connecting again; each pause is twice the one before."""
MAX_FRAME = 64 << 20
_NO_URL = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)
_ENCODE = msgspec.json.Encoder(decimal_format="number").encode
"""Writes decimals as numbers, with all digits that the user typed."""


async def send(
    url: str, method: str, message: Mapping[str, Any], headers: Mapping[str, str]
) -> dict[str, Any]:
    """Send one message over HTTP; return the receipt.

    Raises:
        Rejected: the hub refuses the message; the error holds the hub's code and text.
        Unavailable: the hub cannot be reached, or asks the client to try later.
    """
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    headers = {"Content-Type": "application/json", **headers}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, data=_ENCODE(message), headers=headers) as answer,
        ):
            text = await answer.text()
    except _NO_URL as error:
        raise _not_a_url(url) from error
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise _unanswered(url, error) from error
    return _receipt(url, text)


def _not_a_url(url: object) -> Rejected:
    text = f"{url} is not the URL of an endpoint, which begins with http:// or https://"
    return Rejected("bad_request", text)


def _unanswered(url: object, error: Exception) -> Unavailable:
    if isinstance(getattr(error, "os_error", None), ConnectionRefusedError):
        return Unavailable(f"{url} does not answer: is the hub running, and on this port?")
    return Unavailable(f"{url} does not answer: {str(error) or 'no answer in time'}")


def _receipt(url: str, text: str) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Rejected("bad_request", f"{url} is not an EventHub endpoint") from None
    if "_error" not in answer:
        return answer
    error = answer["_error"]
    text = f"{error['code']}: {error['message']}"
    if error["retry"]:
        raise Unavailable(text, code=_known(error["code"]))
    raise Rejected(_known(error["code"]), text)


def _known(code: str) -> str:
    """Return a code of a hub that may be newer."""
    return code if code in CODES else "refused"


class Tail:
    """Reads an endpoint until it is cancelled; connects again and resumes by itself."""

    def __init__(
        self, url: str, headers: Mapping[str, str], on_frame: Callable[[str], None]
    ) -> None:
        """Prepare a client, without connecting yet.

        Args:
            url: the endpoint, with any filters, `_since` and `_replay`.
            headers: sent with each request, such as `Authorization`.
            on_frame: called with the JSON of every frame but control frames, as the hub wrote it.

        Raises:
            Rejected: `url` is not a URL.
        """
        try:
            self._url = URL(url)
        except ValueError as error:
            raise _not_a_url(url) from error
        self._headers = headers
        self._on_frame = on_frame
        self._position: Position | None = None
        self._has_answered = False
        self._epoch = ""
        """The epoch of events that come before `_ready`; empty while rows come, or if unknown."""

    async def run(self) -> None:
        """Read until cancelled.

        Raises:
            Rejected: the hub refuses to open the URL.
            Unavailable: nothing has ever answered at the URL.
        """
        pause = RETRY_SECONDS[0]
        async with aiohttp.ClientSession(headers=self._headers) as session:
            while True:
                try:
                    await self._read(session)
                    pause = RETRY_SECONDS[0]
                except aiohttp.WSServerHandshakeError as error:
                    if error.status < 500:
                        text = f"{self._url} is not an EventHub endpoint ({error.status})"
                        raise Rejected("bad_request", text) from error
                except _NO_URL as error:
                    raise _not_a_url(self._url) from error
                except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                    # A hub that has answered will come back; a URL that never answered is wrong.
                    if not self._has_answered:
                        raise _unanswered(self._url, error) from error
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_SECONDS[1])

    async def _read(self, session: aiohttp.ClientSession) -> None:
        params = {} if self._position is None else {"_since": str(self._position)}
        self._epoch = await self._epoch_of_events(session)
        async with session.ws_connect(
            self._url.update_query(params),
            protocols=(SUBPROTOCOL,),
            max_msg_size=MAX_FRAME,
            autoping=True,
        ) as socket:
            self._has_answered = True
            refusal: EventHubError | None = None
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    refusal = self._take(message.data) or refusal
            if refusal and not _is_worth_a_retry(socket.close_code):
                raise refusal

    async def _epoch_of_events(self, session: aiohttp.ClientSession) -> str:
        """Return the epoch, if events will come before `_ready`: the replay may be interrupted."""
        if self._position is not None:
            return self._position.epoch
        query = self._url.query
        if query.get("_replay") != "log" and "_since" not in query:
            return ""
        rows = self._url.without_query_params("_replay", "_since").update_query(_limit="0")
        async with session.get(rows, timeout=aiohttp.ClientTimeout(ANSWER_SECONDS)) as answer:
            position = answer.headers.get(POSITION_HEADER, "")
        return position.partition(".")[0]

    def _take(self, text: str) -> EventHubError | None:
        frame: dict[str, Any] = msgspec.json.decode(text)
        if "_error" in frame:
            error = frame["_error"]
            return Rejected(_known(error["code"]), f"{error['code']}: {error['message']}")
        if "_ready" in frame:
            self._reach(Position.parse(frame["_ready"]["position"]))
        elif "_tick" in frame:
            self._reach(Position.parse(frame["_tick"]))
        elif frame.get("_auth") == "required":  # the token, if there is one, was in the handshake
            raise Rejected("unauthorized", "unauthorized: log in to use this endpoint")
        elif "_auth" in frame:
            pass  # the hub will close the connection, and check the token at the next one
        elif "_resume" in frame:
            if not frame["_resume"]["recovered"]:  # rows follow, or events of another epoch
                self._position, self._epoch = None, ""
        else:
            self._on_frame(text)
            if self._epoch:
                self._reach(Position(self._epoch, frame["_seq"]))
        return None

    def _reach(self, position: Position) -> None:
        self._position, self._epoch = position, position.epoch


def _is_worth_a_retry(code: int | None) -> bool:
    return code not in [int(close) for close in Close if not close.reconnect]

"""Subscribe frame: what a client of a shared socket asks for: `{"_subscribe": 1, "path": …}`."""

import re
from typing import Any, Final, NamedTuple, Self

from yarl import URL

from eventhub.errors import Rejected

SUBSCRIBE: Final = "_subscribe"
UNSUBSCRIBE: Final = "_unsubscribe"
SUB: Final = "_sub"
MAX_SUBSCRIPTIONS: Final = 64
"""Of one socket, and the largest number of one: clients that number them from 1 share frames."""
MAX_URL_BYTES: Final = 64 << 10
"""Of path and query, as of a URL."""
_KEYS: Final = {SUBSCRIBE, "path", "query", "since", "_ref"}
_PATH: Final = re.compile(r"/(?!/)[!-~]*")
_QUERY: Final = re.compile(r"[!-~]*")
_MAX_SINCE: Final = 200


class SubscribeFrame(NamedTuple):
    """A frame that begins a subscription."""

    number: int
    url: URL
    since: str | None

    @classmethod
    def parse(cls, message: dict[str, Any], number: int) -> Self:
        """Read a frame.

        Args:
            message: the frame.
            number: of the subscription, from `number_of`.

        Raises:
            Rejected: `bad_control`.
        """
        for name in message:
            if name not in _KEYS:
                text = f"{SUBSCRIBE} takes path, query, since and _ref, but not {name[:50]!r}"
                raise Rejected("bad_control", text, column=name[:50])
        path, query, since = (message.get(name) for name in ("path", "query", "since"))
        text = "must be printable ASCII, escaped as in a URL"
        if not isinstance(path, str) or not _PATH.fullmatch(path) or set(path) & set("?#"):
            raise Rejected("bad_control", f"path must begin with / and {text}", column="path")
        query = "" if query is None else query
        if not isinstance(query, str) or not _QUERY.fullmatch(query) or "#" in query:
            raise Rejected("bad_control", f"query {text}", column="query")
        if len(path) + len(query) > MAX_URL_BYTES:
            text = f"path and query have at most {MAX_URL_BYTES:,} characters together"
            raise Rejected("url_too_long", text, column="query")
        if since is not None and not (isinstance(since, str) and 0 < len(since) <= _MAX_SINCE):
            raise Rejected("bad_position", "since must be text, as _since of a URL", column="since")
        return cls(number, URL.build(path=path, query_string=query, encoded=True), since)


def number_of(message: dict[str, Any], control: str) -> int:
    """Return the number of the subscription that a control names.

    Raises:
        Rejected: `bad_control`.
    """
    number = message[control]
    if type(number) is not int or not 1 <= number <= MAX_SUBSCRIPTIONS:
        text = f"{control} must be the number of a subscription, 1 to {MAX_SUBSCRIPTIONS}"
        raise Rejected("bad_control", text, column=control)
    return number

"""Not HTTP: the first bytes of a connection that cannot begin a request, and their answer.

They are refused before a parser, a task and a request exist, at a third of the cost: whatever a
scanner or a flood sends. The answer is the one that the HTTP server gives to malformed requests.
"""

import re
from typing import Final

from eventhub.errors import Rejected
from eventhub.gateway.guard import closing_answer

_BEGINNING: Final = re.compile(rb"(?:\r\n){0,2}(?:\r?\Z|[A-Za-z_-]{1,24}(?: |\Z))")
"""Of a request: empty lines, which a server ignores (RFC 9112 section 2.2), and its method."""
ERROR: Final = Rejected("bad_request", "this is not an HTTP/1.1 request (RFC 9112)")
ANSWER: Final = closing_answer(ERROR)


def is_http(data: bytes) -> bool:
    """Return whether bytes may be the beginning of an HTTP request, which may be cut anywhere."""
    return _BEGINNING.match(data) is not None

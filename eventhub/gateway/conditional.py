"""Conditional: the headers that make a write depend on the row, or harmless to repeat.

`If-Match` and `If-None-Match` as RFC 9110 sections 13.1.1 and 13.1.2 have them: an entity tag is
the sequence of the row's last event, with or without its quotes.
"""

import re
from typing import Literal

from aiohttp import web

from eventhub.errors import Rejected
from eventhub.ingest.command import Precondition

SINGLE = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
)
"""Which of two would count is a guess, and a proxy may guess otherwise."""

_TAG = re.compile(
    r'[ \t,]*(?:(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e]*)"|(?P<bare>[0-9]{1,20}))[ \t]*(?=,|$)',
    re.ASCII,
)
_SEQUENCE = re.compile(r"[0-9]{1,20}")


def check_single(request: web.BaseRequest) -> None:
    """Refuse a request that says twice what can be said once.

    Raises:
        Rejected: `bad_request`.
    """
    for name in SINGLE:
        if len(request.headers.getall(name, ())) > 1:
            raise Rejected("bad_request", f"the header {name} was sent more than once")


def precondition_of(request: web.BaseRequest) -> Precondition | None:
    """Return what headers want of the row that a message is about.

    Raises:
        Rejected: `bad_control`: a header is no list of entity tags.
    """
    match = _tags(request, "If-Match", weak=False)
    none_match = _tags(request, "If-None-Match", weak=True)
    if match is None and none_match is None:
        return None
    return Precondition(match=match, none_match=none_match)


def _tags(
    request: web.BaseRequest, name: str, *, weak: bool
) -> frozenset[int] | Literal["*"] | None:
    """Return the sequences that a header lists, `*` for any, None if it was not sent.

    Tags that are none of ours match no row, nor do weak ones unless they are asked for.
    """
    value = request.headers.get(name)
    if value is None:
        return None
    text = value.strip(" \t,")
    if text == "*":
        return "*"
    sequences, at = set(), 0
    while at < len(text) or not text:
        found = _TAG.match(text, at)
        if found is None:
            message = f'{name} lists entity tags, as "3", or is *'
            raise Rejected("bad_control", message, column=name)
        at = found.end()
        number = found["bare"] or found["tag"]
        if (weak or not found["weak"]) and _SEQUENCE.fullmatch(number):
            sequences.add(int(number))
    return frozenset(sequences)

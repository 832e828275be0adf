"""Conditional: the headers that make a write depend on its row.

`If-Match` and `If-None-Match` are those of RFC 9110 sections 13.1.1 and 13.1.2. An entity tag is
the sequence of the row's last event, with or without quotes.
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
"""Headers that may be sent once: a proxy might read another of two than the hub."""

_TAG = re.compile(
    r'[ \t,]*(?:(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e]*)"|(?P<bare>[0-9]{1,20}))[ \t]*(?=,|$)',
    re.ASCII,
)
_SEQUENCE = re.compile(r"[0-9]{1,20}")


def check_single(request: web.BaseRequest) -> None:
    """Refuse a request that repeats a header of `SINGLE`.

    Raises:
        Rejected: `bad_request`.
    """
    for name in SINGLE:
        if len(request.headers.getall(name, ())) > 1:
            raise Rejected(
                "bad_request", f"the header {name} was sent more than once: send it once"
            )


def precondition_of(request: web.BaseRequest) -> Precondition | None:
    """Return what the headers require of a message's row, if anything.

    Raises:
        Rejected: `bad_control`: a header is not a list of entity tags.
    """
    match = _tags(request, "If-Match", weak=False)
    none_match = _tags(request, "If-None-Match", weak=True)
    if match is None and none_match is None:
        return None
    return Precondition(match=match, none_match=none_match)


def _tags(
    request: web.BaseRequest, name: str, *, weak: bool
) -> frozenset[int] | Literal["*"] | None:
    """Return the sequences that a header lists, `*` for any, or None if it was not sent.

    Tags that are not sequences match no row, and weak tags only if `weak` is true.
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
            message = f'{name} must be * or a list of entity tags such as "3"'
            raise Rejected("bad_control", message, column=name)
        at = found.end()
        number = found["bare"] or found["tag"]
        if (weak or not found["weak"]) and _SEQUENCE.fullmatch(number):
            sequences.add(int(number))
    return frozenset(sequences)

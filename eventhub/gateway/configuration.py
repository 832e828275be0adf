"""Configuration: `/-/configuration`: what the hub serves, and what another text would change.

Whoever has the operators' token need not own the hub's file, which is trusted like code. So a text
that is sent is only read: nothing of it is imported, compiled or run, and it names no file and no
variable that is looked up. A rehearsal takes of it what only declares something (ADR-105).
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from eventhub.channel import endpoints_of
from eventhub.config import Config, Findings, MessageEndpoint, as_shown, examine_text, in_order
from eventhub.errors import Misconfigured, Rejected, Unavailable
from eventhub.gateway.body import Bodies
from eventhub.gateway.operators import for_operators
from eventhub.identity.proxies import Proxies, client_of
from eventhub.rehearsals import MAX_EVENTS, Rehearsals

PATH: Final = "/-/configuration"
REHEARSAL_PATH: Final = f"{PATH}/rehearsal"
EVENTS: Final = 1000
"""Of each table, unless a rehearsal says how many."""
MAX_TEXT: Final = 128 << 10
"""Bytes of a text: it is parsed in a thread, which takes the interpreter from the other clients."""
UNCHECKED: Final = (
    "imports and other files",
    "variables of the environment",
    "conditions of keys",
    "modules in expressions",
    "templates",
)
"""What `eventhub check` finds out, and this does not."""
NOT_WHOLE: Final = (
    "the text has an import, a condition of a key, or a variable, without which it may mean"
    " something else: rehearse it with `eventhub rehearse FILE NEWFILE`"
)
_NAME: Final = "pasted.yaml"


def add_routes(
    app: web.Application,
    config: Config,
    rehearsals: Rehearsals | None,
    bodies: Bodies,
    proxies: Proxies,
) -> None:
    """Give an application the configuration.

    Args:
        app: not yet started.
        config: what is served.
        rehearsals: rehearse other configurations; None: they are not offered.
        bodies: read the texts.
        proxies: the proxies that are trusted for a client's address.
    """
    texts = _Texts(config, bodies, proxies)

    async def show(_request: web.Request) -> dict[str, Any]:
        return as_shown(config)

    async def check(request: web.Request) -> dict[str, Any]:
        return checked(*await texts.examined(request))

    async def rehearse(request: web.Request) -> dict[str, Any]:
        assert rehearsals is not None  # noqa: S101 - otherwise it is no route
        events = _events(request.query)
        other, findings = await texts.examined(request)
        found = checked(other, findings)
        if not found["valid"]:
            return {**found, "rehearsal": None}
        if not findings.is_whole:
            raise Rejected("bad_body", NOT_WHOLE)
        try:
            return {**found, "rehearsal": await rehearsals.rehearse(other, events)}
        except Misconfigured as error:
            raise Rejected("bad_body", error.message) from None

    app.router.add_get(PATH, for_operators(config.server, proxies, show))
    app.router.add_post(PATH, for_operators(config.server, proxies, check))
    if rehearsals is not None:
        app.router.add_post(REHEARSAL_PATH, for_operators(config.server, proxies, rehearse))


class _Texts:
    """Reads the texts that operators send, one at a time."""

    def __init__(self, config: Config, bodies: Bodies, proxies: Proxies) -> None:
        self._config = config
        self._bodies = bodies
        self._proxies = proxies
        self._one_at_a_time = asyncio.Lock()

    async def examined(self, request: web.Request) -> tuple[Config, Findings]:
        """Return what a text says, and what is wrong with it."""
        with self._bodies.counted(client_of(request, self._proxies)) as reading:
            raw = await reading.raw(request)
        if len(raw) > MAX_TEXT:
            raise Rejected("too_large", f"the text has more than {MAX_TEXT >> 10} KiB")
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Rejected("bad_body", f"the text is not UTF-8: {error.reason}") from None
        if self._one_at_a_time.locked():
            raise Unavailable("another text is being checked: try again", code="busy")
        async with self._one_at_a_time:
            return await asyncio.to_thread(examined, text, self._config)


def examined(text: str, served: Config) -> tuple[Config, Findings]:
    """Return what a text says, so far as it can be read, and what is wrong with it.

    Args:
        text: YAML.
        served: the configuration that it would replace.
    """
    config, findings = examine_text(text, served.path.parent / _NAME)
    try:
        endpoints_of(config)
    except Misconfigured as error:
        findings.raised(error)
    return config, findings


def checked(config: Config, findings: Findings) -> dict[str, Any]:
    """Return what `eventhub check --json` says of an examined text, and what is not checked."""
    problems, warnings = in_order(findings.problems), in_order(findings.warnings)
    found = [each.as_dict("error") for each in problems]
    found += [each.as_dict("warning") for each in warnings]
    return {
        "valid": not problems,
        "findings": [_shown(each) for each in found],
        "tables": {each.pattern: each.table for each in config.of_kind(MessageEndpoint)},
        "unchecked": UNCHECKED,
    }


def _events(query: Mapping[str, str]) -> int:
    if query.keys() - {"events"}:
        raise Rejected("bad_request", "the only argument here is events")
    text = query.get("events") or str(EVENTS)
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MAX_EVENTS):
        raise Rejected("bad_request", f"events is a whole number from 1 to {MAX_EVENTS}")
    return int(text)


def _shown(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Return a finding without the folder of the hub, whose line is that of the text."""
    return {**finding, "file": _NAME}

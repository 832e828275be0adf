"""Configuration: `/-/configuration`: what the hub serves, and what is wrong with another text.

Whoever has the operators' token need not own the hub's file, which is trusted like code. So a text
that is sent is only read: nothing of it is imported, compiled or run, and it names no file and no
variable that is looked up.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from eventhub.channel import endpoints_of
from eventhub.config import Config, MessageEndpoint, as_shown, examine_text, in_order
from eventhub.errors import Misconfigured, Rejected, Unavailable
from eventhub.gateway.body import Bodies
from eventhub.gateway.operators import for_operators
from eventhub.identity.proxies import Proxies, client_of

PATH: Final = "/-/configuration"
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
_NAME: Final = "pasted.yaml"


def add_route(app: web.Application, config: Config, bodies: Bodies, proxies: Proxies) -> None:
    """Give an application the configuration.

    Args:
        app: not yet started.
        config: what is served.
        bodies: read the texts.
        proxies: the proxies that are trusted for a client's address.
    """
    one_at_a_time = asyncio.Lock()

    async def show(_request: web.Request) -> dict[str, Any]:
        return as_shown(config)

    async def check(request: web.Request) -> dict[str, Any]:
        with bodies.counted(client_of(request, proxies)) as reading:
            raw = await reading.raw(request)
        if len(raw) > MAX_TEXT:
            raise Rejected("too_large", f"the text has more than {MAX_TEXT >> 10} KiB")
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Rejected("bad_body", f"the text is not UTF-8: {error.reason}") from None
        if one_at_a_time.locked():
            raise Unavailable("another text is being checked: try again", code="busy")
        async with one_at_a_time:
            return await asyncio.to_thread(check_text, text, config)

    app.router.add_get(PATH, for_operators(config.server, proxies, show))
    app.router.add_post(PATH, for_operators(config.server, proxies, check))


def check_text(text: str, served: Config) -> dict[str, Any]:
    """Return what is wrong with a text, as `eventhub check --json` does, and what is not checked.

    Args:
        text: YAML.
        served: the configuration that it would replace.
    """
    config, findings = examine_text(text, served.path.parent / _NAME)
    try:
        endpoints_of(config)
    except Misconfigured as error:
        findings.raised(error)
    problems, warnings = in_order(findings.problems), in_order(findings.warnings)
    found = [each.as_dict("error") for each in problems]
    found += [each.as_dict("warning") for each in warnings]
    return {
        "valid": not problems,
        "findings": [_shown(each) for each in found],
        "tables": {each.pattern: each.table for each in config.of_kind(MessageEndpoint)},
        "unchecked": UNCHECKED,
    }


def _shown(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Return a finding without the folder of the hub, whose line is that of the text."""
    return {**finding, "file": _NAME}

"""Alert routes: `/-/alerts`: alerts and dead letters, retries, previews and back-tests.

They are for operators, and answered by processes that have the roles gateway and alerts.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from eventhub.alert_control import MAX_RETRIED, AlertControl
from eventhub.config import Server
from eventhub.errors import Rejected
from eventhub.gateway.body import Bodies
from eventhub.gateway.operators import Answer, for_operators
from eventhub.identity.audit import trail_of
from eventhub.identity.proxies import Proxies, client_of
from eventhub.methods import METHODS

PATH: Final = "/-/alerts"
RETRY_PATH: Final = f"{PATH}/retry"
PREVIEW_PATH: Final = f"{PATH}/preview"
BACKTEST_PATH: Final = f"{PATH}/backtest"
MAX_DAYS: Final = 3650
DAYS: Final = 30
_ELSEWHERE: Final = (
    "this process sends no alerts: ask one with the roles gateway and alerts, or use"
    " `eventhub alerts`"
)


class _Retry(msgspec.Struct, forbid_unknown_fields=True):
    ids: list[str]


def add_routes(
    app: web.Application,
    server: Server,
    control: AlertControl | None,
    bodies: Bodies,
    proxies: Proxies,
) -> None:
    """Give an application the routes.

    Args:
        app: not yet started.
        server: says who is an operator.
        control: answers; None: this process sends no alerts.
        bodies: read what is sent.
        proxies: the proxies that are trusted for a client's address.
    """

    def answering() -> AlertControl:
        if control is None:
            raise Rejected("unknown_path", _ELSEWHERE)
        return control

    async def overview(request: web.Request) -> dict[str, Any]:
        _known(request.query)
        return await answering().overview()

    async def retry(request: web.Request) -> list[dict[str, Any]]:
        answers = answering()
        with bodies.counted(client_of(request, proxies)) as reading:
            ids = _ids(await reading.raw(request))
        await trail_of(request).record(
            "alerts_retried",
            target="dead letters",
            address=client_of(request, proxies),
            count=len(ids),
            detail={"ids": ids},
        )
        return await answers.retry(ids)

    async def preview(request: web.Request) -> dict[str, Any]:
        query = _known(request.query, "endpoint", "sequence")
        sequence = _number(query, "sequence", None, 2**63)
        return await answering().preview(_endpoint(query), sequence)

    async def backtest(request: web.Request) -> dict[str, Any]:
        query = _known(request.query, "endpoint", "days", "condition", "methods")
        days = _number(query, "days", DAYS, MAX_DAYS) or DAYS
        condition, methods = query.get("condition"), _methods(query.get("methods"))
        return await answering().backtest(_endpoint(query), days, condition, methods)

    gets: dict[str, Answer] = {PATH: overview, PREVIEW_PATH: preview, BACKTEST_PATH: backtest}
    for path, answer in gets.items():
        app.router.add_get(path, for_operators(server, proxies, answer))
    app.router.add_post(RETRY_PATH, for_operators(server, proxies, retry))


def _ids(raw: bytes) -> list[str]:
    try:
        ids = msgspec.json.decode(raw, type=_Retry).ids
    except msgspec.DecodeError as error:
        raise Rejected("bad_json", f'send {{"ids": [...]}}: {error}') from None
    except UnicodeDecodeError:
        raise Rejected("bad_json", 'send {"ids": [...]}: the text is not UTF-8') from None
    if not 1 <= len(ids) <= MAX_RETRIED:
        raise Rejected("bad_request", f"name 1 to {MAX_RETRIED} dead letters at a time")
    return ids


def _known(query: Mapping[str, str], *names: str) -> Mapping[str, str]:
    for name in query:
        if name not in names:
            known = ", ".join(names) or "no argument"
            raise Rejected("bad_request", f"{name!r} is not an argument here: {known}")
    return query


def _endpoint(query: Mapping[str, str]) -> str:
    if not query.get("endpoint"):
        raise Rejected("bad_request", "endpoint is missing: name the endpoint with the alert")
    return query["endpoint"]


def _number(query: Mapping[str, str], name: str, default: int | None, most: int) -> int | None:
    text = query.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= most):
        raise Rejected("bad_request", f"{name} is a whole number from 1 to {most}")
    return int(text)


def _methods(text: str | None) -> list[str] | None:
    if not text:
        return None
    methods = text.upper().split(",")
    if unknown := [each for each in methods if each not in METHODS]:
        raise Rejected("bad_request", f"methods: {unknown[0]!r} is none of {', '.join(METHODS)}")
    return methods

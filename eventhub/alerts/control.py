"""Control: what operators see of a running hub's alerts, and do about them.

The configuration is trusted like code, and an operator with a token need not be its owner: another
condition is taken if it is a filter, or if it is Python that an alert of the same table already
runs, character for character. So nothing new is ever evaluated. Templates are those of the file.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from eventhub.alert_control import MAX_EVENTS, MAX_LETTERS, MAX_MAILS
from eventhub.alerts.backtest import Verdict, events_after, verdict_of
from eventhub.alerts.dead_letters import DeadLetter
from eventhub.alerts.mail import Mail
from eventhub.alerts.operations import list_dead_letters, retry_dead_letters
from eventhub.alerts.rule import AlertRule, filter_of, rules_of
from eventhub.alerts.sender import MESSAGE_ID_DOMAIN
from eventhub.channel import Channel, Endpoint, endpoints_of
from eventhub.config import Config, as_shown
from eventhub.errors import EventHubError, Misconfigured, Rejected, Unavailable
from eventhub.event import StoredEvent
from eventhub.stream import EventStream, Log

LOOK_BACK_BYTES: Final = 1 << 20
LOOK_BACK: Final = 500
"""Events among which the last one of an endpoint is searched for."""
SECONDS: Final = 30.0
"""For a back-test or a preview."""
PAUSE_EVENTS: Final = 200
"""After so many events of a back-test the clients of the hub have their turn."""


class Control:
    """The alerts of the configuration that is served; see `eventhub.alert_control.AlertControl`."""

    def __init__(self, event_log: Log, config: Callable[[], Config]) -> None:
        """Read alerts of a log.

        Args:
            event_log: holds the events and the dead letters.
            config: returns what is served now.
        """
        self._log = event_log
        self._config = config
        self._retrying = asyncio.Lock()
        self._trying = asyncio.Lock()

    async def overview(self) -> dict[str, Any]:
        """Return the alerts and the dead letters."""
        config = self._config()
        shown = {each["name"]: each.get("alert") for each in as_shown(config)["endpoints"]}
        letters = await list_dead_letters(self._log)
        return {
            "alerts": [
                {
                    "endpoint": each.name,
                    "path": each.config.pattern,
                    "table": each.channel.name,
                    "alert": shown[each.name],
                }
                for each in endpoints_of(config)
                if each.config.alert is not None
            ],
            "dead": [_letter(each) for each in reversed(letters[-MAX_LETTERS:])],
            "dead_count": len(letters),
        }

    async def retry(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Send dead letters once more."""
        config = self._config()
        async with _only(self._retrying, "dead letters are being sent"):
            results = await retry_dead_letters(config, endpoints_of(config), self._log, ids)
        return [{"id": each.letter.id, "error": each.error} for each in results]

    async def preview(self, endpoint: str, sequence: int | None) -> dict[str, Any]:
        """Return the mail of an alert for an event."""
        rule = self._rule(self._endpoint(endpoint))
        async with _only(self._trying, "another alert is being tried"):
            stored = await self._event(rule, sequence)
            error: str | None = None
            mail: dict[str, Any] | None = None
            fires = False
            try:
                fires = await rule.fires(stored.event)
                mail = await _composed(rule, stored)
            except EventHubError as failure:
                error = failure.message
        event = stored.event
        named = {"sequence": stored.sequence, "time": event.time, "row": event.id}
        return {**named, "method": event.method, "fires": fires, "mail": mail, "error": error}

    async def backtest(
        self, endpoint: str, days: int, condition: str | None, methods: Sequence[str] | None
    ) -> dict[str, Any]:
        """Return the mails that an alert would have sent."""
        rule = self._rule(self._edited(self._endpoint(endpoint), condition, methods))
        async with _only(self._trying, "another alert is being tried"):
            stream = await self._log.open(rule.channel)
            since = datetime.now(UTC) - timedelta(days=days)
            newest = (await stream.bounds()).last - MAX_EVENTS
            earlier = await stream.sequence_before(since)
            found = _Found(is_whole=newest <= earlier)
            after = max(earlier, newest)
            try:
                async with asyncio.timeout(SECONDS):
                    await _try_all(rule, stream, after, found)
            except TimeoutError:
                found.is_whole = False
        return {
            "events": found.events,
            "count": found.count,
            "wrong": found.wrong,
            "complete": found.is_whole,
            "mails": [asdict(each) for each in found.mails],
        }

    def _endpoint(self, name: str) -> Endpoint:
        for each in endpoints_of(self._config()):
            if each.name == name and each.config.alert is not None:
                return each
        raise Rejected("not_found", f"no endpoint {name!r} has an alert")

    def _edited(
        self, endpoint: Endpoint, condition: str | None, methods: Sequence[str] | None
    ) -> Endpoint:
        """Return an endpoint whose alert has another condition or other methods.

        Raises:
            Rejected: `bad_filter`: the condition is neither a filter nor one that is in use.
        """
        alert = endpoint.config.alert
        assert alert is not None  # noqa: S101 - `_endpoint` returns no other
        if condition is not None:
            if condition:
                _check_condition(condition, endpoint, endpoints_of(self._config()))
            alert = msgspec.structs.replace(alert, condition=condition or None)
        if methods is not None:
            alert = msgspec.structs.replace(alert, methods=list(methods))
        return replace(endpoint, config=msgspec.structs.replace(endpoint.config, alert=alert))

    def _rule(self, endpoint: Endpoint) -> AlertRule:
        return rules_of(self._config(), [endpoint])[endpoint.name]

    async def _event(self, rule: AlertRule, sequence: int | None) -> StoredEvent:
        stream = await self._log.open(rule.channel)
        if sequence is not None:
            stored = await stream.get(sequence)
            if stored is None:
                raise Rejected("not_found", f"table {rule.channel.name} has no event {sequence}")
            return stored
        after = max(0, (await stream.bounds()).last - LOOK_BACK)
        last: StoredEvent | None = None
        while events := await stream.read(after, LOOK_BACK_BYTES):
            of_endpoint = [each for each in events if each.event.endpoint == rule.name]
            last, after = of_endpoint[-1] if of_endpoint else last, events[-1].sequence
        if last is None:
            text = f"none of the last {LOOK_BACK} events is of endpoint {rule.name!r}"
            raise Rejected("not_found", text)
        return last


class _Found(msgspec.Struct):
    """What a back-test has found so far."""

    is_whole: bool
    events: int = 0
    count: int = 0
    wrong: int = 0
    mails: list[Verdict] = []


async def _try_all(rule: AlertRule, stream: EventStream, after: int, found: _Found) -> None:
    async with aclosing(events_after(stream, after)) as events:
        async for stored in events:
            if stored.event.endpoint != rule.name:
                continue
            found.events += 1
            if found.events % PAUSE_EVENTS == 0:
                await asyncio.sleep(0)
            verdict = await verdict_of(rule, stored)
            if verdict is None:
                continue
            found.count += 1
            found.wrong += verdict.error is not None
            if len(found.mails) < MAX_MAILS:
                found.mails.append(verdict)


def _check_condition(condition: str, endpoint: Endpoint, served: Iterable[Endpoint]) -> None:
    try:
        found = filter_of(condition.strip(), endpoint.channel.columns)
    except Misconfigured as error:
        raise Rejected("bad_filter", error.message) from None
    if found is None and condition not in _expressions(endpoint.channel, served):
        text = (
            f"url: {endpoint.name}: alert: condition: it is not a filter such as"
            " topic=Help&votes>=3, nor an expression that an alert of the table has; whoever owns"
            " the file tries another expression with `eventhub alerts backtest`"
        )
        raise Rejected("bad_filter", text)


def _expressions(channel: Channel, served: Iterable[Endpoint]) -> set[str]:
    """Return the conditions of a table's alerts.

    Those of another table are left out: there, `a!=b` may be a filter that was never compiled, and
    an expression sees other columns.
    """
    alerts = [each.config.alert for each in served if each.channel.name == channel.name]
    return {each.condition for each in alerts if each is not None and each.condition is not None}


async def _composed(rule: AlertRule, stored: StoredEvent) -> dict[str, Any]:
    message_id = f"{stored.sequence}.{rule.name}@{MESSAGE_ID_DOMAIN}"
    date = datetime.fromisoformat(stored.event.time)
    values = rule.values_of(stored.event)
    try:
        async with asyncio.timeout(SECONDS):
            mail = await asyncio.to_thread(
                rule.template.compose, values, message_id, date, attached=False
            )
    except TimeoutError:
        raise Unavailable(f"the templates took longer than {SECONDS:g} s") from None
    return _mail(mail)


def _mail(mail: Mail) -> dict[str, Any]:
    return {
        "from": str(mail.sender),
        "recipients": list(mail.recipients),
        "malformed": list(mail.malformed),
        "subject": mail.subject,
        "text": mail.text,
        "html": mail.html,
    }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "endpoint": letter.endpoint,
        "table": letter.channel,
        "sequence": letter.sequence,
        "row": letter.row_id,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "died_at": letter.died_at,
        "missing": letter.missing,
        "subject": letter.subject,
    }


@asynccontextmanager
async def _only(lock: asyncio.Lock, what: str) -> AsyncIterator[None]:
    if lock.locked():
        raise Unavailable(f"{what}: try again", code="busy")
    async with lock:
        yield

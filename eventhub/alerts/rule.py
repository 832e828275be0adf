"""AlertRule: the compiled `alert:` of one endpoint: which events cause a mail, and which mail.

A condition is a filter if each of its keys is a column and an operator, as in `topic=Help` or
`amount>~=100&topic!=Spam`; it applies to the row after the event, or to the deleted row. Any other
condition is a Python expression over `msg`, which holds the same values as in templates.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from eventhub.alerts.mail import Mail
from eventhub.alerts.mail_template import MailTemplate
from eventhub.alerts.sources import Sources
from eventhub.alerts.template import Templates
from eventhub.channel import Endpoint
from eventhub.columns import Columns
from eventhub.config import Alert, Config, EmailService
from eventhub.config.hub_files import HubFiles
from eventhub.errors import EventHubError, Misconfigured, Rejected
from eventhub.event import LOADED, Event
from eventhub.expressions import Expression, compile_expression
from eventhub.filters.arguments import Control, Test, meaning_of, parse_query_string
from eventhub.filters.conditions import Filter
from eventhub.filters.query import parse

STUB = "stub"
"""The service of a file without `email:`. It writes mails to the program's log lines."""
STUB_SENDER = "eventhub@localhost"
"""The sender if neither the alert nor its stub names one."""


def services_of(config: Config) -> dict[str, EmailService]:
    """Return the services by name, the default one first; a stub if the file has none."""
    return config.email or {STUB: EmailService(type="stub")}


def rules_of(config: Config, endpoints: Iterable[Endpoint]) -> "dict[str, AlertRule]":
    """Return the rule of each endpoint that has an alert, by the endpoint's name.

    Raises:
        Misconfigured: names the endpoint and the key, and the line of a template.
    """
    services = services_of(config)
    folder = config.path.resolve().parent
    hub = HubFiles.of(config)
    return {
        endpoint.name: AlertRule(endpoint, endpoint.config.alert, services, folder, hub)
        for endpoint in endpoints
        if endpoint.config.alert is not None
    }


class AlertRule:
    """Which events of one endpoint cause a mail, which mail, and through which service."""

    def __init__(
        self,
        endpoint: Endpoint,
        alert: Alert,
        services: Mapping[str, EmailService],
        folder: Path,
        hub: HubFiles | None = None,
    ) -> None:
        where = f"url: {endpoint.name}: alert"
        self.name = endpoint.name
        self.channel = endpoint.channel
        self.service = _service_name(where, alert.service, services)
        """Key under `email:`."""
        service = services[self.service]
        sender = service.email or (STUB_SENDER if service.type == "stub" else None)
        templates = Templates(folder, self.channel.columns.names)
        named = alert.attachments_from
        sources = Sources(folder, None if named is None else folder / named, hub or HubFiles())
        self.template = MailTemplate(where, alert, templates, sources, sender)
        self._max_recipients = alert.max_recipients
        self.max_per_hour = alert.max_per_hour
        self._methods = frozenset(alert.methods)
        self._suppressible = alert.suppressible
        self._condition = _condition(where, alert.condition, self.channel.columns, folder)

    async def fires(self, event: Event) -> bool:
        """Tell whether an event of this endpoint causes a mail.

        Raises:
            Rejected: the condition raised an error; a retry makes no difference.
        """
        if event.method not in self._methods or (self._suppressible and not event.alert):
            return False
        if event.write.startswith(LOADED):  # it was alerted, or not, when it was new
            return False
        match self._condition:
            case None:
                return True
            case Filter() as condition:
                return condition.matches(event.row or event.was or {})
            case expression:
                return await _evaluate(expression, self.values_of(event))

    def check_recipients(self, mail: Mail) -> None:
        """Check that a mail has no more recipients than the alert may have.

        Raises:
            Rejected: `too_large`.
        """
        count = len(mail.recipients) + len(mail.malformed)
        if count > self._max_recipients:
            text = f"{count} recipients: above max_recipients: {self._max_recipients}"
            raise Rejected("too_large", text)

    def values_of(self, event: Event) -> dict[str, Any]:
        """Return the values of an event for templates and conditions."""
        values = self.channel.columns.spelling.numbers(event.outgoing)
        return {"id": event.id, **values, "_method": event.method}


def _service_name(where: str, name: str | None, services: Mapping[str, EmailService]) -> str:
    if name is None:
        return next(iter(services))
    if name not in services:
        near = get_close_matches(name, services, 1) or services
        named = " or ".join(near)
        raise Misconfigured(f"{where}: service: no {name!r} under `email:`; did you mean {named}?")
    return name


def _condition(
    where: str, source: str | None, columns: Columns, folder: Path
) -> Filter | Expression | None:
    if source is None:
        return None
    try:
        return filter_of(source.strip(), columns) or compile_expression(
            source, ("msg",), folder=folder
        )
    except Rejected as error:
        raise Misconfigured(f"{where}: condition: {error}") from error
    except Misconfigured as error:
        mistake = _mistake(source.strip(), columns)
        raise Misconfigured(f"{where}: condition: {error}{mistake}") from error


def filter_of(source: str, columns: Columns) -> Filter | None:
    """Return the filter that a condition is, or None if it is Python.

    Raises:
        Misconfigured: it is a filter with a mistake.
        Rejected: `bad_filter`: a value does not fit its column.
    """
    try:
        args = parse_query_string(source)
    except Rejected:
        return None
    if not args or not all(isinstance(meaning_of(key, columns), Test) for key in args):
        return None
    if any(value.startswith("=") for values in args.values() for value in values):
        raise Misconfigured(
            f"== is not part of a filter: {source}; write one =, or in Python msg['column'] == ..."
        )
    found = parse(args, columns).filter
    if len(found.conditions) < len(args):
        raise Misconfigured(f"a part of the filter has no value: {source}")
    return found


def _mistake(source: str, columns: Columns) -> str:
    """Return what is wrong with a condition that is not Python, if it was meant as a filter."""
    try:
        args = parse_query_string(source)
        for key in args:
            if isinstance(meaning_of(key, columns), Control):
                return f"; as a filter: {key} has no effect on an alert"
        parse(args, columns, "refuse")
    except Rejected as error:
        return f"; as a filter: {error}"
    return ""


async def _evaluate(expression: Expression, values: dict[str, Any]) -> bool:
    try:
        return bool(await expression(msg=values))
    except EventHubError:
        raise
    except Exception as error:  # anything that the operator's Python raises
        reason = f"{type(error).__name__}: {error}"
        raise Rejected("internal", f"condition: {reason}") from error

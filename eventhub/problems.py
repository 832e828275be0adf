"""Problems: what is wrong with a configuration that can be read, found without serving it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from msgspec.structs import replace as replace_struct

from eventhub.alerts.rule import rules_of
from eventhub.channel import Endpoint, endpoints_of
from eventhub.config import (
    Alert,
    ColumnRule,
    Config,
    FileEndpoint,
    Findings,
    MessageEndpoint,
    Rules,
    SqlEndpoint,
)
from eventhub.errors import Misconfigured
from eventhub.gateway.admin import Admin
from eventhub.gateway.controls import check_default
from eventhub.gateway.tls import Certificate
from eventhub.hooks import Hooks
from eventhub.identity.authenticator import Authenticator
from eventhub.identity.column_rules import ColumnRules
from eventhub.identity.hosts import Hosts
from eventhub.identity.logins import Logins
from eventhub.identity.origin import check_origins
from eventhub.identity.row_rules import RowRules
from eventhub.identity.rule import Rule
from eventhub.memory_records import MemoryRecords
from eventhub.mirrors import mirror_tables
from eventhub.retention import keeps_of
from projections.stored.place import store_outside

_TEMPLATES = (
    *(("to",), ("cc",), ("bcc",), ("reply_to",), ("on_behalf_of",), ("subject",), ("condition",)),
    *(("images",), ("attachments",)),
    *(("body", "bodyfile"), ("markdown", "markdownfile"), ("html", "htmlfile")),
)
"""The keys of an alert that are checked together: a text goes before a file."""


def problems_of(config: Config) -> Iterator[Misconfigured]:
    """Compile every rule, hook and template of a configuration; yield an error for each mistake."""
    for check in _checks(config):
        try:
            check()
        except Misconfigured as error:
            yield error


def _checks(config: Config) -> Iterator[Callable[[], object]]:
    """Yield checks that are independent of each other."""
    folder = config.path.parent
    yield partial(Authenticator, config.auth, Logins(MemoryRecords(None)))
    yield partial(Admin, config.server)
    for host in config.server.hosts or ():
        yield partial(Hosts, replace_struct(config.server, hosts=[host]))
    yield partial(Hosts, config.server)
    if config.server.tls is not None:
        yield partial(Certificate, config.server.tls)
    guarded: list[MessageEndpoint | SqlEndpoint] = [*config.of_kind(MessageEndpoint)]
    for entry in [*guarded, *config.of_kind(SqlEndpoint)]:
        for origin in entry.origins:
            yield partial(check_origins, [origin], f"url: {entry.name}")
        yield partial(Rule, entry, folder)
    for files in config.of_kind(FileEndpoint):
        yield partial(Rule, files, folder)
    try:
        endpoints = endpoints_of(config)
    except Misconfigured as error:
        yield partial(_raise, error)
        return
    for endpoint in endpoints:
        yield from _of_endpoint(endpoint, config)
    yield partial(mirror_tables, endpoints)
    yield partial(keeps_of, config)
    yield partial(store_outside, config.projection.snapshots)


def _of_endpoint(endpoint: Endpoint, config: Config) -> Iterator[Callable[[], object]]:
    """Yield the checks of an endpoint."""
    folder = config.path.parent
    for name, values in endpoint.config.default.items():
        alone = replace_struct(endpoint.config, default={name: values})
        yield partial(check_default, replace(endpoint, config=alone))
    yield partial(Hooks, endpoint.config, folder)
    for rules in _rules_alone(endpoint.config.rules):
        for kind in (RowRules, ColumnRules):
            alone = replace_struct(endpoint.config, rules=rules)
            yield partial(kind, alone, endpoint.channel.columns, folder)
    for alert in _alerts_alone(endpoint.config.alert):
        alone = replace_struct(endpoint.config, alert=alert)
        yield partial(rules_of, config, [replace(endpoint, config=alone)])


def _rules_alone(rules: Rules | None) -> Iterator[Rules]:
    """Yield each of the rules by itself, so that each is checked."""
    for key in Rules.__struct_fields__ if rules is not None else ():
        if key != "columns":
            yield Rules(**{key: getattr(rules, key)})
    for name, rule in rules.columns.items() if rules is not None else ():
        for key in ColumnRule.__struct_fields__:
            yield Rules(columns={name: ColumnRule(**{key: getattr(rule, key)})})


def _alerts_alone(alert: Alert | None) -> Iterator[Alert]:
    """Yield an alert without templates, and with each of them, so that each is checked."""
    if alert is None:
        return
    bare = Alert(service=alert.service, from_=alert.from_)
    yield bare
    bare = replace_struct(bare, from_=alert.from_ or "hub@localhost")
    for keys in _TEMPLATES:
        yield replace_struct(
            bare,
            attachments_from=alert.attachments_from,
            **{key: getattr(alert, key) for key in keys},
        )


def _raise(error: Misconfigured) -> None:
    raise error


def add_problems(config: Config, findings: Findings) -> None:
    """Add to the findings of a file what is wrong with all of it that could be read."""
    known = len(findings.problems)
    for error in problems_of(config):
        findings.raised(error)
    reported = {each.keys for each in findings.problems[:known]}
    findings.problems[known:] = [
        each for each in findings.problems[known:] if each.keys not in reported
    ]
    if not findings.problems:
        try:
            check_served(config)
        except Misconfigured as error:
            findings.raised(error)


def check_served(config: Config) -> None:
    """Check that there is something to serve.

    Raises:
        Misconfigured: the file has no entry that EventHub can serve.
    """
    if not config.endpoints:
        raise Misconfigured(
            "url: nothing to serve: add an entry with a pattern and a handler;"
            " `eventhub init` writes an example"
        )

"""Problems: what is wrong with a configuration that can be read, found without serving it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import msgspec

from eventhub.alerts.rule import rules_of
from eventhub.channel import endpoints_of
from eventhub.config import Config, FileEndpoint, Findings, MessageEndpoint, SqlEndpoint
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
        for name, values in endpoint.config.default.items():
            alone = msgspec.structs.replace(endpoint.config, default={name: values})
            yield partial(check_default, replace(endpoint, config=alone))
        yield partial(Hooks, endpoint.config, folder)
        for rules in (RowRules, ColumnRules):
            yield partial(rules, endpoint.config, endpoint.channel.columns, folder)
        yield partial(rules_of, config, [endpoint])
    yield partial(mirror_tables, endpoints)
    yield partial(keeps_of, config)
    yield partial(store_outside, config.projection.snapshots)


def _raise(error: Misconfigured) -> None:
    raise error


def add_problems(config: Config, findings: Findings) -> None:
    """Add to the findings of a file what is wrong with all of it that could be read."""
    for error in problems_of(config):
        findings.raised(error)
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

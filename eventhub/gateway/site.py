"""Site: what one configuration serves, compiled: its users, rules, hooks and queries.

A hub that takes over a changed configuration compiles another site next to the one that it serves.
"""

from collections.abc import Mapping, Sequence

from aiohttp import web

from eventhub.channel import Endpoint
from eventhub.config import Config, FileEndpoint, SqlEndpoint
from eventhub.delivery.live_channel import LiveChannel
from eventhub.gateway.controls import check_default
from eventhub.gateway.files import admission
from eventhub.gateway.route import Route, Shared
from eventhub.gateway.sql_route import SqlRoute
from eventhub.hooks import Hooks
from eventhub.identity.authenticator import setup_auth
from eventhub.identity.column_rules import ColumnRules
from eventhub.identity.logins import Logins
from eventhub.identity.origin import check_origins
from eventhub.identity.row_rules import RowRules
from eventhub.identity.rule import Guarded, Rule
from eventhub.ingest.writing import Ingest
from eventhub.queries import Queries


class Site:
    """The endpoints of one configuration, and the application that serves them."""

    def __init__(
        self,
        config: Config,
        endpoints: Sequence[Endpoint],
        logins: Logins,
        modules: int = 0,
    ) -> None:
        """Compile.

        Args:
            config: the configuration.
            endpoints: the endpoints that it serves.
            logins: which sessions and tokens hold.
            modules: the generation of the modules that its expressions use.

        Raises:
            Misconfigured: a hook, rule, origin or default argument of an endpoint is invalid.
        """
        self.config = config
        self.modules = modules
        self.app = web.Application()
        self.authenticator = setup_auth(self.app, config.auth, config.data, logins)
        self.tables = list(dict.fromkeys(endpoint.channel.name for endpoint in endpoints))
        """Of its endpoints; others may be followed still."""
        self._parts = [self._compile(endpoint) for endpoint in endpoints]
        self.admits = {
            entry.name: admission(entry, self._rule(entry), self.authenticator)
            for entry in config.of_kind(FileEndpoint)
            if entry.auth
        }
        """Of the FileHandlers that are not open to every client, by name."""
        self.console = None if config.console is None else self._rule(config.console)
        """Who may open the console, if the file says so."""
        self._sql = [self._compile_sql(entry) for entry in config.of_kind(SqlEndpoint)]

    def _compile(self, endpoint: Endpoint) -> tuple[Endpoint, Rule, RowRules, ColumnRules, Hooks]:
        check_origins(endpoint.config.origins, f"url: {endpoint.name}")
        check_default(endpoint)
        folder = self.config.path.parent
        rows = RowRules(endpoint.config, endpoint.channel.columns, folder)
        columns = ColumnRules(endpoint.config, endpoint.channel.columns, folder)
        rule = self._rule(endpoint.config)
        return endpoint, rule, rows, columns, Hooks(endpoint.config, folder)

    def _compile_sql(self, entry: SqlEndpoint) -> tuple[SqlEndpoint, Rule]:
        check_origins(entry.origins, f"url: {entry.name}")
        return entry, self._rule(entry)

    def _rule(self, entry: Guarded) -> Rule:
        return Rule(entry, self.config.path.parent)

    def routes(self, channels: Mapping[str, LiveChannel], shared: Shared) -> list[Route]:
        """Return the endpoints, ready to serve from channels by name."""
        routes = []
        for name, channel in channels.items():
            of_table = (each[0].config for each in self._parts if each[0].channel.name == name)
            channel.quotas.limit({each.name: each.quota for each in of_table if each.quota})
        for endpoint, rule, row_rules, column_rules, hooks in self._parts:
            channel = channels[endpoint.channel.name]
            ingest = Ingest(
                endpoint,
                hooks,
                channel.stream,
                channel.settling,
                shared.tasks.spawn,
                channel.signals,
            )
            routes.append(
                Route(
                    endpoint=endpoint,
                    rule=rule,
                    row_rules=row_rules,
                    column_rules=column_rules,
                    hooks=hooks,
                    ingest=ingest,
                    channel=channel,
                    shared=shared,
                )
            )
        return routes

    def sql_routes(
        self,
        queries: Mapping[str, Queries],
        channels: Mapping[str, LiveChannel],
        shared: Shared,
    ) -> list[SqlRoute]:
        """Return the SQLHandlers, ready to ask who answers them, by name of the handler."""
        routes = []
        for entry, rule in self._sql:
            tables = {name: channels[name] for name in entry.sees(self.tables)}
            routes.append(SqlRoute(entry, rule, queries[entry.name], tables, shared))
        return routes

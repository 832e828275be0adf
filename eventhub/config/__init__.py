"""Configuration: YAML as frozen structs. The only package that reads the environment.

`yamlfile` reads the file as a tree with line numbers, `settings` has the sections, `handlers` the
entries of `url:`, and `loader` puts them together.
"""

from eventhub.config.access import UNIX, networks_of, trusts_unix
from eventhub.config.handlers import (
    Account,
    Alert,
    ColumnRule,
    Endpoint,
    FileEndpoint,
    LogoutEndpoint,
    MessageEndpoint,
    OidcEndpoint,
    Quota,
    Rules,
    SimpleAuthEndpoint,
    SqlEndpoint,
    SqlLimits,
)
from eventhub.config.handlers.audit import TABLE as AUDIT_TABLE
from eventhub.config.handlers.login import is_hash, is_own_path
from eventhub.config.handlers.oidc import is_safe_url
from eventhub.config.loader import ENVIRONMENT, examine, examine_text, load
from eventhub.config.schema import json_schema
from eventhub.config.settings import (
    UNIX_PREFIX,
    Admin,
    Archive,
    Auth,
    Broker,
    Config,
    Console,
    EmailService,
    Jwt,
    Limits,
    Logging,
    Projection,
    Proxy,
    Server,
    Session,
    Snapshots,
    Tls,
)
from eventhub.config.shown import as_shown, fingerprints
from eventhub.config.supervision import notify_socket, watchdog_seconds
from eventhub.config.tree import Finding, Findings, InvalidConfiguration, in_order

__all__ = [
    "AUDIT_TABLE",
    "ENVIRONMENT",
    "UNIX",
    "UNIX_PREFIX",
    "Account",
    "Admin",
    "Alert",
    "Archive",
    "Auth",
    "Broker",
    "ColumnRule",
    "Config",
    "Console",
    "EmailService",
    "Endpoint",
    "FileEndpoint",
    "Finding",
    "Findings",
    "InvalidConfiguration",
    "Jwt",
    "Limits",
    "Logging",
    "LogoutEndpoint",
    "MessageEndpoint",
    "OidcEndpoint",
    "Projection",
    "Proxy",
    "Quota",
    "Rules",
    "Server",
    "Session",
    "SimpleAuthEndpoint",
    "Snapshots",
    "SqlEndpoint",
    "SqlLimits",
    "Tls",
    "as_shown",
    "examine",
    "examine_text",
    "fingerprints",
    "in_order",
    "is_hash",
    "is_own_path",
    "is_safe_url",
    "json_schema",
    "load",
    "networks_of",
    "notify_socket",
    "trusts_unix",
    "watchdog_seconds",
]

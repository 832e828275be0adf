"""Configuration: YAML into frozen structs. The only reader of the environment.

`yamlfile` makes a tree that knows its lines, `settings` says what the sections may hold, `handlers`
reads the entries of `url:`, and `loader` puts them together.
"""

from eventhub.config.access import networks_of
from eventhub.config.handlers import Alert, Endpoint, FileEndpoint, MessageEndpoint
from eventhub.config.loader import ENVIRONMENT, load
from eventhub.config.settings import (
    Admin,
    Auth,
    Broker,
    Config,
    EmailService,
    Jwt,
    Log,
    Projection,
    Proxy,
    Server,
    Session,
)
from eventhub.config.shown import as_shown

__all__ = [
    "ENVIRONMENT",
    "Admin",
    "Alert",
    "Auth",
    "Broker",
    "Config",
    "EmailService",
    "Endpoint",
    "FileEndpoint",
    "Jwt",
    "Log",
    "MessageEndpoint",
    "Projection",
    "Proxy",
    "Server",
    "Session",
    "as_shown",
    "load",
    "networks_of",
]

"""Configuration: YAML into frozen structs. The only reader of the environment.

`settings` is what a file may say, `yamlfile` a tree that knows its lines, `urls` reads the
entries of `url:`, and `loader` puts them together.
"""

from eventhub.config.access import networks_of
from eventhub.config.loader import ENVIRONMENT, load
from eventhub.config.settings import (
    Admin,
    Alert,
    Auth,
    Broker,
    Config,
    EmailService,
    FileEndpoint,
    Jwt,
    Log,
    MessageEndpoint,
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

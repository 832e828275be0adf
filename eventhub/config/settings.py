"""Settings: the sections of a configuration as frozen structs, and the whole of it: `Config`."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from eventhub.config.handlers import Endpoint
from eventhub.config.reading import Struct, seconds_of
from eventhub.masking import Masks

E = TypeVar("E", bound=Endpoint)
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
Age = Annotated[int, msgspec.Meta(ge=1, le=3650 * 86400)]
"""Seconds, of something that lasts."""


UNIX_PREFIX = "unix:"
"""Of a `server.host` that is a Unix socket: its absolute path follows."""


class Admin(Struct, frozen=True):
    """`server: {admin: ...}`: who may see metrics and health, besides programs on this machine."""

    token: str | None = None
    """A bearer token."""
    port: Port | None = None
    """Where a process without a gateway answers `/healthz`, `/readyz` and `/metrics`."""


class Tls(Struct, frozen=True):
    """`server: {tls: ...}`: the certificate with which the hub speaks HTTPS itself."""

    cert_file: str
    """The PEM file of the certificate and of those that signed it; beside the file that names it,
    unless the path is absolute."""
    key_file: str
    """The PEM file of its key, not encrypted."""
    hsts: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 365 * 86400
    """Seconds for which browsers use HTTPS only; 0 does not ask them to. Never for loopback."""


S3 = "s3://"
"""Of a `projection.snapshots.to` that is a bucket; its name and a prefix follow."""

Rate = Annotated[float, msgspec.Meta(gt=0, le=1e12)]
"""A number per second."""


class Limits(Struct, frozen=True):
    """`server: {limits: ...}`: what one user, or one address without a login, may use a second.

    The defaults are a quarter of what a hub on two cores can store, and a burst as large as an
    import of a million rows.
    """

    messages: Rate = 20_000.0
    """Messages a second, stored or refused."""
    bytes: Rate = float(32 << 20)
    """Bytes a second, received or stored: a changed row counts as a whole."""
    connects: Rate = 200.0
    """WebSockets and event streams a second."""
    burst: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 60.0
    """Seconds of each rate that may be used at once."""


class Server(Struct, frozen=True):
    """`server:`: where the hub listens, and the limits of a client."""

    host: str = "127.0.0.1"
    port: Port = 8080
    """0 picks a free port; without meaning for a Unix socket."""
    socket_access: Literal["owner", "group", "everyone"] = "group"
    """Who may connect to a Unix socket."""
    flight_port: Port | None = None
    """Where SQLHandlers serve Arrow Flight SQL; default: nowhere."""
    max_message: Annotated[int, msgspec.Meta(ge=1, le=64 << 20)] = 1 << 20
    """Bytes of one message; a message above four times this size closes the connection."""
    stalled_after: Seconds = 60.0
    """Seconds after which a client that takes none of its waiting data is closed."""
    heartbeat: Seconds = 25.0
    """Seconds of silence before a ping; below the 30 or 60 s after which proxies close."""
    max_connections_per_address: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] | None = None
    """Default: a quarter of what the system allows, with loopback exempt."""
    max_connections_per_user: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 1000
    """WebSockets, event streams and polls of one user; a page has one or two."""
    limits: Limits = Limits()
    drain: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 10.0
    """Seconds that a stop waits for unfinished work."""
    lame_duck: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    """Seconds before a stop in which the hub still serves, while `/readyz` already answers 503."""
    compression: bool = True
    """Compress large answers for clients that accept it."""
    hosts: list[str] | None = None
    """Names that the hub answers to; default: on loopback those of loopback, otherwise any."""
    admin: Admin | None = None
    tls: Tls | None = None


class Broker(Struct, frozen=True):
    """`broker:`: the NATS servers; without `url` the hub starts its own."""

    url: str | list[str] | None = None
    token: str | None = None
    user: str | None = None
    password: str | None = None
    credentials: str | None = None
    ca_file: str | None = None
    """PEM file of those that sign the servers' certificates; default: those of the system."""
    cert_file: str | None = None
    """PEM file of a certificate for servers that ask for one."""
    key_file: str | None = None
    """PEM file of its key, not encrypted."""
    domain: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    """JetStream domain of the servers with the streams, behind a leaf node."""
    inbox_prefix: Annotated[str, msgspec.Meta(pattern=r"^[^\s.*>]+(\.[^\s.*>]+)*$")] | None = None
    """What the subjects of answers begin with."""
    replicas: Annotated[int, msgspec.Meta(ge=1, le=5)] | None = None


class Snapshots(Struct, frozen=True):
    """`projection: {snapshots: ...}`: tables that are stored for processes without any."""

    to: str | None = None
    """`broker`, `none`, a folder, or `s3://BUCKET/PREFIX`; default: `broker` with `broker.url`,
    otherwise `none`."""
    every: Annotated[int, msgspec.Meta(ge=1, le=10**9)] = 100_000
    """Events by which the log grows, in all tables, before another one is stored."""
    endpoint: str | None = None
    """URL of a store that speaks the protocol of S3; default: that of AWS."""
    region: str | None = None
    access_key_id: str | None = None
    """Default, with `secret_access_key`: the keys that programs of AWS would find."""
    secret_access_key: str | None = None
    ca_file: str | None = None
    """PEM file of those that sign the certificate of `endpoint`, besides those of the system."""

    @property
    def in_s3(self) -> bool:
        """They are stored in S3, or in a store that speaks its protocol."""
        return self.to is not None and self.to.startswith(S3)


class Projection(Struct, frozen=True):
    """`projection:`: the DuckDB file."""

    path: str | None = None
    """Default: `projection.duckdb` in the data folder."""
    snapshots: Snapshots = Snapshots()


class Archive(Struct, frozen=True):
    """`archive:`: an export of all events that is kept current."""

    to: str
    """The folder; a relative one is next to the file that names it."""
    every: str = "1h"
    """How old it may be: a number and `s`, `m`, `h` or `d`."""

    @property
    def every_seconds(self) -> int:
        """`every` as seconds."""
        return seconds_of(self.every)


class EmailService(Struct, frozen=True):
    """`email: {NAME: ...}`: one mail service."""

    type: Literal["smtp", "smtps", "gmail", "stub"] = "smtp"
    host: str | None = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    tls: bool | None = None
    """STARTTLS for `smtp`; default: true for gmail, otherwise unless the server is on loopback."""
    email: str | None = None
    """User name, and the sender of alerts without `from`."""
    password: str | None = None


class Jwt(Struct, frozen=True):
    """`auth: {jwt: ...}`: bearer tokens (RFC 7519)."""

    secret: str | None = None
    public_key: str | None = None
    jwks: str | None = None
    algorithms: list[str] | None = None
    audience: str | list[str] | None = None
    issuer: str | None = None
    user_claim: str = "sub"
    require_exp: bool = True
    """Refuse tokens that never expire."""
    max_age: Age = 30 * 86400
    """Seconds that a token may be valid, and that its connection may last."""


class Proxy(Struct, frozen=True):
    """`auth: {proxy: ...}`: a reverse proxy whose headers are trusted."""

    trusted: list[str] | Literal["any"]
    """Addresses or networks whose headers are trusted; `any` trusts every client."""
    header: str | None = None
    """Names the user; without it the proxy names none."""


class Session(Struct, frozen=True):
    """`auth: {session: ...}`: the session cookie."""

    secret: str | None = None
    """Default: a random one, kept in the data folder."""
    cookie: str | None = None
    """Its name; by default one that depends on the secret, with `__Host-` over TLS."""
    max_age: Age = 31 * 86400
    """Seconds without use after which the session ends."""
    max_life: Age = 90 * 86400
    """Seconds after which the session ends in any case."""
    secure: bool | None = None
    """Send the cookie over HTTPS only; default: if the request came by HTTPS."""
    samesite: Literal["lax", "strict", "none"] = "lax"
    """From which sites' pages it is sent; `none`: from all, and over HTTPS only."""
    partitioned: bool | None = None
    """Keep one cookie for each site that embeds the hub; default: with `samesite: none`."""


class Auth(Struct, frozen=True):
    """`auth:`: how users are identified."""

    jwt: Jwt | None = None
    proxy: Proxy | None = None
    session: Session = Session()
    query: bool = False
    """Accept a token in the URL of a WebSocket or an event stream, as `_token`."""


class Console(Struct, frozen=True):
    """`console:`: the page at `/-/` for those who run, develop or audit a hub."""

    auth: bool | dict[str, Any]
    """Who may open it: as `auth` of an endpoint."""


class Logging(Struct, frozen=True):
    """`log:`: what the hub logs about itself, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """`auto`: console on a terminal, otherwise JSON."""
    access: bool = False
    """Write a line for each request, and for each connection at its end."""


class Config(Struct, frozen=True):
    """One configuration, with variables replaced and imports merged."""

    path: Path
    """The YAML file. Expressions can import modules from its folder."""
    data: Path
    """Where the broker and the projection keep their files."""
    server: Server = Server()
    broker: Broker = Broker()
    projection: Projection = Projection()
    archive: Archive | None = None
    email: dict[str, EmailService] = {}
    auth: Auth = Auth()
    log: Logging = Logging()
    console: Console | None = None
    """Without it, the console is for browsers on the machine of a hub that listens on loopback."""
    endpoints: tuple[Endpoint, ...] = ()
    """The entries of `url:` that are served, in the order of the file."""
    warnings: tuple[str, ...] = ()
    """What the file contains that has no effect, a line each."""
    masks: Masks = msgspec.field(default_factory=Masks)
    """The secrets in it."""
    sources: tuple[Path, ...] = ()
    """Every file that was read: the YAML, its imports, and the files of secrets."""

    def of_kind(self, kind: type[E]) -> tuple[E, ...]:
        """Return the endpoints of one kind, in the order of the file."""
        return tuple(endpoint for endpoint in self.endpoints if isinstance(endpoint, kind))

"""Settings: what the sections of a configuration may say, as frozen structs."""

from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from eventhub.config.handlers import Endpoint
from eventhub.config.reading import Struct
from eventhub.masking import Masks

E = TypeVar("E", bound=Endpoint)


class Admin(Struct, frozen=True):
    """`server: {admin: ...}` who may see how the hub is, beside this machine's own programs."""

    token: str
    """A bearer token."""


class Server(Struct, frozen=True):
    """`server:` where to listen, and what a client may ask of the hub."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes a free one."""
    max_message: int = 1 << 20
    """Bytes of one message; above four times this the connection is closed."""
    stalled_after: float = 60.0
    """Seconds that a client with data waiting may take nothing before it is closed."""
    heartbeat: float = 25.0
    """Seconds of silence after which a connection is pinged; below the usual proxy's 30 or 60."""
    max_connections_per_address: int | None = None
    """Default: a quarter of all that the system allows; loopback is exempt then."""
    drain: float = 10.0
    """Seconds that a stop waits for what is under way."""
    hosts: list[str] | None = None
    """Names that the hub answers to; default: those of loopback if it listens there, else any."""
    admin: Admin | None = None


class Broker(Struct, frozen=True):
    """`broker:` the NATS servers; without `url`, an own one is started."""

    url: str | list[str] | None = None
    token: str | None = None
    user: str | None = None
    password: str | None = None
    credentials: str | None = None
    replicas: int | None = None


class Projection(Struct, frozen=True):
    """`projection:` the DuckDB file."""

    path: str | None = None
    """Default: `projection.duckdb` in the data folder."""


class EmailService(Struct, frozen=True):
    """`email: {name: ...}` one way to send mail."""

    type: Literal["smtp", "smtps", "gmail", "stub"] = "smtp"
    host: str | None = None
    port: int | None = None
    tls: bool | None = None
    """STARTTLS for `smtp`; default true for gmail, else only if the server is not on loopback."""
    email: str | None = None
    """User name, and the sender where an alert has no `from`."""
    password: str | None = None


class Jwt(Struct, frozen=True):
    """`auth: {jwt: ...}` bearer tokens (RFC 7519)."""

    secret: str | None = None
    public_key: str | None = None
    jwks: str | None = None
    algorithms: list[str] | None = None
    audience: str | list[str] | None = None
    issuer: str | None = None
    user_claim: str = "sub"
    require_exp: bool = True
    """Refuse a token that never expires."""
    max_age: int = 30 * 86400
    """Seconds that a token may be valid; a connection lasts as long at the most."""


class Proxy(Struct, frozen=True):
    """`auth: {proxy: ...}` a reverse proxy that names the user in a header."""

    header: str
    trusted: list[str] | Literal["any"]
    """Addresses or networks whose header is believed; any is everybody's."""


class Session(Struct, frozen=True):
    """`auth: {session: ...}` the session cookie."""

    secret: str | None = None
    """Default: a random one, kept in the data folder."""
    cookie: str | None = None
    """Its name; by default `__Host-eventhub` over TLS, `eventhub` otherwise."""
    max_age: int = 31 * 86400
    """Seconds without use."""
    max_life: int = 90 * 86400
    """Seconds after which a session ends, used or not."""
    secure: bool | None = None
    """Send the cookie over HTTPS only; by default if the request came so."""


class Auth(Struct, frozen=True):
    """`auth:` who users are."""

    jwt: Jwt | None = None
    proxy: Proxy | None = None
    session: Session = Session()


class Log(Struct, frozen=True):
    """`log:` how the hub reports."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """auto: console on a terminal, else json."""


class Config(Struct, frozen=True):
    """One configuration file, variables substituted, imports merged."""

    path: Path
    """The YAML file. Modules beside it can be imported by expressions."""
    data: Path
    """Where the broker and the projection keep their files."""
    server: Server = Server()
    broker: Broker = Broker()
    projection: Projection = Projection()
    email: dict[str, EmailService] = {}
    auth: Auth = Auth()
    log: Log = Log()
    endpoints: tuple[Endpoint, ...] = ()
    """The entries of `url:` that are served, in the order of the file."""
    warnings: tuple[str, ...] = ()
    """What the file says that is not served, a line each."""
    masks: Masks = msgspec.field(default_factory=Masks)
    """What of it must not be seen."""
    sources: tuple[Path, ...] = ()
    """Every file that it was read from: the YAML, its imports, and the files of secrets."""

    def of_kind(self, kind: type[E]) -> tuple[E, ...]:
        """Return the endpoints of one kind, in the order of the file."""
        return tuple(endpoint for endpoint in self.endpoints if isinstance(endpoint, kind))

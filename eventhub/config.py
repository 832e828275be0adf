"""Configuration: YAML into frozen structs. The only reader of files and of the environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from eventhub.columns import Column


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a file may say: an unknown key is an error."""


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
    drain: float = 10.0
    """Seconds that a stop waits for what is under way."""


class Broker(Struct, frozen=True):
    """`broker:` the NATS servers; without `url`, an own one is started."""

    url: str | list[str] | None = None
    token: str | None = None
    user: str | None = None
    password: str | None = None
    credentials_file: str | None = None
    replicas: int = 1


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


class Proxy(Struct, frozen=True):
    """`auth: {proxy: ...}` a reverse proxy that names the user in a header."""

    header: str
    trusted: list[str]
    """Addresses or networks whose header is believed."""


class Session(Struct, frozen=True):
    """`auth: {session: ...}` the session cookie."""

    secret: str | None = None
    """Default: a random one, kept in the data folder."""
    cookie: str = "eventhub"
    max_age: int = 31 * 86400
    """Seconds."""
    secure: bool = False
    """Send the cookie over HTTPS only."""


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


class Alert(Struct, frozen=True):
    """`alert:` of an endpoint; every text is a Jinja2 template over the message (SPEC 7)."""

    methods: list[Literal["POST", "PUT", "DELETE"]] = ["POST"]
    to: str | list[str] | None = None
    cc: str | list[str] | None = None
    bcc: str | list[str] | None = None
    from_: str | None = msgspec.field(name="from", default=None)
    reply_to: str | list[str] | None = None
    on_behalf_of: str | None = None
    subject: str | None = None
    body: str | None = None
    html: str | None = None
    markdown: str | None = None
    bodyfile: str | None = None
    htmlfile: str | None = None
    markdownfile: str | None = None
    images: dict[str, str] = {}
    attachments: list[str] | str = []
    service: str | None = None
    condition: str | None = None
    suppressible: bool = True


class MessageEndpoint(Struct, frozen=True):
    """One `handler: MessageHandler` of `url:`, with everything resolved."""

    name: str
    pattern: str
    """The URL's path, slashes collapsed."""
    table: str
    columns: tuple[Column, ...] = ()
    mirror: str | None = None
    """SQLAlchemy URL that the file names under `url:`; the DuckDB projection is kept all the same."""
    open: str | None = None
    message_default: Mapping[str, Mapping[str, Any]] = {}
    """Method to key to value: a string is an expression, anything else is itself."""
    prepare: str | None = None
    modify: str | None = None
    alert: Alert | None = None
    auth: bool | dict[str, Any] | None = None
    origins: list[str] = []
    headers: dict[str, str] = {}
    default: Mapping[str, list[str]] = {}
    """Arguments of the URL where the client gives none."""
    kwargs: Mapping[str, Any] = {}
    """As in the file, for expressions that read `handler.kwargs`."""


class FileEndpoint(Struct, frozen=True):
    """One `handler: FileHandler`: static files."""

    name: str
    pattern: str
    path: Path
    default_filename: str = "index.html"


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
    endpoints: tuple[MessageEndpoint, ...] = ()
    files: tuple[FileEndpoint, ...] = ()
    warnings: tuple[str, ...] = ()
    """What the file says that is not served, a line each."""

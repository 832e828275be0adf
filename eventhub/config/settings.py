"""Settings: what a configuration may say, as frozen structs, and how one is read from a tree."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args

import msgspec

from eventhub.columns import Column
from eventhub.config.tree import Findings, Node, joined
from eventhub.filters.arguments import Unknown
from eventhub.masking import Masks


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a file may say: an unknown key is an error."""


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


class Alert(Struct, frozen=True):
    """`alert:` of an endpoint (docs/alerts.md); texts are Jinja2 templates over the message."""

    methods: list[Literal["POST", "PUT", "DELETE"]] = msgspec.field(
        default_factory=lambda: ["POST"]
    )
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
    attachments_from: str | None = None
    """Folder of the files that templates name; without it they name none."""
    max_recipients: Annotated[int, msgspec.Meta(ge=1)] = 100
    """Of one mail; one with more is a dead letter."""
    max_per_hour: Annotated[int, msgspec.Meta(ge=1)] = 60
    """Mails to one address; ten times as many to all."""
    service: str | None = None
    condition: str | None = None
    suppressible: bool = True


TimestampWord = Literal["client", "hub", "z"]


class MessageEndpoint(Struct, frozen=True):
    """One `handler: MessageHandler` of `url:`, with everything resolved."""

    name: str
    pattern: str
    """The URL's path, slashes collapsed."""
    table: str
    columns: tuple[Column, ...] = ()
    mirror: str | None = None
    """SQLAlchemy URL that the file names under `url:`; DuckDB is kept all the same."""
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
    unknown: Unknown | None = None
    timestamps: list[TimestampWord] = msgspec.field(default_factory=lambda: ["client"])
    """`hub`: `timestamp` is the hub's time, whatever a client says. `z`: it goes out with a `Z`."""
    kwargs: Mapping[str, Any] = {}
    """As in the file, for expressions that read `handler.kwargs`."""


class FileEndpoint(Struct, frozen=True):
    """One `handler: FileHandler`: static files."""

    name: str
    pattern: str
    path: Path
    default_filename: str = "index.html"
    headers: dict[str, str] = {}


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
    masks: Masks = msgspec.field(default_factory=Masks)
    """What of it must not be seen."""
    sources: tuple[Path, ...] = ()
    """Every file that it was read from: the YAML, its imports, and the files of secrets."""


IN_FILES = frozenset(("password", "secret", "token", "credentials", "public_key"))
"""Keys whose value may stand in a file of its own: `password_file:` for `password:`."""


def read_struct(
    cls: type[msgspec.Struct], node: Node, path: str, findings: Findings, **given: Any
) -> Any:
    """Return a struct of what a mapping says; None if it has problems, which `findings` tells.

    Args:
        cls: the struct; a field that is a struct itself is read in the same way.
        node: the mapping.
        path: the dotted keys that lead to it.
        findings: where problems go.
        given: values of fields that are no keys of the mapping.
    """
    fields = {f.encode_name: f for f in msgspec.structs.fields(cls) if f.name not in given}
    before = len(findings.problems)
    values = dict(given)
    for key, member in _with_files(node, path, findings).items():
        where = joined(path, key)
        if key in fields:
            values[fields[key].name] = read_value(fields[key].type, member, where, findings)
        else:
            findings.unknown(member, path, key, fields)
    for key, known in fields.items():
        if known.required and known.name not in values:
            findings.problem(node, path, f"{key} is missing")
    return cls(**values) if len(findings.problems) == before else None


def read_value(type_: Any, node: Node, path: str, findings: Findings) -> Any:
    """Return a value as the type of a field; text becomes a number or a truth where one is due."""
    struct = _struct_in(type_)
    if struct is not None and node.value is not None:
        return read_struct(struct, node, path, findings)
    try:
        return msgspec.convert(node.plain, type_, strict=False)
    except msgspec.ValidationError as error:
        text = str(error).replace("`", "").partition(" - at ")[0]
        findings.problem(node, path, text[:1].lower() + text[1:])


def _struct_in(type_: Any) -> type[msgspec.Struct] | None:
    """Return the struct of `Struct` or `Struct | None`."""
    choices = get_args(type_) if isinstance(type_, UnionType) else (type_,)
    structs = [t for t in choices if isinstance(t, type) and issubclass(t, msgspec.Struct)]
    return structs[0] if structs else None


def _with_files(node: Node, path: str, findings: Findings) -> dict[str, Node]:
    """Return the members, each `password_file: FILE` replaced by the password in it."""
    members = {}
    for key, member in findings.mapping(node, path).items():
        name = key.removesuffix("_file")
        if name == key or name not in IN_FILES:
            members[key] = member
        elif name in node.items:
            findings.problem(member, path, f"{name} and {key} exclude each other")
        else:
            members[name] = _content(member, joined(path, key), findings)
    return members


def _content(node: Node, path: str, findings: Findings) -> Node:
    """Return the text of the file that a value names, without the line break at its end."""
    try:
        text = findings.text_of(node.folder / str(node.value))
    except (OSError, UnicodeError) as error:
        findings.problem(node, path, f"cannot be read: {error}")
        return replace(node, value="")
    secret = text.rstrip("\r\n")
    findings.masks.add_secret(secret)
    return replace(node, value=secret)

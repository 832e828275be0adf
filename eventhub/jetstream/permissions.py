"""Permissions: the subjects that each role of a hub needs, for users of external NATS servers.

What is not listed is refused: streams cannot be deleted, listed or copied. A stream is
changed by the projector and by commands only, because a changed limit would delete events; the
projector alone may purge rows, of tables whose history is sealed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final

from eventhub.channel import Channel, encode_token
from eventhub.jetstream.requests import api_of
from eventhub.signals import subject_of
from eventhub.stream import WORK_QUEUE

ROLES: Final = ("gateway", "projector", "alerts", "archiver")
HUB: Final = "hub"
"""A process with all roles."""
COMMANDS: Final = "commands"
"""The commands of an operator, such as `eventhub verify`."""
BACKUP: Final = "backup"
"""`eventhub backup` and `eventhub restore`, which copy, make and delete whole streams."""
USERS: Final = (HUB, *ROLES, COMMANDS, BACKUP)
PREFIX: Final = "eventhub-"
"""What the name of each user begins with: names are those of a whole server."""
STORES: Final[Mapping[str, Set[str]]] = {
    "access": {"gateway"},
    "alerts-dead": {"alerts"},
    "alerts-sent": {"alerts"},
    "mirrors": {"projector"},
    "segments": {"projector"},
}
"""The stores of records, and the roles that read and write each; commands do so with all."""
SNAPSHOTS: Final = "EVENTHUB_snapshots"
"""The bucket of stored snapshots: projectors write it, and gateways read it."""
SEGMENTS: Final = "EVENTHUB_segments"
"""The bucket of segments: projectors write it, and everyone reads it with the log."""
INBOX: Final = "_INBOX"
"""What the subjects of answers begin with."""


def store_of(name: str) -> tuple[str, str]:
    """Return the stream of a store of records, and what its subjects begin with."""
    return f"EVENTHUB_{name}", f"eventhub.{name}."


def inbox_of(user: str | None) -> str:
    """Return what the subjects of a user's answers begin with: no other user may read them."""
    return INBOX if not user else f"{INBOX}.{encode_token(user)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """What a configuration has in the log."""

    channels: Collection[Channel]
    mirrored: Set[str] = frozenset()
    """Tables whose rows may come from another database at the first start."""
    alerted: Set[str] = frozenset()
    """Tables with an alert."""
    trimmed: Set[str] = frozenset()
    """Tables whose history is sealed, and then leaves the stream."""
    signalled: Set[str] = frozenset()
    """Tables about which gateways say to each other what they do not store."""
    snapshots: bool = True
    """All tables are stored in these servers for processes without any."""
    domain: str | None = None
    """JetStream domain of the streams, if the servers of the users are its leaf nodes."""


@dataclass(slots=True)
class _Subjects:
    publish: list[str] = field(default_factory=list)
    subscribe: list[str] = field(default_factory=list)
    deny: list[str] = field(default_factory=list)


def permissions_of(user: str, tables: Tables) -> dict[str, Any]:
    """Return the permissions of one of `USERS`, as NATS writes them in configurations and JWTs."""
    subjects = _Subjects()
    if user == BACKUP:
        calls = ("INFO", "SNAPSHOT", "RESTORE", "DELETE")
        subjects.publish += [f"$JS.API.STREAM.{call}.*" for call in calls]
        subjects.publish += ["$JS.API.STREAM.NAMES", "$JS.SNAPSHOT.>"]
        stream, prefix = store_of("segments")
        subjects.publish += [*_api(stream, "STREAM.MSG.GET"), f"{prefix}>"]
    for channel in () if user == BACKUP else tables.channels:
        for rights in _rights(user):
            subjects.publish += _of_channel(rights, channel, tables)
        if channel.name in tables.signalled and "gateway" in _rights(user):
            subjects.publish.append(subject_of(channel, "*"))
            subjects.subscribe.append(subject_of(channel, "*"))
        if channel.name in tables.alerted:
            consumer = f"{channel.stream}.{WORK_QUEUE}"
            subjects.deny.append(f"$JS.API.CONSUMER.DELETE.{consumer}")
            if "alerts" not in _rights(user):
                subjects.deny.append(f"$JS.API.CONSUMER.MSG.NEXT.{consumer}")
    processes = subject_of(None, "processes")
    subjects.publish += [processes] * (user in (HUB, *ROLES))
    subjects.subscribe += [processes] * ("gateway" in _rights(user))
    for name, roles in STORES.items():
        if user == COMMANDS or not roles.isdisjoint(_rights(user)):
            subjects.publish += _of_store(name)
    for rights in _rights(user):
        subjects.publish += _of_snapshots(rights) if tables.snapshots else ()
        subjects.publish += _of_segments(rights)
    inbox = f"{inbox_of(PREFIX + user)}.>"
    lists = {"allow": [*dict.fromkeys(subjects.publish), inbox], "deny": subjects.deny}
    api = api_of(tables.domain)
    return {
        "publish": {
            kind: [each.replace(api_of(None), api) for each in listed]
            for kind, listed in lists.items()
            if listed
        },
        "subscribe": {"allow": [inbox, *subjects.subscribe]},
    }


def _rights(user: str) -> tuple[str, ...]:
    return ROLES if user == HUB else (user,)


def _of_channel(role: str, channel: Channel, tables: Tables) -> Iterator[str]:
    """Yield the subjects that a role publishes to for one channel."""
    stream, name = channel.stream, channel.name
    yield from _api(stream, "STREAM.INFO", "STREAM.CREATE", "STREAM.MSG.GET")
    if role == "alerts":
        if name in tables.trimmed:  # a consumer counts what is left
            yield from _api(f"{stream}.*", "CONSUMER.CREATE", "CONSUMER.DELETE")
        if name in tables.alerted:
            queue = f"{stream}.{WORK_QUEUE}"
            yield from _api(queue, "CONSUMER.CREATE", "CONSUMER.MSG.NEXT")
            yield f"$JS.ACK.{queue}.>"
        return
    yield from _api(stream, "DIRECT.GET")
    consumers = ("CONSUMER.CREATE", "CONSUMER.MSG.NEXT", "CONSUMER.DELETE")
    yield from _api(f"{stream}.*", *consumers)
    if role in ("projector", COMMANDS):
        yield from _api(stream, "STREAM.UPDATE")
    if role == "projector" and name in tables.trimmed:
        yield from _api(stream, "STREAM.PURGE", "CONSUMER.LIST")
    if role in ("gateway", COMMANDS) or (role == "projector" and name in tables.mirrored):
        yield f"{channel.prefix}*"


def _of_store(name: str) -> Iterator[str]:
    """Yield the subjects of a store: it is read, watched, changed, and its settings renewed."""
    stream, prefix = store_of(name)
    yield from _api(stream, "STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.MSG.GET")
    yield from _api(stream, "STREAM.PURGE")
    yield from _api(f"{stream}.*", "CONSUMER.CREATE", "CONSUMER.MSG.NEXT", "CONSUMER.DELETE")
    yield f"{prefix}>"


def _of_snapshots(role: str) -> Iterator[str]:
    """Yield the subjects with which a role reads, and stores, snapshots of the tables."""
    stream = f"OBJ_{SNAPSHOTS}"
    if role in ("gateway", "projector"):
        yield from _api(stream, "STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET")
    if role == "projector":
        yield from _api(stream, "STREAM.CREATE", "STREAM.UPDATE", "STREAM.PURGE")
        yield f"$O.{SNAPSHOTS}.>"


def _of_segments(role: str) -> Iterator[str]:
    """Yield the subjects with which a role reads, and stores, the sealed part of the logs."""
    stream = f"OBJ_{SEGMENTS}"
    if role == BACKUP:
        return
    yield from _api(store_of("segments")[0], "STREAM.MSG.GET")
    yield from _api(stream, "STREAM.MSG.GET", "DIRECT.GET")
    if role == "projector":
        yield from _api(stream, "STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.PURGE")
        yield f"$O.{SEGMENTS}.>"


def _api(name: str, *calls: str) -> Iterable[str]:
    return (f"$JS.API.{call}.{name}" for call in calls)


def as_jwt(tables: Tables) -> dict[str, Any]:
    """Return the permissions of each user by its name, with the words of a user's JWT."""
    found = {}
    for user in USERS:
        permissions = permissions_of(user, tables)
        found[PREFIX + user] = {"pub": permissions["publish"], "sub": permissions["subscribe"]}
    return found


def as_users(tables: Tables) -> str:
    """Return the users of a NATS server, for `include` in an account or in `authorization`."""
    lines = ["users: ["]
    for user in USERS:
        variable = f"EVENTHUB_{user.upper()}"
        lines += ["  {", f'    user: "{PREFIX}{user}"', f"    password: ${variable}"]
        lines.append("    permissions: {")
        for verb, rule in permissions_of(user, tables).items():
            lines.append(f"      {verb}: {{")
            for kind, subjects in rule.items():
                quoted = (f'          "{subject}"' for subject in subjects)
                lines += [f"        {kind}: [", *quoted, "        ]"]
            lines.append("      }")
        lines += ["    }", "  }"]
    return "\n".join([*lines, "]", ""])

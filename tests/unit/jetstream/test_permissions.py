"""Each role may do to the streams of a hub what it needs, and nothing else."""

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest

from eventhub.channel import Channel
from eventhub.columns import Columns
from eventhub.jetstream.permissions import (
    STORES,
    USERS,
    Tables,
    as_users,
    inbox_of,
    permissions_of,
    store_of,
)

TABLES = Tables(
    channels=[Channel(name, Columns(())) for name in ("chat", "with alert", "old")],
    mirrored={"old"},
    alerted={"with alert"},
    signalled={"chat"},
    trimmed={"old"},
)
ALERTED = TABLES.channels[1].stream  # type: ignore[index]
"""Its name needs encoding."""


def may(user: str, subject: str) -> bool:
    """Return whether a user may publish to a subject; `*` and `>` are the wildcards of NATS."""
    publish: dict[str, Any] = permissions_of(user, TABLES)["publish"]
    allowed, denied = (
        any(_matches(pattern, subject) for pattern in publish.get(kind, ()))
        for kind in ("allow", "deny")
    )
    return allowed and not denied


def _matches(pattern: str, subject: str) -> bool:
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        return len(given) >= len(wanted) and _matches(
            ".".join(wanted[:-1]), ".".join(given[: len(wanted) - 1])
        )
    pairs = zip(wanted, given, strict=False)
    return len(wanted) == len(given) and all(a == "*" or fnmatchcase(b, a) for a, b in pairs)


@pytest.mark.parametrize(
    ("subject", "users"),
    [
        ("eh.chat.id", {"hub", "gateway", "commands"}),
        ("eh.old.id", {"hub", "gateway", "projector", "commands"}),
        ("eh.other.id", set()),
        ("eh.chat.id.more", set()),
        ("eh-now.chat.sent", {"hub", "gateway"}),
        ("eh-now.old.sent", set()),
        ("eh-now.processes", {*USERS} - {"commands", "backup"}),
        ("$JS.API.STREAM.INFO.EH_chat", {*USERS}),
        ("$JS.API.STREAM.NAMES", {"backup"}),
        ("$JS.API.STREAM.UPDATE.EH_chat", {"hub", "projector", "commands"}),
        ("$JS.API.CONSUMER.MSG.NEXT.EH_chat.follower-1", {*USERS} - {"alerts", "backup"}),
        (f"$JS.API.CONSUMER.MSG.NEXT.{ALERTED}.alerts", {"hub", "alerts"}),
        (f"$JS.ACK.{ALERTED}.alerts.1.2.3.4.5", {"hub", "alerts"}),
        ("$JS.ACK.EH_chat.alerts.1.2.3.4.5", set()),
        ("eventhub.alerts-dead.x", {"hub", "alerts", "commands"}),
        ("eventhub.access.x", {"hub", "gateway", "commands"}),
        ("eventhub.mirrors.old.x", {"hub", "projector", "commands"}),
        ("$JS.API.STREAM.PURGE.EVENTHUB_alerts-dead", {"hub", "alerts", "commands"}),
        ("$JS.API.STREAM.PURGE.EH_old", {"hub", "projector"}),
        ("$JS.API.CONSUMER.LIST.EH_old", {"hub", "projector"}),
        ("$JS.API.CONSUMER.LIST.EH_chat", set()),
        ("$JS.API.CONSUMER.CREATE.EH_old.holes-1", {*USERS} - {"backup"}),
        ("$JS.API.STREAM.MSG.GET.EVENTHUB_segments", {*USERS}),
        ("$JS.API.DIRECT.GET.OBJ_EVENTHUB_segments", {*USERS} - {"backup"}),
        ("$O.EVENTHUB_segments.C.x", {"hub", "projector"}),
    ],
)
def test_a_subject_is_for_the_roles_that_need_it(subject: str, users: set[str]) -> None:
    assert {user for user in USERS if may(user, subject)} == users


@pytest.mark.parametrize("user", [user for user in USERS if user != "backup"])
def test_no_user_deletes_events_or_reads_the_answers_of_others(user: str) -> None:
    for call in ("DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN"):
        for stream in ("EH_chat", ALERTED):
            assert not may(user, f"$JS.API.STREAM.{call}.{stream}")
    assert not may(user, f"$JS.API.CONSUMER.DELETE.{ALERTED}.alerts")
    others = (f"{inbox_of(f'eventhub-{each}')}.x" for each in USERS if each != user)
    assert not any(may(user, inbox) for inbox in others)
    [inbox, *signals] = permissions_of(user, TABLES)["subscribe"]["allow"]
    assert inbox == f"_INBOX.eventhub-{user}.>"
    hears = ["eh-now.chat.*", "eh-now.processes"]
    assert signals == (hears if user in ("hub", "gateway") else [])


def test_each_store_has_a_role_that_may_write_it() -> None:
    for name, roles in STORES.items():
        _, prefix = store_of(name)
        assert roles
        assert all(may(role, f"{prefix}key") for role in roles)


def test_snapshots_elsewhere_give_no_rights_to_the_bucket_of_the_servers() -> None:
    elsewhere = replace(TABLES, snapshots=False)
    assert any("EVENTHUB_snapshots" in str(permissions_of(user, TABLES)) for user in USERS)
    assert "EVENTHUB_snapshots" not in str([permissions_of(user, elsewhere) for user in USERS])


def test_a_name_of_a_user_is_one_token_of_its_inbox() -> None:
    assert inbox_of(None) == inbox_of("") == "_INBOX"
    assert inbox_of("hub") == "_INBOX.hub"
    assert inbox_of("a.b>").startswith("_INBOX.=")


def test_passwords_are_variables() -> None:
    text = as_users(TABLES)
    assert text.count("password: $EVENTHUB_") == len(USERS)
    assert text.count("{") == text.count("}")

"""`console:`: who may open the console at `/-/`."""

from typing import Final

from eventhub.config.access import check_rule
from eventhub.config.handlers import guarding
from eventhub.config.handlers.entry import known_members
from eventhub.config.settings import Console
from eventhub.config.tree import Findings, Node

_PATH: Final = "console"
_AUTH: Final = "console.auth"


def read(section: Node | None, findings: Findings) -> Console | None:
    """Return the section; None without it, or if it has problems, which are in the findings."""
    if section is None:
        return None
    if "auth" not in section.items:
        text = (
            "auth is missing; write `true` for every user, `membership:` or `condition:` for some"
            " users, or `false` for everybody"
        )
        findings.problem(section, _PATH, text)
        return None
    check_rule(section.items["auth"], _AUTH, findings)
    members = known_members(section, _PATH, findings, ("auth",), frozenset())
    if "auth" not in members:
        return None
    auth = guarding.auth(members["auth"], _AUTH, findings)
    return Console(auth=auth) if findings.is_sound(_PATH) else None

"""Declared: what is taken of a configuration that another user than the file's owner has sent.

A configuration is trusted like code, and an operator need not own its file. So what is rehearsed is
the configuration that is served, with those parts of the other one that only declare something:
columns, rules that are filters, addresses. Everything else stays as it is served, and is named.
Nothing is compiled that the hub does not run already (ADR-105).
"""

from typing import Any, Final

import msgspec

from eventhub.alerts.rule import filter_of
from eventhub.channel import Endpoint, endpoints_of
from eventhub.columns import Columns
from eventhub.config import Alert, ColumnRule, Config, MessageEndpoint, Rules
from eventhub.errors import Misconfigured
from eventhub.identity.decisions import is_expression
from eventhub.rehearsal.scope import HOOKS, ROWS

_PLAIN: Final = ("columns", "unknown", "timestamps")
_OF_FILE: Final = ("table", "open", *HOOKS, "quota")
"""What would matter, and is not taken."""
_WORDS: Final = (None, "any", "own", "none")
_NO_FILTER: Final = "it is no filter of the new columns; use `eventhub rehearse FILE NEWFILE`"
_ALERT_PLAIN: Final = ("methods", "max_recipients", "max_per_hour", "suppressible")
_TEMPLATES: Final = (
    *("to", "cc", "bcc", "from_", "reply_to", "on_behalf_of"),
    *("subject", "body", "html", "markdown"),
)


def declared(served: Config, sent: Config) -> tuple[Config, list[str]]:
    """Return what is served, with what the other configuration declares; and what was not taken.

    Args:
        served: by the hub.
        sent: read by `examine_text`, without problems.

    Returns:
        The second part has `PATH: KEY` of everything that differs and stays as it is served.

    Raises:
        Misconfigured: the columns of one table contradict each other, or a filter has a mistake.
        Rejected: `bad_filter`: a value of a filter does not fit its column.
    """
    others = {each.pattern: each for each in sent.of_kind(MessageEndpoint)}
    left_out: list[str] = []
    taken: list[Any] = []
    for each in served.endpoints:
        if not isinstance(each, MessageEndpoint):
            taken.append(each)
        elif (other := others.get(each.pattern)) is not None:  # otherwise its path is gone
            entry, names = _endpoint(each, other)
            taken.append(entry)
            left_out += [f"{each.pattern}: {name}" for name in names]
    config = msgspec.structs.replace(served, endpoints=tuple(taken))
    # A condition is a filter or not by the columns of all endpoints of a table.
    before = {each.name: each for each in endpoints_of(served)}
    alerts = {}
    for endpoint in endpoints_of(config):
        other, mine = others[endpoint.config.pattern], before[endpoint.name]
        alerts[endpoint.name], names = _alert(mine, endpoint.channel.columns, other.alert)
        left_out += [f"{other.pattern}: alert: {name}" for name in names]
    entries = tuple(
        msgspec.structs.replace(each, alert=alerts[each.name])
        if isinstance(each, MessageEndpoint)
        else each
        for each in config.endpoints
    )
    return msgspec.structs.replace(config, endpoints=entries), left_out


def _endpoint(old: MessageEndpoint, new: MessageEndpoint) -> tuple[MessageEndpoint, list[str]]:
    left_out = [name for name in _OF_FILE if getattr(old, name) != getattr(new, name)]
    auth = new.auth
    if isinstance(auth, dict):  # it may have a condition, which is Python
        auth = old.auth
        left_out += ["auth"] * (new.auth != old.auth)
    rules, names = _rules(old.rules or Rules(), new.rules or Rules())
    plain = {name: getattr(new, name) for name in _PLAIN}
    entry = msgspec.structs.replace(old, **plain, auth=auth, rules=rules)
    return entry, left_out + [f"rules: {name}" for name in names]


def _rules(old: Rules, new: Rules) -> tuple[Rules, list[str]]:
    """Return the rules with those of `new` that are words, filters, or as before."""
    left_out = ["send"] * (old.send != new.send)
    rows = {name: getattr(old, name) for name in ROWS}
    for name in ROWS:
        mine, its = rows[name], getattr(new, name)
        if its in _WORDS or its == mine or not is_expression(its):
            rows[name] = its
        else:
            left_out.append(name)
    columns = {}
    for column, rule in new.columns.items():
        before = old.columns.get(column, ColumnRule())
        kept = {}
        for name in ("read", "write"):
            mine, its = getattr(before, name), getattr(rule, name)
            # What is no word may be compiled here even if it does not look like an expression.
            is_taken = its in _WORDS or its == mine
            kept[name] = its if is_taken else mine
            left_out += [] if is_taken else [f"columns: {column}: {name}"]
        columns[column] = ColumnRule(**kept)
    return msgspec.structs.replace(old, **rows, columns=columns), left_out


def _alert(old: Endpoint, columns: Columns, new: Alert | None) -> tuple[Alert | None, list[str]]:
    """Return an alert with what `new` declares, or the old one if that is not all of it."""
    before = old.config.alert
    if new is None:
        return None, []
    mine = before or Alert()
    left_out = []
    for name in Alert.__struct_fields__:
        its, same = getattr(new, name), getattr(new, name) == getattr(mine, name)
        if name == "condition":
            is_taken = _is_known(its, columns, old)
        else:
            is_inert = name in _TEMPLATES and _is_inert(its)
            is_taken = same or is_inert or name in _ALERT_PLAIN
        left_out += [] if is_taken else [name.rstrip("_")]
    if not left_out:
        return new, []
    if before is not None and not _is_known(before.condition, columns, old):
        raise Misconfigured(f"url: {old.name}: alert: condition: {_NO_FILTER}")
    return before, left_out


def _is_known(condition: str | None, columns: Columns, old: Endpoint) -> bool:
    """Return whether a condition is none, a filter, or Python that the same alert runs now.

    With other columns, what was a filter may be Python, which nobody has meant to run.
    """
    if condition is None or filter_of(condition.strip(), columns) is not None:
        return True
    alert = old.config.alert
    if alert is None or alert.condition != condition:
        return False
    return filter_of(condition.strip(), old.channel.columns) is None


def _is_inert(value: str | list[str] | None) -> bool:
    """Return whether a template is only text."""
    texts = [value] if isinstance(value, str) else value or []
    return not any("{" in text for text in texts)

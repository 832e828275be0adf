"""Views: which parts of the console a caller may use, and why not the others."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypedDict

from eventhub.gateway.admin import OPERATORS_ONLY

Need = Literal["operator", "rows", "sql"]
"""What a view shows: the state of the hub, rows of an endpoint, or answers to SQL."""

VIEWS: Final[Mapping[str, Need]] = {
    "overview": "operator",
    "endpoints": "rows",
    "live": "rows",
    "row": "rows",
    "time": "rows",
    "sql": "sql",
    "connections": "operator",
    "alerts": "operator",
    "configuration": "operator",
}
"""What each view needs, in the order of the navigation; `web/views.ts` loads them."""

_REASONS: Final[Mapping[Need, str]] = {
    "operator": f"it is for operators: {OPERATORS_ONLY}",
    "rows": "there is no MessageHandler that you may use",
    "sql": "there is no SQLHandler that you may use",
}


class Access(TypedDict):
    """What a caller is told about a view."""

    needs: Need
    why_not: str | None
    """Why the caller may not use it, in words; None: the caller may."""


def views_for(has: Iterable[Need]) -> dict[str, Access]:
    """Return the views by name, in the order of the navigation.

    Args:
        has: what the caller may see.
    """
    has = set(has)
    return {
        name: {"needs": need, "why_not": None if need in has else _REASONS[need]}
        for name, need in VIEWS.items()
    }

"""What the chat accepts: `prepare:` in eventhub.yaml calls this before a message is stored."""

from typing import Any

LONGEST = {"name": 40, "room": 40, "body": 2000}
"""Characters that a column may have."""


def check(msg: dict[str, Any]) -> None:
    """Trim what was typed; refuse what is empty or too long.

    Raises:
        ValueError: its text is what the sender reads next to the message.
    """
    for column, longest in LONGEST.items():
        if column in msg or msg["_method"] == "POST":
            msg[column] = _fitting(column, str(msg.get(column) or "").strip(), longest)


def _fitting(column: str, text: str, longest: int) -> str:
    if not text:
        raise ValueError(f"The {column} is empty.")
    if len(text) > longest:
        raise ValueError(f"The {column} has {len(text)} characters; {longest} are allowed.")
    return text

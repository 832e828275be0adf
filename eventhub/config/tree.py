"""Tree: the values of a configuration with their places, and what was found wrong with them.

`Findings` collects every problem with its file and line, so that one run of `eventhub check`
reports all of them.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eventhub.errors import Misconfigured
from eventhub.masking import Masks, is_secret_name, without_texts


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the file: None, bool, int, float, str, `dict[str, Node]` or `list[Node]`."""

    value: Any
    place: str
    """`FILE:LINE` of its key, or the name of the variable or flag that set the value."""
    folder: Path
    """The folder of its file: relative paths start there."""

    @property
    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain for node in self.value]
        return self.value

    @property
    def items(self) -> dict[str, "Node"]:
        """The members of a mapping; empty for any other value."""
        return self.value if isinstance(self.value, dict) else {}


@dataclass(slots=True)
class Findings:
    """The problems and warnings of one configuration, each a line."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    masks: Masks = field(default_factory=Masks)
    """The secrets that were read so far."""
    sources: list[Path] = field(default_factory=list)
    """Every file that was read, so that none of them is ever served."""

    def text_of(self, path: Path, encoding: str = "utf-8") -> str:
        """Read a file that is part of the configuration.

        Raises:
            OSError: the file cannot be read.
            UnicodeError: the file is not text.
        """
        self.sources.append(path.resolve())
        return path.read_text(encoding)

    def problem(self, node: Node, path: str, text: str) -> None:
        """Add an error about a node; `path` is the dotted keys that lead to it."""
        self.problems.append(self._line(node, path, text))

    def warn(self, node: Node, path: str, text: str) -> None:
        """Add a warning about a node; `path` is the dotted keys that lead to it."""
        self.warnings.append(self._line(node, path, text))

    def unexpected(self, node: Node, path: str, expected: str) -> None:
        """Add the error of a value that is not what was expected; secrets are left out."""
        given = "" if _holds_secret(path) else f", not {_shown(node.plain)}"
        is_unquoted = expected.startswith("text") and isinstance(node.value, int | float)
        hint = "; put it in quotes" if is_unquoted else ""
        self.problem(node, path, f"expected {expected}{given}{hint}")

    def unknown(self, node: Node, path: str, key: str, known: Iterable[str]) -> None:
        """Add the error of an unknown key, with the nearest known one."""
        near = difflib.get_close_matches(key, list(known), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        # A key is not a value: it is shown even where values are hidden.
        line = (node.place, self.masks.mask_error(path), f"unknown key {key!r}{hint}")
        self.problems.append(": ".join(part for part in line if part))

    def mapping(self, node: Node, path: str) -> dict[str, Node]:
        """Return the members of a mapping; any other value, except an empty one, is an error."""
        if node.value is not None and not isinstance(node.value, dict):
            self.unexpected(node, path, "a mapping")
        return node.items

    def raise_if_any(self) -> None:
        """Raise `Misconfigured` with all problems, a line each, in the order of the file."""
        if self.problems:
            raise Misconfigured("\n".join(sorted(self.problems, key=_file_and_line)))

    def _line(self, node: Node, path: str, text: str) -> str:
        if _holds_secret(path):
            text = without_texts(text)
        hide = self.masks.mask_error
        return ": ".join(part for part in (node.place, hide(path), hide(text)) if part)


def _holds_secret(path: str) -> bool:
    keys = path.split(".")
    return "headers" in keys or is_secret_name(keys[-1])


def _shown(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case _:
            return repr(value)


def _file_and_line(problem: str) -> tuple[str, int]:
    """Return the file and line that a problem begins with."""
    found = re.match(r"(.*?):(\d+): ", problem)
    return (found[1], int(found[2])) if found else ("", 0)


def joined(path: str, key: str) -> str:
    """Return the dotted path of a key."""
    return f"{path}.{key}" if path else key


def merge(winner: Node, loser: Node) -> Node:
    """Return two trees as one.

    Mappings are merged key by key. Anywhere else the winner's value counts, unless it is None.
    """
    if not (isinstance(winner.value, dict) and isinstance(loser.value, dict)):
        return loser if winner.value is None else winner
    both = dict(winner.value)
    for key, node in loser.value.items():
        both[key] = merge(both[key], node) if key in both else node
    return replace(winner, value=both)

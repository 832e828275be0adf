"""Tree: a configuration's values, each with the place that it stands at, and what is found wrong.

Whatever is wrong is collected in `Findings`, each with its file and line, so that one run of
`eventhub check` reports everything.
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
    """`FILE:LINE` of the key that it stands under; the name of a variable or flag that set it."""
    folder: Path
    """What relative paths are relative to: the folder of its file."""

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
        """The members of a mapping; none for anything else."""
        return self.value if isinstance(self.value, dict) else {}


@dataclass(slots=True)
class Findings:
    """What is told of a configuration: what is wrong, and what is not served, a line each."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    masks: Masks = field(default_factory=Masks)
    """What must not be seen, of what was read so far."""
    sources: list[Path] = field(default_factory=list)
    """Every file that was read, so that none of them is ever served."""

    def text_of(self, path: Path, encoding: str = "utf-8") -> str:
        """Read a file that the configuration is made of.

        Raises:
            OSError: it cannot be read.
            UnicodeError: it is not text.
        """
        self.sources.append(path.resolve())
        return path.read_text(encoding)

    def problem(self, node: Node, path: str, text: str) -> None:
        """Add an error; `path` is the dotted keys that lead to it."""
        self.problems.append(self._line(node, path, text))

    def warn(self, node: Node, path: str, text: str) -> None:
        """Add a warning."""
        self.warnings.append(self._line(node, path, text))

    def _line(self, node: Node, path: str, text: str) -> str:
        keys = path.split(".")
        if "headers" in keys or is_secret_name(keys[-1]):
            text = without_texts(text)
        hide = self.masks.refused
        return ": ".join(part for part in (node.place, hide(path), hide(text)) if part)

    def unknown(self, node: Node, path: str, key: str, known: Iterable[str]) -> None:
        """Add the error of a key that means nothing, with the nearest one that does."""
        near = difflib.get_close_matches(key, list(known), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        # A name, not a value: told also where values are not.
        parts = (node.place, self.masks.refused(path), f"unknown key {key!r}{hint}")
        self.problems.append(": ".join(part for part in parts if part))

    def mapping(self, node: Node, path: str) -> dict[str, Node]:
        """Return the members of a mapping; anything else but an empty value is an error."""
        if node.value is not None and not isinstance(node.value, dict):
            self.problem(node, path, f"expected a mapping, not {node.plain!r}")
        return node.items

    def raise_if_any(self) -> None:
        """Raise `Misconfigured` with all problems, a line each, in the order of the file."""
        if self.problems:
            raise Misconfigured("\n".join(sorted(self.problems, key=_place)))


def _place(problem: str) -> tuple[str, int]:
    """Return file and line, which are what a problem begins with."""
    found = re.match(r"(.*?):(\d+): ", problem)
    return (found[1], int(found[2])) if found else ("", 0)


def joined(path: str, key: str) -> str:
    """Return the dotted path of a key."""
    return f"{path}.{key}" if path else key


def merged(winner: Node, loser: Node) -> Node:
    """Return both trees as one; where both have a value and not a mapping, the winner's."""
    if not (isinstance(winner.value, dict) and isinstance(loser.value, dict)):
        return loser if winner.value is None else winner
    both = dict(winner.value)
    for key, node in loser.value.items():
        both[key] = merged(both[key], node) if key in both else node
    return replace(winner, value=both)

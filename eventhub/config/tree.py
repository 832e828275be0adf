"""Tree: the values of a configuration with their places, and what was found wrong with them.

`Findings` collects every problem with its file and line, so that one run of `eventhub check`
reports all of them.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eventhub.errors import Misconfigured
from eventhub.masking import Masks, is_secret_name, without_texts

UNREAD = "(not read)"
"""Stands for the text of a file that must not be read."""
MAPPING = "a mapping (`key: value`)"
"""How a mapping is called in error messages."""
MAX_LISTED = 12
"""So many known keys are named to whom none of them is near."""


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the file: None, bool, int, float, str, `dict[str, Node]` or `list[Node]`."""

    value: Any
    place: str
    """`FILE:LINE` of its key, or the name of the variable or flag that set the value."""
    folder: Path
    """The folder of its file: relative paths start there."""
    word: str = ""
    """How a truth value or number is written in the file, if that looks like text, as `NO`."""

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


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one value; as text it is the line `FILE:LINE: KEYS: what is wrong`."""

    place: str
    """`FILE:LINE`, or the name of the variable or flag that set the value."""
    keys: str
    """The dotted keys that lead to the value."""
    text: str
    near: str | None = None
    """The known name that is nearest to the one in the file."""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.keys, self.text) if part)

    @property
    def position(self) -> tuple[str, int]:
        """The file and the line, which begins at 1; 0 if the value is not from a file."""
        file, _, line = self.place.rpartition(":")
        return (file, int(line)) if file and line.isdecimal() else (self.place, 0)

    def as_dict(self, severity: str) -> dict[str, Any]:
        """Return the finding as an object of `eventhub check --json`."""
        file, line = self.position
        where = {"file": file, "line": line or None, "keys": self.keys}
        return {"severity": severity, **where, "message": self.text, "nearest": self.near}


class InvalidConfiguration(Misconfigured):
    """A configuration with problems; the message has a line for each of them."""

    def __init__(self, problems: Iterable[Finding]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(slots=True)
class Findings:
    """The problems and warnings of one configuration."""

    problems: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    masks: Masks = field(default_factory=Masks)
    """The secrets that were read so far."""
    root: Node = Node(None, "", Path())
    """The whole tree, once it is read."""
    sources: list[Path] = field(default_factory=list)
    """Every file that was read, so that none of them is ever served."""
    gramex: str = ""
    """The place of a part that only Gramex serves; empty if the file has none."""
    pasted: str | None = None
    """The text of the first file, which another user than its owner has sent: nothing but this text
    is read, and nothing in it is run."""
    is_whole: bool = True
    """Nothing of a pasted text that could matter was left out."""

    def text_of(self, path: Path, encoding: str = "utf-8") -> str:
        """Read a file that is part of the configuration.

        Next to a pasted text no file is read: a stand-in is returned.

        Raises:
            OSError: the file cannot be read.
            UnicodeError: the file is not text.
        """
        is_first = not self.sources
        self.sources.append(path.resolve())
        if self.pasted is not None:
            return self.pasted if is_first else UNREAD
        return path.read_text(encoding)

    def problem(self, node: Node, path: str, text: str) -> None:
        """Add an error about a node; `path` is the dotted keys that lead to it."""
        if (finding := self._finding(node, path, text)) not in self.problems:
            self.problems.append(finding)

    def raised(self, error: Misconfigured) -> None:
        """Add an error of the code that compiles rules, hooks and templates.

        Its message begins with the keys, as `url: chat: origins: …`; they are followed from the
        root as far as they are keys of the file.
        """
        node, keys, text = self.root, "", error.message
        while True:
            key, _, rest = text.partition(": ")
            inner = node.items.get("kwargs") if keys.startswith("url.") else None
            if inner is not None and key not in node.items and key in inner.items:
                node, keys = inner, joined(keys, "kwargs")
            if not rest or key not in node.items:
                break
            node, keys, text = node.items[key], joined(keys, key), rest
        self.problem(node, keys, text)

    def warn(self, node: Node, path: str, text: str) -> None:
        """Add a warning about a node; `path` is the dotted keys that lead to it."""
        self.warnings.append(self._finding(node, path, text))

    def left_out(self, node: Node, path: str, text: str) -> None:
        """Warn of a part of a pasted text without which it may mean something else."""
        self.warn(node, path, text)
        self.is_whole = False

    def skipped(self, node: Node, path: str, text: str) -> None:
        """Warn of a section, import or entry that is skipped, so that files of Gramex work."""
        self.warn(node, path, text)
        self.gramex = self.gramex or node.place or path

    def unexpected(self, node: Node, path: str, expected: str, known: Iterable[str] = ()) -> None:
        """Add the error of a value that is not what was expected; secrets are left out.

        Args:
            node: the value.
            path: the dotted keys that lead to it.
            expected: what was expected.
            known: the words that are possible; the nearest one is added.
        """
        known, is_hidden = list(known), _holds_secret(path)
        given = "" if is_hidden else f", not {_shown(node)}"
        is_unquoted = expected.startswith("text") and isinstance(node.value, int | float)
        is_single = expected.startswith("a list") and isinstance(node.value, str)
        hint = "; put it in quotes" if is_unquoted else "; write [ ] around it" if is_single else ""
        words = node.plain if isinstance(node.value, list) else [node.plain]
        wrong = next((str(word) for word in words if word not in known), "")
        near = None if is_hidden else nearest(wrong, known)
        self.misspelt(node, path, f"expected {expected}{given}{hint}", near)

    def misspelt(self, node: Node, path: str, text: str, near: str | None) -> None:
        """Add the error of a name that is not known, with the nearest one, if there is any."""
        finding = self._finding(node, path, text + _did_you_mean(near))
        self.problems.append(replace(finding, near=near))

    def ambiguous(self, node: Node, path: str) -> None:
        """Report words such as `NO`, which YAML reads as false, where text may be meant."""
        for each in node.value if isinstance(node.value, list) else node.items.values():
            self.ambiguous(each, path)
        if node.word:
            text = f"YAML reads {node.word} without quotes as {_shown(replace(node, word=''))}"
            self.problem(node, path, f"{text}; if it is text, put it in quotes")

    def remote(self, node: Node, path: str) -> None:
        """Report a URL where only a path is possible: it would be a folder of that name."""
        if "://" in str(node.value):
            self.problem(node, path, "expected a path on this machine, not a URL")

    def is_sound(self, path: str) -> bool:
        """Tell whether no problem was found at or below these keys."""
        path = self.masks.mask_error(path)
        return not any(
            problem.keys.startswith(path)
            and problem.keys[len(path) : len(path) + 1] in ("", ".", "[")
            for problem in self.problems
        )

    def unknown(
        self, node: Node, path: str, key: str, known: Iterable[str], hint: str = ""
    ) -> None:
        """Add the error of an unknown key, with a hint, the nearest known one, or all of a few."""
        known = tuple(known)
        if not hint and (begin := key.partition(":")[0]) in known:
            hint = f"; a space is missing after the colon of '{begin}:'"
        near = None if hint else nearest(key, known)
        names = sorted(known)
        listed = "" if hint or near or len(names) > MAX_LISTED else f"; known: {', '.join(names)}"
        text = f"unknown key {key!r}{hint or _did_you_mean(near)}{listed}"
        # A key is not a value: it is shown even where values are hidden.
        self.problems.append(Finding(node.place, self.masks.mask_error(path), text, near))

    def mapping(self, node: Node, path: str) -> dict[str, Node]:
        """Return the members of a mapping; any other value, except an empty one, is an error."""
        if node.value is not None and not isinstance(node.value, dict):
            is_list = isinstance(node.value, list) and any(each.items for each in node.value)
            self.unexpected(node, path, MAPPING + (", without dashes" if is_list else ""))
        return node.items

    def missing(self, node: Node, path: str, key: str, hint: str = "") -> None:
        """Add the error of a missing key, unless one that is near it was reported as unknown."""
        if not any(each.near == key and each.keys == path for each in self.problems):
            self.problem(node, path, f"{key} is missing{hint}")

    def raise_if_any(self) -> None:
        """Raise `InvalidConfiguration` with all problems, in the order of the file."""
        if self.problems:
            raise InvalidConfiguration(in_order(self.problems))

    def _finding(self, node: Node, path: str, text: str) -> Finding:
        if _holds_secret(path):
            text = without_texts(text)
        return Finding(node.place, self.masks.mask_error(path), self.masks.mask_error(text))


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in the order of their files and lines."""
    return sorted(findings, key=lambda finding: finding.position)


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known word that a misspelt one was probably meant to be, in any case."""
    names = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), names, n=1, cutoff=cutoff)
    return names[found[0]] if found else None


def _did_you_mean(near: str | None) -> str:
    return "" if near is None else f" (did you mean {near!r}?)"


def _holds_secret(path: str) -> bool:
    keys = path.split(".")
    return "headers" in keys or is_secret_name(keys[-1])


def _shown(node: Node) -> str:
    match node.plain:
        case None:
            return "null"
        case bool() as value:
            shown = str(value).lower()
        case value:
            shown = repr(value)
    return f"{node.word} (which YAML reads as {shown})" if node.word else shown


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

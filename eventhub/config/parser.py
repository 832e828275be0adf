"""Parser: YAML text as a tree with line numbers, by the rules of the safe loader."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from eventhub.config.tree import Findings, Node, joined

_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = {_TAG + name for name in ("str", "timestamp", "value")}
"""A date stays text: columns convert it, and filters compare it."""
_PLAIN_WORDS = {
    "expected <block end>, but found '<block mapping start>'": (
        "this line is indented like no line above it; align it with the keys that it belongs to"
    ),
    "expected <block end>, but found '<scalar>'": (
        "text continues after a value that has ended; put the whole value in quotes"
    ),
    "expected <block end>, but found '-'": (
        "a list begins here in the middle of a mapping; align it with the lines above"
    ),
    "expected <block end>, but found '?'": "a key cannot begin here; align it with the keys above",
    "found character '\\t' that cannot start any token": (
        "a tab can neither indent a line nor follow a colon; replace it with spaces"
    ),
    "found character": "text cannot begin with one of % @ `; put it in quotes",
    "found unknown escape character": (
        "in double quotes \\ begins an escape; use single quotes, or write \\\\"
    ),
    "expected alphabetic or numeric character": (
        "* and & begin an alias and an anchor; put text that begins so in quotes"
    ),
    "found undefined alias": (
        "text that begins with * is an alias of a value that is marked with & above it, and there"
        " is none; put text in quotes"
    ),
    "but found another document": (
        "a line --- begins a second document; remove it, or make two files"
    ),
    "mapping values are not allowed here": (
        "a colon followed by a space begins a value, and none can begin here; put text that"
        " contains one in quotes, and check the indentation"
    ),
    "expected <block end>, but found '}'": "this } closes nothing; remove it",
    "expected <block end>, but found ']'": "this ] closes nothing; remove it",
    "expected <block end>": "something follows a value that has ended; check the quotes",
    "could not find expected ':'": (
        "no colon follows, so this is no key; indent a text more than its key"
    ),
    "found unexpected end of stream": "a quote or bracket that was opened is never closed",
    "expected ',' or ']'": "a list that begins with [ needs a comma or ] before this line",
    "expected ',' or '}'": "a mapping that begins with { needs a comma or } before this line",
    "expected the node content, but found '-'": "a list cannot begin in this place",
    "expected the node content, but found '<stream end>'": "the file ends where a value should be",
}
"""What messages of the YAML library mean, by how they begin, for those that people meet most."""
_FOUND_LATE = ("could not find expected ':'", "found unexpected end of stream")
"""Problems that the library finds long after the line that causes them."""
_SURPRISES = re.compile(r"(?i:y|yes|n|no|on|off)|[-+]?(0\d+|\d[\d_]*[:_][\d:_.]+)")
"""Scalars that YAML 1.1 reads as a truth value or a number, where people often mean text."""
MAX_PASTED = 20_000
"""Values of a pasted text: a few aliases of aliases can stand for more than any memory holds."""
_SCALAR_TAGS = {_TAG + name for name in ("null", "bool", "int", "float")}
_COLLECTION_TAGS = (_TAG + "map", _TAG + "seq")
_KEY_AND_TEXT = re.compile(r"(\s*(?:- )*[\w.-]+):(?!//)[^\s:].*")
"""A line with a key and a value, but without the space between them."""


class Parser:
    """Parses one YAML file."""

    def __init__(self, path: Path, findings: Findings) -> None:
        self._path = path
        self._findings = findings
        self._folder = path.parent.resolve()
        self._scalars = yaml.constructor.SafeConstructor()
        self._open: set[yaml.Node] = set()
        """Nodes that are being parsed: an alias to one of them would never end."""

    def parse(self) -> Node | None:
        """Return the root, a mapping; None, after a problem, if the file is not valid YAML.

        Raises:
            OSError: the file cannot be read.
        """
        try:
            text = self._findings.text_of(self._path, "utf-8-sig")
            return self._parsed(text)
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n")
            byte = error.object[error.start]
            self._invalid(line, f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8")
            return None

    def _parsed(self, text: str) -> Node | None:
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line if mark else 0
            line, words = _of_earlier_line(error, text) or (line, _in_words(error))
            self._invalid(line, f"invalid YAML: {words}")
            return None
        except yaml.reader.ReaderError as error:
            line = text[: error.position].count("\n")
            character = f"U+{error.character:04X}"
            self._invalid(line, f"invalid YAML: character {character} is not allowed")
            return None
        except RecursionError:
            self._invalid(0, "the values are nested too deeply")
            return None
        except yaml.YAMLError as error:
            self._invalid(0, f"invalid YAML: {error}")
            return None
        root = Node({}, f"{self._path}:1", self._folder)
        if node is None:
            return root
        if self._findings.pasted is not None and _size(node, {}) > MAX_PASTED:
            self._invalid(0, f"with its aliases the text has more than {MAX_PASTED:,} values")
            return None
        return replace(root, value=self._findings.mapping(self._tree(node, ""), ""))

    def _invalid(self, line: int, text: str) -> None:
        self._findings.problem(Node(None, f"{self._path}:{line + 1}", self._folder), "", text)

    def _tree(self, node: yaml.Node, path: str) -> Node:
        """Return a node of the library, below these dotted keys, as one of ours."""
        tree = Node(None, self._place(node), self._folder)
        if node in self._open:
            self._findings.problem(
                tree, path, "this alias refers to a value that contains it; remove it"
            )
            return tree
        self._open.add(node)
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _COLLECTION_TAGS:
            self._findings.problem(tree, path, _unknown_tag(node.tag))
        match node:
            case yaml.MappingNode():
                tree = replace(tree, value=self._members(node, path))
            case yaml.SequenceNode():
                tree = replace(tree, value=self._items(node, path))
            case _:
                tree = replace(tree, value=self._scalar(node, path))
                if _SURPRISES.fullmatch(node.value) and not isinstance(tree.value, str):
                    tree = replace(tree, word=node.value)
        self._open.remove(node)
        return tree

    def _items(self, node: yaml.SequenceNode, path: str) -> list[Node]:
        return [self._tree(item, f"{path}[{i}]") for i, item in enumerate(node.value)]

    def _members(self, node: yaml.MappingNode, path: str) -> dict[str, Node]:
        """Return the members; those inherited by `<<` come first, and its own override them."""
        inherited: dict[str, Node] = {}
        own: dict[str, Node] = {}
        for key, value in node.value:
            place = self._place(key)
            if key.tag == _TAG + "merge":
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    inherited = {**self._tree(source, path).items, **inherited}
                continue
            where = joined(path, key.value) if isinstance(key, yaml.ScalarNode) else path
            member = replace(self._tree(value, where), place=place)
            if not isinstance(key, yaml.ScalarNode):
                text = "a key must be text, a number, true or false; put text that begins with {"
                self._findings.problem(member, path, f"{text} or [ in quotes")
            elif key.value[:1].isspace():
                text = f"the key {key.value.strip()!r} is indented with another character than the"
                self._findings.problem(member, path, f"{text} space, such as U+00A0; replace it")
            elif key.value in own:
                own[key.value] = self._merged(key.value, own[key.value], member, where)
            else:
                own[key.value] = member
        return {**inherited, **own}

    def _merged(self, key: str, first: Node, second: Node, path: str) -> Node:
        """Return the value of a key that occurs twice: only a section may have two parts."""
        is_section = len(self._open) == 1 and first.items and second.items
        if is_section and not first.items.keys() & second.items.keys():
            text = f"section {key!r} occurs twice, first at {first.place}; both parts are used"
            self._findings.warn(second, path, text)
            return replace(first, value=first.items | second.items)
        self._findings.problem(second, path, f"key {key!r} occurs twice, first at {first.place}")
        return first

    def _scalar(self, node: yaml.Node, path: str) -> Any:
        if node.tag in _TEXT_TAGS:
            return node.value
        try:
            if node.tag in _SCALAR_TAGS:
                return self._scalars.construct_object(node)
        except ValueError:
            pass
        is_known = node.tag in _SCALAR_TAGS
        text = f"cannot read {node.value!r} as {node.tag.removeprefix(_TAG)}"
        tree = Node(None, self._place(node), self._folder)
        self._findings.problem(tree, path, text if is_known else _unknown_tag(node.tag))
        return None

    def _place(self, node: yaml.Node) -> str:
        return f"{self._path}:{node.start_mark.line + 1}"


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values a node has with its aliases replaced by what they stand for."""
    if id(node) not in known:
        known[id(node)] = 1  # of an alias within itself
        members = [*sum(node.value, ())] if isinstance(node, yaml.MappingNode) else node.value
        if not isinstance(node, yaml.ScalarNode):
            known[id(node)] += sum(_size(each, known) for each in members)
    return known[id(node)]


def _unknown_tag(tag: str) -> str:
    shown = f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag
    return (
        f"the tag {shown} has no meaning here; remove it, or put text that begins with ! in quotes"
    )


def _of_earlier_line(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str] | None:
    """Return the line above the one of the error that causes it, and what is wrong there.

    The library finds a key without a colon only at the next one, as text could go on for lines, and
    the end of a quotation only at the end of the file.
    """
    mark, problem, begun = error.problem_mark, error.problem or "", error.context_mark
    if problem.startswith(_FOUND_LATE) and begun is not None:
        return begun.line, _plain(problem)
    if mark is None or problem != "mapping values are not allowed here":
        return None
    lines = text.splitlines()
    if ":" in lines[mark.line][: mark.column]:
        return None
    above = next((i for i in range(mark.line - 1, -1, -1) if lines[i].strip()), None)
    if above is None:
        return None
    if key := _KEY_AND_TEXT.fullmatch(lines[above]):
        return above, f"a space is missing after the colon of {key[1].strip()!r}"
    if ":" not in lines[above]:
        return above, f"no colon follows the key {lines[above].strip()!r}"
    return None


def _plain(problem: str) -> str:
    plain = (words for begin, words in _PLAIN_WORDS.items() if problem.startswith(begin))
    return next(plain, problem)


def _in_words(error: yaml.MarkedYAMLError) -> str:
    """Return the problem, and the line of what it is a part of, if that is another one."""
    problem = _plain(error.problem or str(error))
    begun, found = error.context_mark, error.problem_mark
    if begun is None or found is None or begun.line == found.line:
        return problem
    return f"{problem} (part of what begins in line {begun.line + 1})"

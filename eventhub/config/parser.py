"""Parser: YAML text as a tree with line numbers, by the rules of the safe loader."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from eventhub.config.tree import Findings, Node
from eventhub.errors import Misconfigured

_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = {_TAG + name for name in ("str", "timestamp", "value")}
"""A date stays text: columns convert it, and filters compare it."""
_SCALAR_TAGS = {_TAG + name for name in ("null", "bool", "int", "float")}


class Parser:
    """Parses one YAML file."""

    def __init__(self, path: Path, findings: Findings) -> None:
        self._path = path
        self._findings = findings
        self._folder = path.parent.resolve()
        self._scalars = yaml.constructor.SafeConstructor()
        self._open: set[yaml.Node] = set()
        """Nodes that are being parsed: an alias to one of them would never end."""

    def parse(self) -> Node:
        """Return the root, a mapping.

        Raises:
            Misconfigured: the file cannot be read, or is not valid YAML.
        """
        try:
            node = yaml.compose(
                self._findings.text_of(self._path, "utf-8-sig"), Loader=yaml.SafeLoader
            )
        except (OSError, UnicodeError) as error:
            raise Misconfigured(f"{self._path}: cannot read the file: {error}") from error
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{self._path}:{mark.line + 1}" if mark else str(self._path)
            raise Misconfigured(f"{where}: invalid YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise Misconfigured(f"{self._path}: invalid YAML: {error}") from error
        root = Node({}, f"{self._path}:1", self._folder)
        if node is None:
            return root
        return replace(root, value=self._findings.mapping(self._tree(node), ""))

    def _tree(self, node: yaml.Node) -> Node:
        tree = Node(None, self._place(node), self._folder)
        if node in self._open:
            self._findings.problem(
                tree, "", "this alias refers to a value that contains it; remove it"
            )
            return tree
        self._open.add(node)
        match node:
            case yaml.MappingNode():
                tree = replace(tree, value=self._members(node))
            case yaml.SequenceNode():
                tree = replace(tree, value=[self._tree(item) for item in node.value])
            case _:
                tree = replace(tree, value=self._scalar(node))
        self._open.remove(node)
        return tree

    def _members(self, node: yaml.MappingNode) -> dict[str, Node]:
        """Return the members; those inherited by `<<` come first, and its own override them."""
        inherited: dict[str, Node] = {}
        own: dict[str, Node] = {}
        for key, value in node.value:
            place = self._place(key)
            if key.tag == _TAG + "merge":
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    inherited = {**self._tree(source).items, **inherited}
                continue
            member = replace(self._tree(value), place=place)
            if not isinstance(key, yaml.ScalarNode):
                self._findings.problem(member, "", "a key must be text, a number, true or false")
            elif key.value in own:
                own[key.value] = self._merged(key.value, own[key.value], member)
            else:
                own[key.value] = member
        return {**inherited, **own}

    def _merged(self, key: str, first: Node, second: Node) -> Node:
        """Return the value of a key that occurs twice: only a section may have two parts."""
        is_section = len(self._open) == 1 and first.items and second.items
        if is_section and not first.items.keys() & second.items.keys():
            text = f"section {key!r} occurs twice, first at {first.place}; both parts are used"
            self._findings.warn(second, "", text)
            return replace(first, value=first.items | second.items)
        self._findings.problem(second, "", f"key {key!r} occurs twice, first at {first.place}")
        return first

    def _scalar(self, node: yaml.Node) -> Any:
        if node.tag in _TEXT_TAGS:
            return node.value
        try:
            if node.tag in _SCALAR_TAGS:
                return self._scalars.construct_object(node)
        except ValueError:
            pass
        tree = Node(None, self._place(node), self._folder)
        self._findings.problem(
            tree, "", f"cannot read {node.value!r} as {node.tag.removeprefix(_TAG)}"
        )
        return None

    def _place(self, node: yaml.Node) -> str:
        return f"{self._path}:{node.start_mark.line + 1}"

"""A YAML file as a tree that knows its lines, with its variables and imports resolved.

Whatever is wrong is collected in `Findings`, each with its file and line, so that one run of
`eventhub check` tells everything.
"""

import difflib
import glob
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from eventhub.errors import Misconfigured

_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<bare>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)\})")
_PATTERN = re.compile(r"[*?[]")
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = {_TAG + name for name in ("str", "timestamp", "value")}
"""A date stays the text that it is: columns convert it, filters compare it."""
_SCALAR_TAGS = {_TAG + name for name in ("null", "bool", "int", "float")}


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
        self.problems.append(_line(node, path, text))

    def warn(self, node: Node, path: str, text: str) -> None:
        """Add a warning."""
        self.warnings.append(_line(node, path, text))

    def unknown(self, node: Node, path: str, key: str, known: Iterable[str]) -> None:
        """Add the error of a key that means nothing, with the nearest one that does."""
        near = difflib.get_close_matches(key, list(known), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        self.problem(node, path, f"unknown key {key!r}{hint}")

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


def _line(node: Node, path: str, text: str) -> str:
    return ": ".join(part for part in (node.place, path, text) if part)


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


def read(path: Path, environ: Mapping[str, str], findings: Findings) -> Node:
    """Return a file with its imports merged into it and all variables replaced.

    Raises:
        Misconfigured: a file cannot be read, or is not YAML; nothing else can be told then.
    """
    return _File(path, environ, findings, {}, ()).read()


class _File:
    """One file under way from text to tree."""

    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str],
        findings: Findings,
        given: Mapping[str, str],
        importers: tuple[Path, ...],
    ) -> None:
        self._path = path
        self._environ = environ
        self._findings = findings
        self._given = given
        """Variables of the file that imports this one: they win over its own."""
        self._chain = (*importers, path.resolve())
        self._folder = path.parent.resolve()
        self.variables: dict[str, str] = {}

    def read(self) -> Node:
        """Return the tree; `variables` then holds what the file and its imports define."""
        root = _Parser(self._path, self._findings).parse()
        self._define(root.items.get("variables"))
        imported = []
        for path, variables in self._imports(root.items.get("import")):
            file = _File(path, self._environ, self._findings, variables, self._chain)
            imported.append(file.read())
            self.variables = {**file.variables, **self.variables}
        tree = self._substituted(root, "")
        for other in imported:
            tree = merged(tree, other)
        return tree

    @property
    def _scope(self) -> dict[str, str]:
        """What `$NAME` may be, the strongest last."""
        own = {"YAMLPATH": str(self._folder)}
        return {"YAMLURL": "", **self._environ, **self.variables, **self._given, **own}

    def _define(self, section: Node | None) -> None:
        if section is None:
            return
        for name, node in self._findings.mapping(section, "variables").items():
            path = joined("variables", name)
            if node.items.keys() == {"default"}:
                if name in self._scope:
                    continue
                node = node.items["default"]
            if isinstance(node.value, dict | list):
                self._findings.problem(node, path, "use a plain value or {default: ...}")
                continue
            value = self._substituted(node, path).value
            self.variables[name] = "" if value is None else str(value)

    def _imports(self, section: Node | None) -> Iterator[tuple[Path, dict[str, str]]]:
        """Yield the files to import, each with the variables that it is given."""
        given = {**self.variables, **self._given}
        for path, entry in _import_entries(section):
            node = self._substituted(entry, path)
            target = node.items.get("path", node)
            extra = {k: v.value for k, v in node.items.items() if k != "path"}
            if not isinstance(target.value, str) or not all(
                isinstance(value, str) for value in extra.values()
            ):
                self._findings.problem(entry, path, "use a path, or {path: ..., VARIABLE: text}")
                continue
            for file in self._matching(target, path):
                yield file, {**given, **extra}

    def _matching(self, node: Node, path: str) -> list[Path]:
        """Return the files of a path or pattern; a pattern leaves out those that import it."""
        pattern = str(self._path.parent / node.value)
        if _PATTERN.search(node.value) and not Path(pattern).exists():
            found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
            return [file for file in found if file.resolve() not in self._chain]
        if Path(pattern).resolve() in self._chain:
            self._findings.problem(node, path, f"{node.value} imports itself")
            return []
        return [Path(pattern)]

    def _substituted(self, node: Node, path: str) -> Node:
        """Return the tree with all variables replaced, also in the names of `url:`."""
        if isinstance(node.value, str):
            return replace(node, value=self._text(node.value, node, path))
        if isinstance(node.value, list):
            items = enumerate(node.value)
            return replace(
                node, value=[self._substituted(item, f"{path}[{i}]") for i, item in items]
            )
        members = {}
        for key, member in node.items.items():
            name = self._text(key, member, path) if path == "url" else key
            members[name] = self._substituted(member, joined(path, name))
        return replace(node, value=members) if isinstance(node.value, dict) else node

    def _text(self, text: str, node: Node, path: str) -> str:
        scope = self._scope

        def value(match: re.Match[str]) -> str:
            name = match["bare"] or match["braced"]
            if name is None:
                return "$"
            if name not in scope and match["braced"]:
                self._findings.problem(
                    node, path, f"${{{name}}} is not defined (a dollar sign itself is $$)"
                )
            return scope.get(name, match[0])

        return _VARIABLE.sub(value, text) if "$" in text else text


def _import_entries(section: Node | None) -> Iterator[tuple[str, Node]]:
    """Yield the key path and node of each entry, whichever form `import:` has."""
    if section is None or section.value is None:
        return
    if isinstance(section.value, list):
        yield from ((f"import[{i}]", node) for i, node in enumerate(section.value))
    elif isinstance(section.value, dict):
        yield from ((f"import.{name}", node) for name, node in section.value.items())
    else:
        yield "import", section


class _Parser:
    """YAML text to a tree, by the safe loader's rules."""

    def __init__(self, path: Path, findings: Findings) -> None:
        self._path = path
        self._findings = findings
        self._folder = path.parent.resolve()
        self._scalars = yaml.constructor.SafeConstructor()
        self._open: set[yaml.Node] = set()
        """Nodes that are being read: an alias to one of them would never end."""

    def parse(self) -> Node:
        """Return the root, a mapping.

        Raises:
            Misconfigured: the file cannot be read, or is not YAML.
        """
        try:
            node = yaml.compose(
                self._findings.text_of(self._path, "utf-8-sig"), Loader=yaml.SafeLoader
            )
        except (OSError, UnicodeError) as error:
            raise Misconfigured(f"{self._path}: cannot be read: {error}") from error
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{self._path}:{mark.line + 1}" if mark else str(self._path)
            raise Misconfigured(f"{where}: not YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise Misconfigured(f"{self._path}: not YAML: {error}") from error
        root = Node({}, f"{self._path}:1", self._folder)
        if node is None:
            return root
        return replace(root, value=self._findings.mapping(self._tree(node), ""))

    def _tree(self, node: yaml.Node) -> Node:
        tree = Node(None, self._place(node), self._folder)
        if node in self._open:
            self._findings.problem(tree, "", "an alias inside what it stands for")
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
        """Return the members; what `<<` brings in comes first and loses."""
        brought: dict[str, Node] = {}
        own: dict[str, Node] = {}
        for key, value in node.value:
            place = self._place(key)
            if key.tag == _TAG + "merge":
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    brought = {**self._tree(source).items, **brought}
                continue
            member = replace(self._tree(value), place=place)
            if not isinstance(key, yaml.ScalarNode):
                self._findings.problem(member, "", "a key must be text")
            elif key.value in own:
                first = own[key.value].place
                self._findings.problem(member, "", f"key {key.value!r} is already at {first}")
            else:
                own[key.value] = member
        return {**brought, **own}

    def _scalar(self, node: yaml.Node) -> Any:
        if node.tag in _TEXT_TAGS:
            return node.value
        try:
            if node.tag in _SCALAR_TAGS:
                return self._scalars.construct_object(node)
        except ValueError:
            pass
        tree = Node(None, self._place(node), self._folder)
        self._findings.problem(tree, "", f"{node.value!r} is not a {node.tag.removeprefix(_TAG)}")
        return None

    def _place(self, node: yaml.Node) -> str:
        return f"{self._path}:{node.start_mark.line + 1}"

"""YAML files: a file as a tree, with conditions decided, variables replaced, imports merged."""

import glob
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from eventhub.config.imports import (
    decide_conditions,
    import_entries,
    missing_gramex_variable,
    variables_for_import,
)
from eventhub.config.parser import Parser
from eventhub.config.tree import Findings, Node, joined, merge
from eventhub.masking import HIDDEN, is_secret_name

_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<bare>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)\})")
_PATTERN = re.compile(r"[*?[]")
_CREDENTIALS = frozenset(("access_key_id", "public_key"))
"""Keys that are not secrets, and no text that somebody writes by hand."""
_BEFORE_LOGIN = re.compile(r"://(?:[^\s/@:]*:)?\Z")
_AFTER_LOGIN = re.compile(r"(?::[^\s/@]*)?@")
"""What surrounds the user and the password of a URL."""
_PLACES = ("YAMLPATH", "YAMLURL")
"""Variables that are never secrets: the folder of the file, and the prefix of its URLs."""


def read(path: Path, environ: Mapping[str, str], findings: Findings) -> Node:
    """Return a file with its imports merged into it and all variables replaced.

    A file that cannot be read, or is not valid YAML, is a problem; the rest is read nevertheless.
    """
    root = Node({}, f"{path}:1", path.parent.resolve())
    file = _File(path, environ, findings, {}, ())
    return file.read(replace(root, place=str(path)), "") or root


class _File:
    """One file that is being read."""

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
        """Variables from the file that imports this one; they override its own."""
        self._chain = (*importers, path.resolve())
        self._folder = path.parent.resolve()
        self.variables: dict[str, str] = {}

    def read(self, named: Node, keys: str) -> Node | None:
        """Return the tree; afterwards `variables` holds those of the file and of its imports.

        Args:
            named: the node that names the file, for the error if it cannot be read.
            keys: the dotted keys that lead to it.

        Returns:
            The tree, or None, after a problem, if the file cannot be read.
        """
        try:
            root = Parser(self._path, self._findings).parse()
        except OSError as error:
            name = f" {self._path}" if keys else ""
            text = f"cannot read the file{name}: {error.strerror or error}"
            self._findings.problem(named, keys, text)
            return None
        if root is None:
            return None
        self._define(root.items.get("variables"))
        root = decide_conditions(root, self._scope, self._findings)
        imported = []
        for path, variables, node, keys in self._imports(root.items.get("import")):
            file = _File(path, self._environ, self._findings, variables, self._chain)
            if (other := file.read(node, keys)) is not None:
                imported.append(other)
            self.variables = {**file.variables, **self.variables}
        tree = self._substitute(root, "")
        for other in imported:
            tree = merge(tree, other)
        return tree

    @property
    def _scope(self) -> dict[str, str]:
        """All variables; a later source overrides an earlier one."""
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
                text = "a variable must be text, a number, true or false; this one is ignored"
                self._findings.warn(node, path, text)
                continue
            value = self._substitute(node, path).value
            self.variables[name] = "" if value is None else str(value)

    def _imports(self, section: Node | None) -> Iterator[tuple[Path, dict[str, str], Node, str]]:
        """Yield each file to import, the variables for it, the node that names it, and its keys."""
        given = {**self.variables, **self._given}
        for path, entry in import_entries(section):
            if self._findings.pasted is not None:
                self._findings.left_out(entry, path, "nothing is imported here")
                continue
            target = entry.items.get("path", entry)
            if missing := missing_gramex_variable(target, self._scope):
                text = f"{missing} is a folder of Gramex and is not set; nothing is imported"
                self._findings.skipped(entry, path, text)
                continue
            target = self._substitute(target, path)
            if not isinstance(target.value, str):
                self._findings.problem(
                    entry, path, "expected a path, or {path: ..., VARIABLE: text}"
                )
                continue
            extra = variables_for_import(self._substitute(entry, path), path, self._findings)
            for file in self._matching(target, path):
                yield file, {**given, **extra}, entry, path

    def _matching(self, node: Node, path: str) -> list[Path]:
        """Return the files of a path or pattern; a pattern leaves out the files that import it."""
        pattern = str(self._path.parent / node.value)
        if _PATTERN.search(node.value) and not Path(pattern).exists():
            found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
            if not found:
                text = f"no file matches {node.value!r}; nothing is imported"
                self._findings.warn(node, path, text)
            return [file for file in found if file.resolve() not in self._chain]
        if Path(pattern).resolve() in self._chain:
            self._findings.problem(node, path, f"{node.value} imports itself")
            return []
        return [Path(pattern)]

    def _substitute(self, node: Node, path: str) -> Node:
        """Return the tree with all variables replaced, also in the keys of `url:`."""
        if isinstance(node.value, str):
            return replace(node, value=self._text(node.value, node, path))
        if isinstance(node.value, list):
            items = enumerate(node.value)
            return replace(
                node, value=[self._substitute(item, f"{path}[{i}]") for i, item in items]
            )
        members = {}
        for key, member in node.items.items():
            name = self._text(key, member, path) if path == "url" else key
            if self._is_unknown(member):
                text = "it is not checked: it is a variable of the hub's environment"
                self._findings.left_out(member, joined(path, name), text)
                continue
            members[name] = self._substitute(member, joined(path, name))
        return replace(node, value=members) if isinstance(node.value, dict) else node

    def _is_unknown(self, node: Node) -> bool:
        """Tell whether a value is a variable that a pasted text must not read."""
        if self._findings.pasted is None or not isinstance(node.value, str):
            return False
        name = _VARIABLE.fullmatch(node.value)
        return (
            name is not None
            and not name["dollar"]
            and ((name["bare"] or name["braced"]) not in self._scope)
        )

    def _text(self, text: str, node: Node, path: str) -> str:
        if "$" not in text or text.startswith("$argon2"):  # a hash has dollar signs of its own
            return text
        scope = self._scope
        if "user" not in self.variables and "user" not in self._given:
            scope.pop(
                "user", None
            )  # in rules, `$user.id` is the user, whatever the environment has

        def value(match: re.Match[str]) -> str:
            name = match["bare"] or match["braced"]
            if name is None:
                return "$"
            if name not in scope and (match["braced"] or _is_credential(match, path)):
                is_known = self._findings.pasted is None
                report = self._findings.problem if is_known else self._findings.left_out
                report(node, path, f"{match[0]} is not defined; for a dollar sign, write $$")
            return scope.get(name, match[0])

        def shown(match: re.Match[str]) -> str:
            name = match["bare"] or match["braced"]
            if name is None or name in _PLACES or name not in scope:
                return "$" if name is None else scope.get(name, match[0])
            masks.add_variable(name, scope[name])
            return HIDDEN if scope[name] else ""

        masks = self._findings.masks
        full = _VARIABLE.sub(value, text)
        if (masked := _VARIABLE.sub(shown, text)) != full:
            masks.texts[full] = masked
        return full


def _is_credential(variable: re.Match[str], path: str) -> bool:
    """Tell whether a variable is a whole secret, or a part of the login of a URL."""
    before, after = variable.string[: variable.start()], variable.string[variable.end() :]
    if not before and not after:
        key = path.rpartition(".")[2].partition("[")[0]
        return is_secret_name(key) or key in _CREDENTIALS
    return bool(_BEFORE_LOGIN.search(before) and _AFTER_LOGIN.match(after))

"""Configuration: one YAML file, the environment and flags, as one frozen `Config`.

The only reader of the environment. Flags override the environment, which overrides the file.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from eventhub.config import (
    access,
    broker,
    console,
    handlers,
    listening,
    mail_services,
    snapshots,
    yamlfile,
)
from eventhub.config.handlers import UrlSection
from eventhub.config.handlers.entry import ENTRY_KEYS
from eventhub.config.reading import PERIOD, read_struct
from eventhub.config.settings import (
    Archive,
    Auth,
    Broker,
    Config,
    Logging,
    Projection,
    Server,
)
from eventhub.config.shown import secrets_of
from eventhub.config.tree import Findings, Node, merge

ENVIRONMENT: dict[str, str] = {
    "EVENTHUB_HOST": "server.host",
    "EVENTHUB_PORT": "server.port",
    "EVENTHUB_DATA": "data",
    "EVENTHUB_BROKER_URL": "broker.url",
    "EVENTHUB_LOG_LEVEL": "log.level",
    "EVENTHUB_LOG_FORMAT": "log.format",
    "EVENTHUB_SESSION_SECRET": "auth.session.secret",
}
"""The setting that each environment variable overrides; `data` is the folder of all data."""

SECTIONS: dict[str, type[msgspec.Struct]] = {
    "server": Server,
    "broker": Broker,
    "projection": Projection,
    "auth": Auth,
    "log": Logging,
}
_KNOWN = ("url", "variables", "import", "email", "archive", "console", *SECTIONS)
GRAMEX_SECTIONS = frozenset(
    [
        "alert",
        "app",
        "cache",
        "encrypt",
        "eventlog",
        "gramexlog",
        "handlers",
        "info",
        "mime",
        "pip",
        "ratelimit",
        "schedule",
        "sms",
        "storelocations",
        "test",
        "threadpool",
        "version",
        "watch",
    ]
)
"""Sections of Gramex 1.94 that EventHub does not have: each is skipped with a warning."""
_GRAMEX_LOG = frozenset(["version", "handlers", "loggers", "formatters", "filters", "root"])


def load(
    path: Path,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    data: Path | None = None,
) -> Config:
    """Read a configuration as `examine` does.

    Raises:
        InvalidConfiguration: a line `FILE:LINE: KEYS: what is wrong` for each problem.
    """
    config, findings = examine(path, environ=environ, overrides=overrides, data=data)
    findings.raise_if_any()
    return config


def examine(
    path: Path,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    data: Path | None = None,
) -> tuple[Config, Findings]:
    """Read a configuration file, its imports, and the files of its secrets.

    Expressions are compiled, so the modules that they use are imported.

    Args:
        path: the YAML file.
        environ: the environment; by default that of the process.
        overrides: the values of flags by dotted key, such as `{"server.port": 80}`.
        data: the data folder; by default `EVENTHUB_DATA`, otherwise `data` next to the file.

    Returns:
        The configuration, and what was found wrong with it. If there are problems, the values that
        have them are left out, so that the rest can be checked; such a configuration is not served.
    """
    environ = os.environ if environ is None else environ
    data = data or Path(environ.get("EVENTHUB_DATA") or path.parent / "data")
    findings = Findings()
    return _examined(path, environ, overrides or {}, data, findings), findings


def examine_text(text: str, path: Path) -> tuple[Config, Findings]:
    """Examine a text that another user than the owner of the hub's file has sent.

    No file and no variable of the environment is read, and no expression is compiled or run, so
    less is found than by `examine`.

    Args:
        text: YAML.
        path: where the file would be; it is not read.
    """
    findings = Findings(pasted=text)
    try:
        return _examined(path, {}, {}, path.parent / "data", findings), findings
    except RecursionError:
        findings.problem(Node(None, f"{path}:1", path.parent), "", "values are nested too deeply")
        return Config(path=path, data=path.parent), findings


def _examined(
    path: Path,
    environ: Mapping[str, str],
    overrides: Mapping[str, Any],
    data: Path,
    findings: Findings,
) -> Config:
    tree = _without_gramex(yamlfile.read(path, environ, findings), findings)
    access.check_sections(tree.items.get("auth"), findings)
    tree = _override(tree, environ, overrides)
    findings.root = tree
    access.check_settings(_section(tree, "auth"), findings)
    config = _config(tree, path, data.resolve(), findings)
    for secret in secrets_of(config):
        config.masks.add_secret(secret)
    return config


def _without_gramex(tree: Node, findings: Findings) -> Node:
    """Return the tree with the sections that EventHub has."""
    kept = {}
    for key, node in tree.items.items():
        if key in GRAMEX_SECTIONS or (key == "log" and _GRAMEX_LOG & node.items.keys()):
            findings.skipped(node, key, "this section of Gramex has no effect in EventHub")
        elif key in _KNOWN:
            kept[key] = node
        else:
            findings.unknown(node, "", key, _KNOWN, _hint_of_section(key, node))
    return replace(tree, value=kept)


def _hint_of_section(key: str, node: Node) -> str:
    """Return to which section a key belongs that was written beside the sections."""
    if node.items.keys() & {*ENTRY_KEYS}:
        return " here; an entry belongs below `url:`, indented by two more spaces"
    if key in ENTRY_KEYS:
        return " here; it belongs to an entry of `url:`"
    of = [name for name, cls in SECTIONS.items() if key in cls.__struct_encode_fields__]
    return f" here; it belongs below `{of[0]}:`" if len(of) == 1 else ""


def _override(tree: Node, environ: Mapping[str, str], overrides: Mapping[str, Any]) -> Node:
    """Return the tree with the values of the environment and of flags in place of its own."""
    for variable, setting in ENVIRONMENT.items():
        if environ.get(variable) and setting != "data":
            tree = merge(_branch(setting, environ[variable], variable, tree), tree)
    for setting, value in overrides.items():
        flag = f"--{setting.rpartition('.')[2]}"
        tree = merge(_branch(setting, value, flag, tree), tree)
    return tree


def _branch(setting: str, value: Any, place: str, tree: Node) -> Node:
    """Return a tree that holds one setting."""
    node = Node(value, place, tree.folder)
    for key in reversed(setting.split(".")):
        node = Node({key: node}, place, tree.folder)
    return node


def _config(tree: Node, path: Path, data: Path, findings: Findings) -> Config:
    sections = {
        key: read_struct(cls, _section(tree, key), key, findings) for key, cls in SECTIONS.items()
    }
    email = mail_services.read(_section(tree, "email"), findings)
    urls = UrlSection(findings, services=email)
    endpoints = handlers.read(_section(tree, "url"), urls)
    sections["broker"] = broker.checked(_section(tree, "broker"), sections["broker"], findings)
    sections["projection"] = _projection(
        _section(tree, "projection"), sections["projection"], urls, findings
    )
    given = _section(tree, "server")
    listening.check(given, endpoints, findings)
    sections["server"] = listening.with_files(given, sections["server"], findings)
    sections["auth"] = _auth(_section(tree, "auth"), sections["auth"], findings)
    archive = tree.items.get("archive")
    return Config(
        path=path.resolve(),
        data=data,
        email={name: service for name, service in email.items() if service is not None},
        archive=None if archive is None else _archive(archive, findings),
        console=console.read(tree.items.get("console"), findings),
        endpoints=endpoints,
        warnings=tuple(map(str, findings.warnings)),
        masks=findings.masks,
        sources=tuple(dict.fromkeys(findings.sources)),
        **{key: section for key, section in sections.items() if section is not None},
    )


def _auth(section: Node, auth: Auth | None, findings: Findings) -> Auth | None:
    """Return `auth:` with a file of keys as an absolute path."""
    if auth is None or auth.jwt is None or (keys := auth.jwt.jwks) is None or "://" in keys:
        return auth
    folder = section.items["jwt"].items["jwks"].folder
    jwt = msgspec.structs.replace(auth.jwt, jwks=findings.masks.in_folder(folder, keys))
    return msgspec.structs.replace(auth, jwt=jwt)


def _section(tree: Node, key: str) -> Node:
    return tree.items.get(key, replace(tree, value=None))


def _archive(section: Node, findings: Findings) -> Archive | None:
    archive: Archive | None = read_struct(Archive, section, "archive", findings)
    every = section.items.get("every")
    if every and isinstance(every.value, str) and not PERIOD.fullmatch(every.value):
        findings.problem(every, "archive.every", "write a number and s, m, h or d, such as 1h")
    if archive is None:
        return None
    findings.remote(section.items["to"], "archive.to")
    folder = section.items["to"].folder / archive.to
    return msgspec.structs.replace(archive, to=str(folder.resolve()))


def _projection(
    section: Node, projection: Projection | None, urls: UrlSection, findings: Findings
) -> Projection | None:
    """Return `projection:` with absolute paths; every key that names its file must agree."""
    named = list(urls.projections)
    path = section.items.get("path")
    if path is not None and isinstance(path.value, str):
        findings.remote(path, "projection.path")
        named.insert(0, (path, "projection.path", path.folder / path.value))
    for node, key, file in named[1:]:
        if file.resolve() != named[0][2].resolve():
            findings.problem(
                node, key, f"a hub has one projection, and {named[0][1]} names another file"
            )
    if projection is None:
        return None
    stored = projection.snapshots
    if "snapshots" in section.items:
        stored = snapshots.checked(section.items["snapshots"], stored, findings)
    return msgspec.structs.replace(
        projection, path=str(named[0][2].resolve()) if named else None, snapshots=stored
    )

"""What the documentation says is what the code does: keys, defaults, codes, metrics, commands."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from eventhub import config, metrics, problems
from eventhub.cli import main
from eventhub.config import settings
from eventhub.errors import CLOSE_MEANINGS, CODES
from eventhub.filters.conditions import Operator
from eventhub.gateway.controls import FORMATS
from eventhub.gateway.encodings import MEDIA_TYPES
from eventhub.ingest.command import CONTROLS
from projections.mirror_engine import REASONS

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
NO_KEYS = {"name", "pattern", "mirror", "kwargs"}
"""Fields of endpoints that are no key under `kwargs:`; `mirror` is what `url:` became."""

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)(?P<target>[^)\s]+)\)")

SECTIONS: dict[str, type[msgspec.Struct]] = {
    "`kwargs:` of a MessageHandler": config.MessageEndpoint,
    "`kwargs:` of a FileHandler": config.FileEndpoint,
    "`kwargs:` of a SQLHandler": config.SqlEndpoint,
    "`kwargs:` of an OIDCAuth": config.OidcEndpoint,
    "`quota:`": config.Quota,
    "`limits:`": config.SqlLimits,
    "`server:`": settings.Server,
    "`server: admin:`": settings.Admin,
    "`server: limits:`": settings.Limits,
    "`broker:`": settings.Broker,
    "`projection:`": settings.Projection,
    "`projection: snapshots:`": settings.Snapshots,
    "`archive:`": settings.Archive,
    "`console:`": settings.Console,
    "`email:`": settings.EmailService,
    "`auth: jwt:`": settings.Jwt,
    "`auth: proxy:`": settings.Proxy,
    "`auth: session:`": settings.Session,
    "`log:`": settings.Logging,
    "`alert:`": config.Alert,
}
"""Heading in configuration.md to what is read there."""


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def blocks(language: str) -> list[Any]:
    """Return each fenced block as a parameter named by page and line: info string and text."""
    found_blocks = []
    for path in PAGES:
        text = path.read_text("utf-8")
        for found in _FENCE.finditer(text):
            if found["info"].split(" ")[0] == language:
                line = text.count("\n", 0, found.start()) + 1
                name = f"{path.relative_to(ROOT)}:{line}"
                found_blocks.append(pytest.param(found["info"], found["text"], id=name))
    return found_blocks


def table(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading."""
    _, found, below = text.partition(f"# {heading}\n")
    assert found, f"no heading {heading!r}"
    lines = re.search(r"^\|.*?(?=\n(?!\|))", below, re.MULTILINE | re.DOTALL)
    assert lines, f"no table below {heading!r}"
    rows = [line.strip().strip("|").split(" | ") for line in lines[0].splitlines()]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """Return a default as the tables write it."""
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    elif field.default is msgspec.NODEFAULT:
        return "required"
    else:
        default = field.default
    if default is None:
        return "none"
    if isinstance(default, str):
        return f"`{default}`"
    return f"`{msgspec.json.encode(default).decode()}`"


# --- Configuration


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_setting_is_documented_with_its_default(heading: str) -> None:
    fields = msgspec.structs.fields(SECTIONS[heading])
    expected = {f"`{f.encode_name}`": default_of(f) for f in fields if f.name not in NO_KEYS}
    documented = {row[0]: row[1] for row in table(page("configuration.md"), heading)}
    if SECTIONS[heading] is config.MessageEndpoint:
        assert documented.pop("`url`") == "none"
        assert documented.pop("`table`")  # prose: it is made from the entry's name
        assert documented.pop("`columns`") == "`{}`"  # a mapping in the file, a tuple once read
        del expected["`table`"], expected["`columns`"]
    assert documented == expected


def test_every_section_of_the_file_has_a_heading() -> None:
    sections = {f.name for f in msgspec.structs.fields(settings.Config)}
    derived = {"path", "data", "endpoints", "warnings", "sources", "masks"}
    text = page("configuration.md")
    for section in sections - derived:
        assert f"## `{section}:`\n" in text


def test_the_environments_variables_are_documented() -> None:
    documented = {
        row[0]: row[-1] for row in table(page("configuration.md"), "Environment and flags")
    }
    assert documented == {f"`{name}`": f"`{key}`" for name, key in config.ENVIRONMENT.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with the files that the examples name."""
    path = sys.path.copy()
    _forget_modules()
    (tmp_path / "mymodule.py").write_text("def my_prepare(msg, handler): pass\n")
    (tmp_path / "house_rules.py").write_text("def check(msg): pass\n")
    users = re.search(r"^```text\n(ann:.*?)^```$", page("identity.md"), re.MULTILINE | re.DOTALL)
    assert users
    (tmp_path / "users.yaml").write_text(users[1])
    (tmp_path / "oidc.secret").write_text("a secret of the client")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "chat.yaml").write_text("")
    yield tmp_path
    sys.path[:] = path
    _forget_modules()


def _forget_modules() -> None:
    """Other tests may have modules of these names, too."""
    for module in ("mymodule", "house_rules"):
        sys.modules.pop(module, None)


@pytest.mark.parametrize(("info", "text"), blocks("yaml"))
def test_yaml_in_the_docs_is_right(info: str, text: str, folder: Path) -> None:
    file = folder / "eventhub.yaml"
    file.write_text(text, "utf-8")
    loaded = config.load(file, environ={"SNAPSHOTS_SECRET": "of the environment"})
    assert not list(problems.problems_of(loaded))
    assert info == "yaml fragment" or loaded.endpoints


def test_the_readmes_file_is_what_init_writes() -> None:
    printed = re.search(
        r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.M | re.S
    )
    assert printed
    written = ROOT / "docs" / "examples" / "start" / "eventhub.yaml"
    assert yaml.safe_load(printed[1]) == yaml.safe_load(written.read_text("utf-8"))


@pytest.mark.parametrize(("info", "text"), blocks("python"))
def test_python_in_the_docs_compiles_and_imports_what_exists(info: str, text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("eventhub"):
            module = importlib.import_module(node.module or "")
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@pytest.mark.parametrize(("info", "text"), blocks("json"))
def test_json_in_the_docs_is_json(info: str, text: str) -> None:
    for line in text.splitlines():
        msgspec.json.decode(line)


# --- Protocol


def test_the_error_table_is_that_of_the_code() -> None:
    assert table(page("protocol.md"), "Errors") == [
        [f"`{name}`", str(code.http), "yes" if code.retry else "no", code.meaning]
        for name, code in CODES.items()
    ]


def test_the_controls_of_a_message_are_those_of_the_code() -> None:
    documented = [row[0].strip("`") for row in table(page("protocol.md"), "Messages")]
    assert documented == list(CONTROLS)


def test_the_formats_of_rows_are_those_of_the_code() -> None:
    rows = table(page("protocol.md"), "Formats")
    documented = {row[0].strip("`"): row[1].strip("`") for row in rows}
    assert set(documented) == set(FORMATS)
    assert documented.items() <= {(name, kind) for kind, name in MEDIA_TYPES.items()}


def test_the_table_of_a_mirrors_codes_is_that_of_the_code() -> None:
    told = {row[0]: row[1] for row in table(page("mirror.md"), "When it does not work")}
    assert told == {f"`{code}`": meaning for code, meaning in REASONS.items()}


def test_every_reason_of_a_failed_login_is_documented() -> None:
    sources = [*(ROOT / "eventhub" / "identity").glob("*.py"), ROOT / "eventhub/gateway/oidc.py"]
    code = "\n".join(path.read_text("utf-8") for path in sources)
    reasons = {*re.findall(r'LoginError\(\s*"(\w+)"', code), *re.findall(r'"(wrong_\w+)"', code)}
    rows = table(page("identity.md"), "A login at a provider")
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert documented == reasons | {"bad_token"}


def test_the_table_of_close_codes_is_that_of_the_code() -> None:
    assert table(page("protocol.md"), "Close codes") == [
        [str(int(close)), close.name, "yes" if close.reconnect else "no", meaning]
        for close, meaning in CLOSE_MEANINGS.items()
    ]


def test_every_operator_of_a_filter_is_documented() -> None:
    keys = {cell for row in table(page("filters.md"), "Filters") for cell in row[0].split(" or ")}
    spelled = {operator for operator in Operator if " " not in operator}
    assert {f"`c{operator}=v`" for operator in spelled} <= keys
    assert {"`c`", "`c=`", "`c!`", "`c!=`"} <= keys


# --- Operation


def test_the_metrics_are_those_of_the_code() -> None:
    expected = []
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "none"
            expected.append([f"`{name}`", labels, family.documentation])
    assert table(page("operations.md"), "Metrics") == expected


def commands(group: click.Group, prefix: str) -> Iterator[str]:
    if any(isinstance(each, click.Argument) for each in group.params):
        prefix += " FILE"
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}"


@pytest.mark.parametrize("command", sorted(commands(main, "eventhub")))
def test_every_command_is_documented(command: str) -> None:
    rows = table(page("operations.md"), "Commands")
    assert any(row[0].startswith((f"`{command} ", f"`{command}`")) for row in rows)


def test_the_changelog_lists_each_change_once() -> None:
    """A merge of two branches that touch it easily doubles an entry."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    entries = [" ".join(each.split()) for each in re.split(r"^(?:- |#+ .*$)", text, flags=re.M)]
    listed = [each for each in entries if each]
    assert [each for each in listed if listed.count(each) > 1] == []


# --- Links


def test_the_index_leads_to_every_page() -> None:
    linked = {found["target"].partition("#")[0] for found in _LINK.finditer(page("README.md"))}
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages - linked == set()


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    text = _FENCE.sub("", path.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for found in _LINK.finditer(_FENCE.sub("", path.read_text("utf-8"))):
        name, _, anchor = found["target"].partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), found["target"]
        assert not anchor or anchor in anchors(target), found["target"]


# --- Decisions, modules and tests that are cited

DECISIONS = ROOT / "docs" / "decisions"
SOURCES = [
    path
    for folder in ("eventhub", "projections", "clients", "tests", "docs")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".md", ".yaml", ".js", ".html"} and "node_modules" not in path.parts
]
EXAMPLES = {"mymodule.py", "house_rules.py"}
"""Files that the docs have their reader write."""

_CITED = re.compile(r"(?P<nats>NATS )?\bADR[- ]?(?P<number>\d+)")
_QUOTED = re.compile(r"`([^`\n]+)`")
_MODULE = re.compile(
    r"(?:[\w.-]+/)*[\w-]+\.py|(?:eventhub|projections|clients|tests|docs)/[\w./-]*"
)


def test_decisions_are_numbered_short_and_listed_with_their_status() -> None:
    files = sorted(DECISIONS.glob("[0-9]*.md"))
    rows = table((DECISIONS / "README.md").read_text("utf-8"), "Decisions")
    assert len(rows) == len(files)
    for number, (file, row) in enumerate(zip(files, rows, strict=True), 1):
        text = file.read_text("utf-8")
        title, status = text.splitlines()[0], text.splitlines()[2]
        assert file.name.startswith(f"{number:04d}-")
        assert [f"[ADR-{number}]({file.name})", title.removeprefix(f"# {number}. ")] == row[:2]
        assert status == f"Status: {row[2]}"
        assert len(text.splitlines()) <= 25, file.name
        for part in ("Context: ", "Decision: ", "Consequences: "):
            assert f"\n\n{part}" in text, file.name


def test_every_decision_that_is_cited_exists() -> None:
    """NATS has decisions of its own, which are cited as `NATS ADR-n`."""
    wrong = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path in {*PAGES, *SOURCES}
        for found in _CITED.finditer(path.read_text("utf-8"))
        if not found["nats"] and not _is_decision(found[0], int(found["number"]))
    ]
    assert wrong == []


def _is_decision(cited: str, number: int) -> bool:
    return cited == f"ADR-{number}" and any(DECISIONS.glob(f"{number:04d}-*.md"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_that_is_named_exists(path: Path) -> None:
    names = {source.name for source in SOURCES} | EXAMPLES
    for line in _FENCE.sub("", path.read_text("utf-8")).splitlines():
        folder = None
        for quoted in _QUOTED.findall(line):
            if not _MODULE.fullmatch(quoted):
                continue
            if "/" in quoted:
                places = [ROOT / quoted, *([folder / quoted] if folder else [])]
                found = next((place for place in places if place.exists()), None)
                assert found, f"{quoted} in: {line}"
                folder = found if found.is_dir() else found.parent
            else:  # of the folder named before it in this line, if there is one
                exists = (folder / quoted).exists() if folder else quoted in names
                assert exists, f"{quoted} in: {line}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_that_is_named_exists(path: Path) -> None:
    tests = "\n".join(source.read_text("utf-8") for source in SOURCES if source.suffix == ".py")
    defined = set(re.findall(r"def (test_\w+)", tests))
    named = set(_QUOTED.findall(path.read_text("utf-8")))
    assert {name for name in named if re.fullmatch(r"test_\w+", name)} <= defined

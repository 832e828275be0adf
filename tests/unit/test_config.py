"""A configuration file means what it says, or the start fails with the line that it is about."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from eventhub.columns import Column, Kind
from eventhub.config import (
    ENVIRONMENT,
    Config,
    FileEndpoint,
    MessageEndpoint,
    as_shown,
    load,
    networks_of,
)
from eventhub.errors import Misconfigured


@pytest.fixture(autouse=True)
def _path_as_before() -> Iterator[None]:
    path = sys.path.copy()
    yield
    sys.path[:] = path
    sys.modules.pop("mymodule", None)


class Folder:
    """A folder with configuration files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(dedent(text).lstrip("\n"), "utf-8")
        return file

    def load(self, text: str, environ: dict[str, str] | None = None, **options: Any) -> Config:
        return load(self.write("hub.yaml", text), environ=environ or {}, **options)

    def problems(self, text: str, environ: dict[str, str] | None = None) -> list[str]:
        """Return what loading the text complains about, the folder left out."""
        with pytest.raises(Misconfigured) as caught:
            self.load(text, environ)
        return caught.value.message.replace(f"{self.path}/", "").split("\n")

    def warnings(self, text: str) -> list[str]:
        return [line.replace(f"{self.path}/", "") for line in self.load(text).warnings]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def endpoint(kwargs: str, name: str = "chat") -> str:
    """Return a file with one MessageHandler; the kwargs begin in line 6."""
    head = f"url:\n  {name}:\n    pattern: /chat\n    handler: MessageHandler\n    kwargs:\n"
    return head + "".join(f"      {line}\n" for line in dedent(kwargs).strip().split("\n"))


def messages(config: Config) -> tuple[MessageEndpoint, ...]:
    return config.of_kind(MessageEndpoint)


# --- The guide's examples


def test_the_guides_first_example(folder: Folder) -> None:
    config = folder.load(
        """
        url:
          messagehandler/simple:
            pattern: /$YAMLURL/simple
            handler: MessageHandler
            kwargs:
              url: sqlite:///$YAMLPATH/messages.db
              table: simple
              columns:
                body: TEXT
        """
    )
    (served,) = messages(config)
    assert (served.name, served.pattern, served.table) == (
        "messagehandler/simple",
        "/simple",
        "simple",
    )
    assert served.columns == (Column("body"),)
    assert served.mirror == f"sqlite:///{folder.path}/messages.db"
    (warning,) = config.warnings
    assert warning.startswith(f"{folder.path}/hub.yaml:6: url.messagehandler/simple.kwargs.url: ")
    assert "mirror" in warning
    assert (config.path, config.data) == (folder.path / "hub.yaml", folder.path / "data")
    assert served.kwargs["table"] == "simple"


GUIDE = [
    "open: logging.info('MessageHandler opened by %s', handler_current_user)",
    "open: args.update(recipient=[handler.current_user.id])",
    'open: >\n  args.update({"timestamp>~": ["2023-04"]})',
    """
    message_default:
      POST:
        to: f'all@example.org'
        length: msg['message'].length
        session: handler.session['id']
      PUT:
        length: msg['message'].length
    """,
    r"""
    message_default:
      POST:
        id: base64.urlsafe_b64encode(uuid.uuid4().bytes).strip(b"=").decode('utf-8')
        user: handler.current_user.get('id', None) if handler.current_user else None
        timestamp: datetime.datetime.utcnow().isoformat()
    """,
    """
    prepare: >
      msg.update(message='MSG: ' + msg['message']) if msg['_method'] == 'POST' else ''
    """,
    "prepare: mymodule.my_prepare(msg, handler)",
    """
    modify: >
      msg.update(message='MSG: ' + msg['message']) if msg['_method'] == 'POST' else ''
    """,
    """
    alert:
      to: "{{ to }}"
      subject: "Message: {{ body }}"
      html: >
        {% import pandas as pd %}
        {% import time %}
        <p>Message from {{ user }} at {{ pd.to_datetime(time.time() * 1E9).strftime('%d %b') }}.</p>
        <p>{{ body }}</p>
    """,
    "alert:\n  methods: [POST, PUT, DELETE]",
]


@pytest.mark.parametrize("kwargs", GUIDE)
def test_the_guides_snippets_load(folder: Folder, kwargs: str) -> None:
    folder.write("mymodule.py", "def my_prepare(msg, handler): ...\n")
    (served,) = messages(folder.load(endpoint(kwargs)))
    key = dedent(kwargs).split(":")[0].strip()
    assert getattr(served, key) is not None


def test_the_guides_values_arrive_as_written(folder: Folder) -> None:
    (served,) = messages(folder.load(endpoint(GUIDE[3])))
    assert served.message_default == {
        "POST": {
            "to": "f'all@example.org'",
            "length": "msg['message'].length",
            "session": "handler.session['id']",
        },
        "PUT": {"length": "msg['message'].length"},
    }
    (alerting,) = messages(folder.load(endpoint(GUIDE[9])))
    assert alerting.alert is not None
    assert alerting.alert.methods == ["POST", "PUT", "DELETE"]


# --- Problems


def test_an_unknown_key_is_told_with_its_line_and_the_nearest_known_one(folder: Folder) -> None:
    problems = folder.problems(endpoint("colums:\n  body: TEXT"))
    assert problems == [
        "hub.yaml:6: url.chat.kwargs: unknown key 'colums' (did you mean 'columns'?)"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("servr: {}", "hub.yaml:1: unknown key 'servr' (did you mean 'server'?)"),
        ("server:\n  prt: 1", "hub.yaml:2: server: unknown key 'prt' (did you mean 'port'?)"),
        ("server:\n  port: many", "hub.yaml:2: server.port: expected int, got str"),
        ("server: 1", "hub.yaml:1: server: expected a mapping, not 1"),
        ("log: {level: loud}", "hub.yaml:1: log.level: invalid enum value 'loud'"),
        ("auth:\n  proxy:\n    header: X", "hub.yaml:2: auth.proxy: trusted is missing"),
        ("auth: {jwt: {usr: x}}", "hub.yaml:1: auth.jwt: unknown key 'usr'"),
        ("email: {a: {type: smtp}}", "hub.yaml:1: email.a: host is missing: type smtp needs one"),
        ("- a", "hub.yaml:1: expected a mapping, not ['a']"),
        ("url:\n  a: 1\n  a: 2", "hub.yaml:3: key 'a' is already at hub.yaml:2"),
        (
            "log:\n  level: info\nlog:\n  level: info",
            "hub.yaml:3: key 'log' is already at hub.yaml:1",
        ),
        ("server:\n  a if nosuch: 1", "hub.yaml:2: server.a if nosuch: 'nosuch' is no name here"),
        ("server:\n  port if 1/0: 1", "hub.yaml:2: server.port if 1/0: the condition raised Zero"),
        ("url: [", "hub.yaml:1: not YAML: "),
        ("url: !!python/name:os.system ''", "hub.yaml:1: '' is not a python/name:os.system"),
        ("x: &a [*a]", "hub.yaml:1: an alias inside what it stands for"),
        ("url: {a: {handler: MessageHandler}}", "hub.yaml:1: url.a: pattern is missing"),
        ("url: {a: {pattern: /a}}", "hub.yaml:1: url.a: handler is missing"),
        (
            "url: {a: {pattern: a, handler: MessageHandler}}",
            "hub.yaml:1: url.a.pattern: 'a' does not begin with /",
        ),
        (
            "url: {a: {pattern: '/(.*)', handler: MessageHandler}}",
            "hub.yaml:1: url.a.pattern: '/(.*)': regular expressions are not served",
        ),
        (
            "url: {a: {pattern: '/a(b|c)', handler: FileHandler, kwargs: {path: .}}}",
            "hub.yaml:1: url.a.pattern: '/a(b|c)': regular expressions are not served",
        ),
        (
            "url: {a: {pattern: /a, handler: FileHandler}}",
            "hub.yaml:1: url.a.kwargs: path is missing",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(folder: Folder, text: str, problem: str) -> None:
    assert any(line.startswith(problem) for line in folder.problems(text)), folder.problems(text)


@pytest.mark.parametrize(
    ("kwargs", "problem"),
    [
        ("table: _x", "6: url.chat.kwargs.table: a table's name is text that does not begin"),
        ("columns: {_a: TEXT}", "6: url.chat.kwargs.columns: '_a' cannot be the name of a column"),
        ("columns: {'': TEXT}", "6: url.chat.kwargs.columns: '' cannot be the name of a column"),
        ("columns: {a: TEXT, A: TEXT}", "6: url.chat.kwargs.columns: 'A' is 'a' to a database"),
        ("columns: {ID: TEXT}", "6: url.chat.kwargs.columns: 'ID' is 'id' to a database"),
        ("columns: {id: INTEGER}", "6: url.chat.kwargs.columns: id is always text"),
        ("columns: {a: BLOB}", "6: url.chat.kwargs.columns.a: unknown column type 'BLOB'"),
        (
            "columns:\n  a: {type: INTEGER, default: x}",
            '7: url.chat.kwargs.columns.a.default: a: "x" is not a whole number',
        ),
        (
            "columns: {a: {tpe: TEXT}}",
            "6: url.chat.kwargs.columns.a: unknown key 'tpe' (did you mean 'type'?)",
        ),
        ("prepare: >\n  msg.update(", "6: url.chat.kwargs.prepare: not a Python expression"),
        ("prepare: nomodule.f(msg)", "6: url.chat.kwargs.prepare: 'nomodule' is no name here"),
        ("open: msg", "6: url.chat.kwargs.open: 'msg' is no name here"),
        (
            "columns: {recipient: TEXT}\nopen: args.update(recpient=[handler.current_user.id])",
            "7: url.chat.kwargs.open: args['recpient'] would restrict nothing: 'recpient'"
            " is no column: did you mean recipient?",
        ),
        (
            "columns: {n: INTEGER}\nopen: 'args.update({\"n~\": [handler.current_user.id]})'",
            "7: url.chat.kwargs.open: args['n~'] would restrict nothing: n~= does not work",
        ),
        (
            "columns: {n: INTEGER}\nopen: args.update(n=[])",
            "7: url.chat.kwargs.open: args['n'] would restrict nothing: args['n'] must be",
        ),
        (
            "message_default:\n  POST:\n    a: x y",
            "8: url.chat.kwargs.message_default.POST.a: not a Python expression",
        ),
        (
            "message_default:\n  PTU: {}",
            "7: url.chat.kwargs.message_default: unknown key 'PTU' (did you mean 'PUT'?)",
        ),
        (
            "message_default: {PUT: {_alert: 1}}",
            "6: url.chat.kwargs.message_default.PUT._alert: keys that begin with _",
        ),
        ("alert:\n  to: 1", "7: url.chat.kwargs.alert.to: expected str | array | null, got int"),
        ("alert: {methods: GET}", "6: url.chat.kwargs.alert.methods: invalid enum value 'GET'"),
        ("auth: {memership: {}}", "6: url.chat.kwargs.auth: unknown key 'memership' (did you"),
        ("auth:\n  condition: nobody()", "7: url.chat.kwargs.auth.condition: 'nobody' is no name"),
        ("auth: maybe", "6: url.chat.kwargs.auth: expected bool, got str"),
        ("origins: {a: b}", "6: url.chat.kwargs.origins: expected array, got object"),
        ("default: {a: {b: c}}", "6: url.chat.kwargs.default.a: expected text, not {'b': 'c'}"),
        ("url: nothing", "6: url.chat.kwargs.url: 'nothing' is not the URL of a database"),
        ("url: 'duckdb:///:memory:'", "6: url.chat.kwargs.url: use duckdb:///FILE"),
    ],
)
def test_a_mistake_of_an_endpoint_is_told_with_its_place(
    folder: Folder, kwargs: str, problem: str
) -> None:
    (line,) = folder.problems(endpoint(kwargs))
    assert line.startswith(f"hub.yaml:{problem}")


def test_an_open_may_restrict_by_a_column_of_another_endpoint_of_its_table(folder: Folder) -> None:
    config = folder.load(
        """
        url:
          a:
            pattern: /a
            handler: MessageHandler
            kwargs: {table: t, open: "args.update(x=['1'])"}
          b: {pattern: /b, handler: MessageHandler, kwargs: {table: t, columns: {x: TEXT}}}
        """
    )
    assert len(config.endpoints) == 2


BLANK = ["", "null", "~", "{}", "[]", "0", "0.0", "''", "' '"]


@pytest.mark.parametrize("blank", BLANK)
@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("auth: BLANK", 6, ".auth"),
        ("auth:\n  membership: BLANK", 7, ".auth.membership"),
        ("auth:\n  condition: BLANK", 7, ".auth.condition"),
        ("auth:\n  membership: {role: [admin]}\n  condition: BLANK", 8, ".auth.condition"),
    ],
)
def test_a_blank_rule_is_no_open_door(
    folder: Folder, text: str, line: int, key: str, blank: str
) -> None:
    problems = folder.problems(endpoint(text.replace("BLANK", blank)))
    assert problems[0].startswith(f"hub.yaml:{line}: url.chat.kwargs{key}: it is blank")
    assert "write " in problems[0]
    files = "url: {a: {pattern: /a, handler: FileHandler, kwargs: {path: ., auth: BLANK}}}"
    assert "url.a.kwargs.auth: it is blank" in folder.problems(files.replace("BLANK", blank))[0]


@pytest.mark.parametrize(
    "rule",
    [
        "membership: [{}]",
        "membership: {role: }",
        "membership: {role: []}",
        "membership: {role: ''}",
        "membership: {role: [admin, null]}",
        "membership: {role: [$EMPTY]}",
        "membership: [{role: admin}, {team: }]",
        "condition: {function: }",
        "condition: {function: ''}",
        "condition: $EMPTY",
    ],
)
def test_a_rule_with_a_blank_in_it_is_told(folder: Folder, rule: str) -> None:
    text = "variables: {EMPTY: ''}\n" + endpoint("auth:\n  " + rule)
    problems = folder.problems(text)
    assert f": url.chat.kwargs.auth.{rule.split(':')[0]}: it is blank" in problems[0]


@pytest.mark.parametrize("rule", ["membership: {level: 0}", "membership: {is_guest: false}"])
def test_an_attribute_may_be_0_or_false(folder: Folder, rule: str) -> None:
    assert messages(folder.load(endpoint("auth:\n  " + rule)))[0].auth


@pytest.mark.parametrize("rule", ["table: x", "auth: false"])
def test_an_absent_auth_or_false_is_open(folder: Folder, rule: str) -> None:
    assert not messages(folder.load(endpoint(rule)))[0].auth


def test_a_condition_in_its_long_form_is_compiled(folder: Folder) -> None:
    (line,) = folder.problems(endpoint("auth:\n  condition: {function: nobody()}"))
    assert line.startswith("hub.yaml:7: url.chat.kwargs.auth.condition: 'nobody' is no name")


@pytest.mark.parametrize("hook", ["open", "prepare"])
def test_a_blank_hook_that_guards_is_told(folder: Folder, hook: str) -> None:
    (line,) = folder.problems(endpoint(f"{hook}:"))
    assert line.startswith(f"hub.yaml:6: url.chat.kwargs.{hook}: it is blank")


@pytest.mark.parametrize("blank", BLANK)
@pytest.mark.parametrize("key", ["auth", "auth.jwt", "auth.proxy", "auth.session"])
def test_a_blank_section_of_auth_is_told(folder: Folder, key: str, blank: str) -> None:
    *above, last = key.split(".")
    text = "".join(f"{name}:\n  " for name in above) + f"{last}: {blank}\n"
    problems = folder.problems(text, environ={"EVENTHUB_SESSION_SECRET": "from the environment"})
    assert problems[0].startswith(f"hub.yaml:{len(above) + 1}: {key}: it is blank: write")


@pytest.mark.parametrize(
    "text",
    [
        "jwt: {secret: '', audience: x}",
        "jwt: {secret: 0123456789abcdef0123456789abcdef, audience: }",
        "jwt: {secret: 0123456789abcdef0123456789abcdef, issuer: ''}",
        "jwt: {secret: 0123456789abcdef0123456789abcdef, algorithms: []}",
        "proxy: {header: '', trusted: [127.0.0.1]}",
        "proxy: {header: X, trusted: }",
        "proxy: {header: X, trusted: []}",
        "session: {cookie: ''}",
    ],
)
def test_a_blank_setting_of_auth_is_told(folder: Folder, text: str) -> None:
    problems = folder.problems(f"auth:\n  {text}")
    assert re.match(r"hub.yaml:2: auth.\w+.\w+: it is blank", problems[0]), problems


EVERYBODY = [
    "0.0.0.0/0",
    "::/0",
    "1.2.3.4/0",
    "0.0.0.0/1, 128.0.0.0/1",
    "0.0.0.0/2, 64.0.0.0/2, 128.0.0.0/1",
    "0.0.0.0/1, 128.0.0.0/2, 192.0.0.0/3",
    "1.0.0.0/8, 2.0.0.0/7, 4.0.0.0/6, 8.0.0.0/5, 16.0.0.0/4, 32.0.0.0/3, 64.0.0.0/2, 128.0.0.0/1",
    "::ffff:0:0/96",
    "'::ffff:0:0/97', '::ffff:128.0.0.0/97'",
    "2000::/3",
    "2000::/4, 3000::/4",
    "127.0.0.1, ::/0",
]


@pytest.mark.parametrize("networks", EVERYBODY)
def test_whoever_trusts_everybody_has_to_say_so(folder: Folder, networks: str) -> None:
    quoted = ", ".join(f"'{each.strip(chr(39))}'" for each in networks.split(", "))
    (line,) = folder.problems(f"auth:\n  proxy: {{header: X, trusted: [{quoted}]}}")
    assert line.startswith("hub.yaml:2: auth.proxy.trusted: together these are all addresses")
    assert "`trusted: any`" in line


@pytest.mark.parametrize("networks", ["any", "[any]", "[any, 10.0.0.0/8]"])
def test_any_is_trusted_with_a_warning(folder: Folder, networks: str) -> None:
    config = folder.load(f"auth:\n  proxy: {{header: X, trusted: {networks}}}")
    assert config.auth.proxy is not None
    assert [str(each) for each in networks_of(config.auth.proxy.trusted)] == ["0.0.0.0/0", "::/0"]
    (warning,) = config.warnings
    assert "hub.yaml:2: auth.proxy.trusted: any: whoever reaches the hub" in warning


@pytest.mark.parametrize("networks", ["127.0.0.1", "10.0.0.0/8, 'fd00::/8'", "128.0.0.0/1"])
def test_some_may_be_trusted(folder: Folder, networks: str) -> None:
    assert not folder.load(f"auth:\n  proxy: {{header: X, trusted: [{networks}]}}").warnings


def test_a_network_that_is_none_is_told_with_its_place(folder: Folder) -> None:
    (line,) = folder.problems("auth:\n  proxy: {header: X, trusted: [nginx]}")
    assert line.startswith("hub.yaml:2: auth.proxy.trusted: 'nginx' does not appear")


def test_all_problems_are_told_at_once(folder: Folder) -> None:
    problems = folder.problems("server: {port: x}\nlog: {lvl: 1}\nurl: {a: {pattern: /a}}\n")
    assert [line.split(": ")[1] for line in problems] == ["server.port", "log", "url.a"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"none\.yaml: cannot be read"):
        load(tmp_path / "none.yaml", environ={})


def test_two_endpoints_cannot_have_one_pattern(folder: Folder) -> None:
    text = """
        url:
          a: {pattern: /chat, handler: MessageHandler}
          b: {pattern: //chat, handler: FileHandler, kwargs: {path: .}}
    """
    assert folder.problems(text) == ["hub.yaml:3: url.b.pattern: pattern /chat is that of 'a' too"]


def test_two_endpoints_share_a_table_only_if_they_say_so(folder: Folder) -> None:
    text = """
        url:
          a/b: {pattern: /1, handler: MessageHandler}
          a_b: {pattern: /2, handler: MessageHandler, kwargs: {KWARGS}}
    """
    (problem,) = folder.problems(text.replace("KWARGS", ""))
    assert problem.endswith("default table a_b is that of 'a/b' too")
    config = folder.load(text.replace("KWARGS", "table: a_b"))
    assert [each.table for each in messages(config)] == ["a_b", "a_b"]


# --- YAML


def test_anchors_and_merge_keys_work_and_what_is_said_wins(folder: Folder) -> None:
    config = folder.load(
        """
        url:
          a:
            pattern: /a
            handler: MessageHandler
            kwargs: &base
              columns: {body: TEXT}
              headers: {X-A: 1}
          b:
            pattern: /b
            handler: MessageHandler
            kwargs:
              <<: *base
              columns: {size: INTEGER}
          c: {pattern: /c, handler: MessageHandler, kwargs: {<<: [{table: x}, *base]}}
        """
    )
    _, b, c = messages(config)
    assert b.columns == (Column("size", Kind.INTEGER),)
    assert b.headers == {"X-A": "1"}
    assert (c.table, c.columns) == ("x", (Column("body"),))


def test_keys_and_dates_are_the_text_that_they_are(folder: Folder) -> None:
    kwargs = "columns:\n  on: {type: DATE, default: 2023-01-02}\n  1: TEXT"
    (served,) = messages(folder.load(endpoint(kwargs)))
    assert served.columns == (Column("on", Kind.DATE, default="2023-01-02"), Column("1"))


@pytest.mark.parametrize("text", ["", "# nothing\n", "url:\n", "server:\nurl: {}\n"])
def test_an_empty_file_or_section_is_all_defaults(folder: Folder, text: str) -> None:
    config = folder.load(text)
    assert (config.endpoints, config.server.port, config.warnings) == ((), 8080, ())


# --- Variables


def test_variables_come_from_the_file_and_the_environment(folder: Folder) -> None:
    config = folder.load(
        """
        variables:
          TEAM: red
          PORT: {default: 1}
          HOST: {default: example.org}
          BOTH: $TEAM-${HOST}
        url:
          $TEAM/chat: {pattern: /$TEAM/$NAME, handler: MessageHandler}
        server: {port: $PORT, host: $BOTH}
        broker: {password: a$$TEAM-$nothing-$5}
        """,
        {"PORT": "7", "TEAM": "blue", "NAME": "x"},
    )
    assert (config.server.port, config.server.host) == (7, "red-example.org")
    assert (messages(config)[0].name, messages(config)[0].pattern) == ("red/chat", "/red/x")
    assert config.broker.password == "a$TEAM-$nothing-$5"


def test_a_braced_variable_must_be_defined(folder: Folder) -> None:
    (problem,) = folder.problems("broker:\n  password: ${SECRET}\n")
    assert problem.startswith("hub.yaml:2: broker.password: ${SECRET} is not defined")


# --- Imports


CHAT = """
    variables: {{WHO: {who}}}
    url:
      {name}:
        pattern: /$YAMLURL/{name}
        handler: MessageHandler
        kwargs: {{headers: {{who: $WHO, at: $YAMLPATH}}, table: {name}}}
    server: {{port: {port}, host: '{name}'}}
"""


def test_imports_merge_and_the_importing_file_wins(folder: Folder) -> None:
    folder.write("one/chat.yaml", CHAT.format(name="one", who="them", port=1))
    folder.write("two/chat.yaml", CHAT.format(name="two", who="them", port=2))
    config = folder.load(
        """
        import:
          first: one/chat.yaml
          second: {path: two/chat.yaml, YAMLURL: /app/, WHO: me}
        server: {port: 9}
        """
    )
    one, two = messages(config)
    assert (one.pattern, two.pattern) == ("/one", "/app/two")
    assert one.headers == {"who": "them", "at": str(folder.path / "one")}
    assert two.headers == {"who": "me", "at": str(folder.path / "two")}
    assert (config.server.port, config.server.host) == (9, "one")


@pytest.mark.parametrize("section", ["'*/chat.yaml'", "[one/chat.yaml, two/chat.yaml]"])
def test_imports_are_a_pattern_or_a_list_too(folder: Folder, section: str) -> None:
    folder.write("one/chat.yaml", CHAT.format(name="one", who="them", port=1))
    folder.write("two/chat.yaml", CHAT.format(name="two", who="them", port=2))
    config = folder.load(f"variables: {{WHO: us}}\nimport: {section}\n")
    assert [each.name for each in messages(config)] == ["one", "two"]
    assert {each.headers["who"] for each in messages(config)} == {"us"}


def test_a_problem_of_an_imported_file_is_told_there(folder: Folder) -> None:
    folder.write("one/chat.yaml", "server:\n  prt: 1\n")
    (problem,) = folder.problems("import: one/chat.yaml\n")
    assert problem.startswith("one/chat.yaml:2: server: unknown key 'prt'")


def test_a_section_in_two_parts_is_read_as_one(folder: Folder) -> None:
    folder.write("one/chat.yaml", CHAT.format(name="one", who="them", port=1))
    folder.write("two/chat.yaml", CHAT.format(name="two", who="them", port=2))
    text = "import: {a: one/chat.yaml}\nimport: {b: two/chat.yaml}\n"
    assert [each.name for each in messages(folder.load(text))] == ["one", "two"]
    assert folder.warnings(text) == [
        "hub.yaml:2: section 'import' is already at hub.yaml:1: both are read as one"
    ]


def test_keys_under_a_condition_count_where_it_holds(folder: Folder) -> None:
    folder.write("one/chat.yaml", CHAT.format(name="one", who="them", port=1))
    config = folder.load(
        """
        variables: {PLACE: here}
        import:
          yes if PLACE == 'here': one/chat.yaml
          no if socket.gethostname() in {'no such host'}: none.yaml
        server:
          port: 1
          port if PLACE == 'here' and os.path.exists('/'): 2
          port if PLACE == 'there': 3
        """
    )
    assert ([each.name for each in messages(config)], config.server.port) == (["one"], 2)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "import:\n  ui: {path: $GRAMEXAPPS/ui/gramex.yaml, YAMLURL: /ui/}",
            "hub.yaml:2: import.ui: $GRAMEXAPPS is part of Gramex, which is not used here:"
            " it is not imported",
        ),
        (
            "import:\n  a if gramex_x.y: none.yaml",
            "hub.yaml:2: import.a if gramex_x.y: 'gramex_x' is no name here, nor can it be"
            " imported: ModuleNotFoundError: No module named 'gramex_x': it is not imported",
        ),
        (
            "import:\n  a: {path: one/chat.yaml, KWARGS: {title: Admin}}",
            "hub.yaml:2: import.a.KWARGS: a variable is text, a number, true or false:"
            " this one has no effect",
        ),
        (
            "variables:\n  themes: [default, dark]",
            "hub.yaml:2: variables.themes: a variable is text, a number, true or false:"
            " this one has no effect",
        ),
    ],
)
def test_what_only_gramex_needs_is_a_warning(folder: Folder, text: str, warning: str) -> None:
    folder.write("one/chat.yaml", CHAT.format(name="one", who="them", port=1))
    assert folder.warnings(text) == [warning]


def test_what_gramex_has_is_imported_where_it_is_there(folder: Folder) -> None:
    folder.write("apps/ui.yaml", CHAT.format(name="ui", who="them", port=1))
    text = "import: $GRAMEXAPPS/ui.yaml"
    config = folder.load(text, {"GRAMEXAPPS": str(folder.path / "apps")})
    assert [each.name for each in messages(config)] == ["ui"]


def test_modules_beside_an_imported_file_are_found(folder: Folder) -> None:
    folder.write("one/chat.yaml", endpoint("prepare: mymodule.check(msg)"))
    folder.write("one/mymodule.py", "def check(msg): ...\n")
    assert len(messages(folder.load("import: one/chat.yaml\n"))) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import: hub.yaml", "hub.yaml:1: import: hub.yaml imports itself"),
        ("import: none.yaml", "none.yaml: cannot be read"),
        ("import: {a: 1}", "hub.yaml:1: import.a: use a path, or {path: ..., VARIABLE: text}"),
    ],
)
def test_an_import_that_cannot_be_is_told(folder: Folder, text: str, problem: str) -> None:
    (line,) = folder.problems(text)
    assert line.startswith(problem)


# --- Gramex files


def test_what_gramex_has_besides_is_skipped_with_one_warning_each(folder: Folder) -> None:
    warnings = folder.warnings(
        """
        app: {listen: {port: 80}}
        log: {version: 1, handlers: {}}
        schedule: {}
        url:
          form: {pattern: /form, handler: FormHandler, any: 1, kwargs: {url: x}}
          chat:
            pattern: /chat
            handler: gramex.handlers.MessageHandler
            priority: 10
            kwargs:
              columns: {a: {type: TEXT, primary_key: true}}
              xsrf_cookies: false
        """
    )
    assert [line.rpartition(": ")[0] for line in warnings] == [
        "hub.yaml:1: app",
        "hub.yaml:2: log",
        "hub.yaml:3: schedule",
        "hub.yaml:5: url.form",
        "hub.yaml:9: url.chat",
        "hub.yaml:12: url.chat.kwargs",
        "hub.yaml:11: url.chat.kwargs.columns.a",
    ]


@pytest.mark.parametrize(
    ("pattern", "served"), [("/(.*)", "/"), ("/static/.*", "/static/"), ("/a.html", "/a.html")]
)
def test_a_file_handlers_wildcard_is_its_folder(folder: Folder, pattern: str, served: str) -> None:
    config = folder.load(
        f"""
        url:
          files:
            pattern: '{pattern}'
            handler: FileHandler
            kwargs: {{path: $YAMLPATH/static, default_filename: x.html, template: true}}
        """
    )
    (files,) = config.of_kind(FileEndpoint)
    assert (files.pattern, files.path, files.default_filename) == (
        served,
        folder.path / "static",
        "x.html",
    )
    assert len(config.warnings) == 1


def test_files_behind_auth_are_not_served_open_to_all(folder: Folder) -> None:
    config = folder.load(
        "url: {a: {pattern: /a, handler: FileHandler, kwargs: {path: ., auth: true}}}"
    )
    assert config.endpoints == ()
    assert "files behind auth are not served" in config.warnings[0]


def test_gramexs_mail_providers_are_smtp_servers(folder: Folder) -> None:
    config = folder.load("email: {o: {type: office365, email: a@b, password: c}}")
    service = config.email["o"]
    assert (service.type, service.host, service.tls) == ("smtp", "smtp.office365.com", True)


# --- Endpoints


def test_everything_an_endpoint_may_say_arrives(folder: Folder) -> None:
    text = endpoint(
        """
        columns:
          body: {type: TEXT, nullable: false, default: none}
          size: INTEGER
          user: TEXT
        message_default: {post: {n: 1, s: "'x'"}}
        alert: {methods: 'post, Put', from: a@b, to: [c@d]}
        auth: {condition: 1 > 0, membership: {role: [admin]}, login_url: /login}
        origins: https://example.org
        headers: {X-Number: 1}
        default: {_limit: 10, topic: [a, b], flag: true}
        """
    )
    served = messages(folder.load("email: {a: {type: stub}}\n" + text))[0]
    assert served.table == "chat"
    assert served.columns == (
        Column("body", nullable=False, default="none"),
        Column("size", Kind.INTEGER),
    )
    assert served.message_default == {"POST": {"n": 1, "s": "'x'"}}
    assert served.alert is not None
    assert (served.alert.methods, served.alert.from_) == (["POST", "PUT"], "a@b")
    assert served.auth == {"condition": "1 > 0", "membership": {"role": ["admin"]}}
    assert served.origins == ["https://example.org"]
    assert served.headers == {"X-Number": "1"}
    assert served.default == {"_limit": ["10"], "topic": ["a", "b"], "flag": ["true"]}


@pytest.mark.parametrize(("value", "auth"), [("true", True), ("false", False), ("$A", True)])
def test_auth_is_a_truth_or_conditions(folder: Folder, value: str, auth: bool) -> None:
    assert messages(folder.load(endpoint(f"auth: {value}"), {"A": "true"}))[0].auth is auth


def test_an_alert_names_a_service_that_there_is(folder: Folder) -> None:
    email = "email: {office: {type: stub}}\n"
    (problem,) = folder.problems(email + endpoint("alert: {service: offce}"))
    assert problem == "hub.yaml:7: url.chat.kwargs.alert: email has no service 'offce': office"
    assert folder.load(email + endpoint("alert: {service: office}")).warnings == ()
    (warning,) = folder.warnings(endpoint("alert: {to: a@b}"))
    assert warning.endswith("there is no service under email: its mails are only shown in the log")


def test_a_duckdb_url_is_where_the_projection_is(folder: Folder) -> None:
    config = folder.load(endpoint("url: duckdb:///my.duckdb"))
    assert config.projection.path == str(folder.path / "my.duckdb")
    assert messages(config)[0].mirror is None
    assert config.warnings == ()
    same = endpoint("url: duckdb:///$YAMLPATH/my.duckdb") + "projection: {path: my.duckdb}\n"
    assert folder.load(same).projection == config.projection
    (problem,) = folder.problems(same.replace("path: my", "path: other"))
    assert problem.startswith("hub.yaml:6: url.chat.kwargs.url: the projection is one file")


# --- Secrets


def test_a_secret_may_stand_in_a_file_of_its_own(folder: Folder) -> None:
    folder.write("password", "s3cret\n")
    config = folder.load(
        """
        email: {a: {type: gmail, password_file: password}}
        auth: {jwt: {public_key_file: $YAMLPATH/password}, session: {secret_file: password}}
        broker: {token_file: password}
        """
    )
    assert config.email["a"].password == "s3cret"
    assert config.auth.jwt is not None
    assert config.auth.jwt.public_key == "s3cret"
    assert (config.auth.session.secret, config.broker.token) == ("s3cret", "s3cret")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("broker: {token_file: none}", "hub.yaml:1: broker.token_file: cannot be read: "),
        ("broker: {token_file: a, token: b}", "hub.yaml:1: broker: token and token_file exclude"),
        ("broker: {url_file: a}", "hub.yaml:1: broker: unknown key 'url_file'"),
    ],
)
def test_a_secrets_file_that_cannot_be_is_told(folder: Folder, text: str, problem: str) -> None:
    (line,) = folder.problems(text)
    assert line.startswith(problem)


def test_what_is_shown_hides_all_secrets(folder: Folder) -> None:
    text = """
        email: {a: {type: gmail, password: s3cret}}
        auth: {jwt: {secret: s3cret}, session: {secret: s3cret}}
        broker: {url: ['nats://me:s3cret@a', 'nats://s3cret@b'], token: s3cret, password: s3cret}
    """
    config = folder.load(dedent(text) + endpoint("url: postgresql://me:s3:cr@et@db/x"))
    shown = as_shown(config)
    assert "s3" not in str(shown)
    assert shown["broker"]["url"] == ["nats://***@a", "nats://***@b"]
    assert shown["endpoints"][0]["mirror"] == "postgresql://***@db/x"
    assert shown["server"]["port"] == 8080
    assert shown["broker"]["user"] is None


def test_endpoints_are_shown_in_the_order_of_the_file_with_their_handlers(folder: Folder) -> None:
    text = "url: {a: {pattern: /a, handler: FileHandler, kwargs: {path: .}},"
    shown = as_shown(folder.load(text + " b: {pattern: /b, handler: MessageHandler}}"))
    assert [(each["handler"], each["name"]) for each in shown["endpoints"]] == [
        ("FileHandler", "a"),
        ("MessageHandler", "b"),
    ]


# --- Environment and flags


def test_flags_override_the_environment_and_that_the_file(folder: Folder) -> None:
    text = "server: {host: file, port: 1, drain: 3}\n"
    environ = {"EVENTHUB_HOST": "environment", "EVENTHUB_PORT": "2"}
    config = folder.load(text, environ, overrides={"server.port": 3})
    assert (config.server.host, config.server.port, config.server.drain) == ("environment", 3, 3.0)


def test_every_documented_variable_overrides_its_setting(folder: Folder) -> None:
    values = {
        "EVENTHUB_PORT": "2",
        "EVENTHUB_DATA": "/var/lib/eventhub",
        "EVENTHUB_LOG_LEVEL": "debug",
        "EVENTHUB_LOG_FORMAT": "json",
    }
    config = folder.load("log: {version: 1}", {name: values.get(name, "x") for name in ENVIRONMENT})
    for name, setting in ENVIRONMENT.items():
        found: Any = config
        for part in setting.split("."):
            found = getattr(found, part)
        assert str(found) == values.get(name, "x"), name


def test_a_bad_value_of_the_environment_is_told_by_its_name(folder: Folder) -> None:
    (problem,) = folder.problems("", {"EVENTHUB_PORT": "http"})
    assert problem == "EVENTHUB_PORT: server.port: expected int, got str"


def test_the_data_folder_is_the_flags_then_the_environments(folder: Folder) -> None:
    environ = {"EVENTHUB_DATA": "/environment"}
    assert folder.load("", environ).data == Path("/environment")
    assert folder.load("", environ, data=Path("/flag")).data == Path("/flag")


def test_the_environment_of_the_process_is_the_default(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTHUB_PORT", "4321")
    assert load(folder.write("hub.yaml", "")).server.port == 4321

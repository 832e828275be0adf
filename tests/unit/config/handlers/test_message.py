"""A MessageHandler reads every key of the guide, and reports a mistake with its line."""

from textwrap import dedent

import pytest

from eventhub.columns import Column, Kind
from tests.unit.config.folder import Folder, endpoint, messages


def test_first_example_of_the_guide(folder: Folder) -> None:
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
    assert config.warnings == ()
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
def test_snippet_of_the_guide_loads(folder: Folder, kwargs: str) -> None:
    folder.write("mymodule.py", "def my_prepare(msg, handler): ...\n")
    (served,) = messages(folder.load(endpoint(kwargs)))
    key = dedent(kwargs).split(":")[0].strip()
    assert getattr(served, key) is not None


def test_values_of_the_guide_are_read_unchanged(folder: Folder) -> None:
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


@pytest.mark.parametrize(
    ("kwargs", "problem"),
    [
        ("table: _x", "6: url.chat.kwargs.table: the name of a table must be text"),
        ("prepare: >\n  msg.update(", "6: url.chat.kwargs.prepare: not a Python expression"),
        ("prepare: nomodule.f(msg)", "6: url.chat.kwargs.prepare: name 'nomodule' is not defined"),
        ("modify: [a]", "6: url.chat.kwargs.modify: expected a Python expression, not ['a']"),
        ("open: msg", "6: url.chat.kwargs.open: name 'msg' is not defined"),
        (
            "columns: {recipient: TEXT}\nopen: args.update(recpient=[handler.current_user.id])",
            "7: url.chat.kwargs.open: args['recpient'] would restrict nothing: 'recpient'"
            " is not a column: did you mean recipient?",
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
            "6: url.chat.kwargs.message_default.PUT._alert: _alert is a control",
        ),
        ("alert:\n  to: 1", "7: url.chat.kwargs.alert.to: expected text or a list of text, not 1"),
        (
            "alert: {methods: GET}",
            "6: url.chat.kwargs.alert.methods: expected a list of POST, PUT, DELETE, not ['GET']",
        ),
        ("default: {a: {b: c}}", "6: url.chat.kwargs.default.a: expected text, not {'b': 'c'}"),
        ("url: nothing", "6: url.chat.kwargs.url: 'nothing' is not the URL of a database"),
        (
            "url: 'duckdb:///:memory:'",
            "6: url.chat.kwargs.url: the projection is a file: write duckdb:///FILE",
        ),
    ],
)
def test_mistake_in_kwargs_is_reported_with_its_line(
    folder: Folder, kwargs: str, problem: str
) -> None:
    (reported,) = folder.problems(endpoint(kwargs))
    assert reported.startswith(f"hub.yaml:{problem}")


def test_open_may_restrict_by_a_column_that_another_entry_of_the_table_declares(
    folder: Folder,
) -> None:
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


@pytest.mark.parametrize("hook", ["open", "prepare"])
def test_blank_open_or_prepare_is_refused(folder: Folder, hook: str) -> None:
    (reported,) = folder.problems(endpoint(f"{hook}:"))
    assert reported.startswith(
        f"hub.yaml:6: url.chat.kwargs.{hook}: {hook} is blank; write an expression"
    )


def test_entries_share_a_table_only_if_one_names_it(folder: Folder) -> None:
    text = """
        url:
          a/b: {pattern: /1, handler: MessageHandler}
          a_b: {pattern: /2, handler: MessageHandler, kwargs: {KWARGS}}
    """
    (problem,) = folder.problems(text.replace("KWARGS", ""))
    assert problem.endswith("default table a_b is already used by 'a/b'")
    config = folder.load(text.replace("KWARGS", "table: a_b"))
    assert [each.table for each in messages(config)] == ["a_b", "a_b"]


def test_every_key_of_a_message_handler_is_read(folder: Folder) -> None:
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


@pytest.mark.parametrize(
    ("url", "mirror"),
    [
        ("sqlite:///messages.db", "sqlite:///{folder}/messages.db"),
        ("sqlite+pysqlite:///sub/m.db?timeout=3", "sqlite+pysqlite:///{folder}/sub/m.db?timeout=3"),
        ("sqlite:////var/m.db", "sqlite:////var/m.db"),
        ("postgresql://hub@db/chat", "postgresql://hub@db/chat"),
    ],
)
def test_the_path_of_an_sqlite_file_is_relative_to_the_file(
    folder: Folder, url: str, mirror: str
) -> None:
    (served,) = messages(folder.load(endpoint(f"url: {url}\nimport: skip")))
    assert served.mirror == mirror.format(folder=folder.path)
    assert served.import_ == "skip"


def test_an_import_is_stop_or_skip(folder: Folder) -> None:
    (served,) = messages(folder.load(endpoint("url: sqlite:///m.db")))
    assert served.import_ == "stop"
    (problem,) = folder.problems(endpoint("url: sqlite:///m.db\nimport: some"))
    assert problem.startswith("hub.yaml:7: url.chat.kwargs.import: ")


@pytest.mark.parametrize(("value", "words"), [("hub", ["hub"]), ("[hub, z]", ["hub", "z"])])
def test_timestamps_may_be_one_word_or_several(
    folder: Folder, value: str, words: list[str]
) -> None:
    (served,) = messages(folder.load(endpoint(f"timestamps: {value}\nunknown: ignore")))
    assert (served.timestamps, served.unknown) == (words, "ignore")


def test_open_of_a_table_without_columns_is_only_a_warning(folder: Folder) -> None:
    (warning,) = folder.warnings(endpoint("open: args.update(recpient=['me'])"))
    assert "args['recpient'] would restrict nothing" in warning


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("rules: {send: none}", "rules.send"),
        ("message_default: {send: {body: \"'x'\"}}", "message_default.SEND"),
    ],
)
def test_what_is_about_messages_that_are_not_stored_needs_an_endpoint_that_takes_them(
    folder: Folder, text: str, where: str
) -> None:
    columns = "columns: {body: TEXT}"
    (warning,) = folder.warnings(endpoint(f"{columns}\n{text}"))
    assert f"{where}: it has no effect without `send: true`" in warning
    assert folder.warnings(endpoint(f"{columns}\n{text}\nsend: true")) == []
    (served,) = messages(folder.load(endpoint(f"{columns}\n{text}\nsend: true\npresence: true")))
    assert (served.send, served.presence) == (True, True)

"""Hooks work as in the guide; a refusal reaches the sender, the details of a bug do not."""

import base64
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from eventhub import hooks as hooks_module
from eventhub.config import MessageEndpoint
from eventhub.errors import EventHubError, Misconfigured, Rejected
from eventhub.handler import Handler, User
from eventhub.hooks import Hooks

NOW = "2023-01-02T03:04:05.000000"
ALICE = User({"id": "alice@example.org", "role": "admin"})


@pytest.fixture(autouse=True)
def _unchanged_modules() -> Iterator[None]:
    path = sys.path.copy()
    yield
    sys.path[:] = path
    sys.modules.pop("mymodule", None)


def make_hooks(folder: Path = Path(), **kwargs: Any) -> Hooks:
    endpoint = MessageEndpoint(name="chat", pattern="/chat", table="chat", **kwargs)
    return Hooks(endpoint, folder)


def make_handler(user: User | None = None, **changes: Any) -> Handler:
    return Handler(current_user=user, session={"id": "s1"}, **changes)


async def with_defaults(hooks: Hooks, handler: Handler | None = None, **message: Any) -> Any:
    message = {"_method": "POST", **message}
    await hooks.defaults(message, handler or make_handler(), NOW)
    return message


# --- message_default


async def test_post_gets_an_id_its_user_and_the_time() -> None:
    message = await with_defaults(make_hooks(), make_handler(ALICE), body="Hello")
    assert len(base64.urlsafe_b64decode(message["id"] + "==")) == 16
    assert message["user"] == "alice@example.org"
    assert message["timestamp"] == "2023-01-02T03:04:05"
    assert message["body"] == "Hello"


@pytest.mark.parametrize("nothing", [{"id": None, "timestamp": None}, {"id": ""}, {}])
async def test_null_id_or_timestamp_gets_the_default(nothing: dict[str, Any]) -> None:
    message = await with_defaults(make_hooks(), **nothing)
    assert len(message["id"]) == 22
    assert message["timestamp"] == "2023-01-02T03:04:05"


async def test_client_may_set_id_and_timestamp_but_not_the_user() -> None:
    given: dict[str, Any] = {"id": "mine", "timestamp": "1999-01-01T00:00:00", "user": "bob"}
    assert await with_defaults(make_hooks(), **given) == {"_method": "POST", **given, "user": None}


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_put_and_delete_get_no_defaults_and_cannot_change_the_user(method: str) -> None:
    message = await with_defaults(make_hooks(), _method=method, id="1", user="bob", body="x")
    assert message == {"_method": method, "id": "1", "body": "x"}


async def test_message_default_of_the_guide() -> None:
    hooks = make_hooks(
        message_default={
            "POST": {
                "to": "f'all@example.org'",
                "length": "msg['message'].length",
                "session": "handler.session['id']",
            },
            "PUT": {"length": "msg['message'].length"},
        }
    )
    message = await with_defaults(hooks, message="hello", to="me@example.org", length=99)
    assert message["to"] == "all@example.org"
    assert message["length"] == 5
    assert message["session"] == "s1"
    changed = await with_defaults(hooks, _method="PUT", id="1", message="hi")
    assert changed == {"_method": "PUT", "id": "1", "message": "hi", "length": 2}


async def test_built_in_defaults_as_the_guide_spells_them() -> None:
    hooks = make_hooks(
        message_default={
            "POST": {
                "id": "base64.urlsafe_b64encode(uuid.uuid4().bytes)"
                """.strip(b"=").decode('utf-8')""",
                "user": "handler.current_user.get('id', None) if handler.current_user else None",
                "timestamp": "datetime.datetime.utcnow().isoformat()",
            }
        }
    )
    message = await with_defaults(hooks, make_handler(ALICE), id="mine")
    assert len(message["id"]) == 22
    assert message["user"] == "alice@example.org"
    assert datetime.fromisoformat(message["timestamp"]).tzinfo is None
    assert (await with_defaults(hooks))["user"] is None


async def test_constant_default_is_not_shared_between_messages() -> None:
    hooks = make_hooks(message_default={"POST": {"n": 1, "tags": []}})
    first = await with_defaults(hooks)
    first["tags"].append("changed")
    second = await with_defaults(hooks)
    assert (second["n"], second["tags"]) == (1, [])


async def test_expression_sees_all_of_its_names() -> None:
    source = "[msg['_method'], args['a'], handler.get_arg('a', ''), handler_current_user.role]"
    hooks = make_hooks(message_default={"PUT": {"seen": source}})
    handler = make_handler(ALICE, args={"a": ["1", "2"]})
    message = await with_defaults(hooks, handler, _method="PUT")
    assert message["seen"] == ["PUT", ["1", "2"], "2", "admin"]


# --- prepare


async def prepared(hooks: Hooks, handler: Handler | None = None, **message: Any) -> Any:
    await hooks.prepare(message, handler or make_handler())
    return message


async def test_prepare_of_the_guide_changes_only_posts() -> None:
    hooks = make_hooks(
        prepare="msg.update(message='MSG: ' + msg['message']) if msg['_method'] == 'POST' else ''\n"
    )
    assert (await prepared(hooks, _method="POST", message="x"))["message"] == "MSG: x"
    assert (await prepared(hooks, _method="PUT", message="x"))["message"] == "x"


MY_MODULE = """
valid_users = {"Help": ["alice@example.org"]}


def my_prepare(msg, handler):
    allowed = valid_users.get(msg['topic'], [])
    if not handler.current_user or handler.current_user['id'] not in allowed:
        raise ValueError(f"You cannot write to {msg['topic']}")
"""


async def test_mymodule_of_the_guide_lets_only_valid_users_write(tmp_path: Path) -> None:
    (tmp_path / "mymodule.py").write_text(MY_MODULE)
    hooks = make_hooks(tmp_path, prepare="mymodule.my_prepare(msg, handler)")
    assert await prepared(hooks, make_handler(ALICE), topic="Help") == {"topic": "Help"}
    for user, topic in [(None, "Help"), (ALICE, "Other"), (User({"id": "bob"}), "Help")]:
        with pytest.raises(Rejected) as caught:
            await prepared(hooks, make_handler(user), topic=topic)
        assert (caught.value.code, caught.value.message) == (
            "refused",
            f"You cannot write to {topic}",
        )


async def test_prepare_cannot_change_the_method() -> None:
    hooks = make_hooks(prepare="msg.update(_method='DELETE')")
    assert await prepared(hooks, _method="PUT", id="1") == {"_method": "PUT", "id": "1"}


async def test_coroutine_of_a_hook_is_awaited(tmp_path: Path) -> None:
    (tmp_path / "mymodule.py").write_text("async def mark(msg): msg['marked'] = True\n")
    hooks = make_hooks(tmp_path, prepare="mymodule.mark(msg)")
    assert await prepared(hooks) == {"marked": True}


RAISING = """
import errno
class E:
    value = ValueError("no such topic")
    empty = ValueError()
    permission = PermissionError("not yours")
    file = PermissionError(errno.EACCES, "Permission denied", "/etc/secret")
    key = KeyError("secret")
def fail(error): raise error
async def fail_later(error): raise error
"""


@pytest.mark.parametrize("how", ["fail", "fail_later"])
@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        ("value", "refused", "no such topic"),
        ("empty", "refused", "refused by prepare"),
        ("permission", "forbidden", "not yours"),
        ("file", "internal", "internal error in prepare"),
        ("key", "internal", "internal error in prepare"),
    ],
)
async def test_refusal_reaches_the_sender_and_a_bug_is_logged(
    tmp_path: Path, how: str, error: str, code: str, text: str
) -> None:
    (tmp_path / "mymodule.py").write_text(RAISING)
    hooks = make_hooks(tmp_path, prepare=f"mymodule.{how}(mymodule.E.{error})")
    with capture_logs() as logs, pytest.raises(EventHubError) as caught:
        await prepared(hooks)
    assert (caught.value.code, caught.value.message) == (code, text)
    logged = [(line["event"], line["endpoint"], line["hook"]) for line in logs]
    assert logged == ([("hook_failed", "chat", "prepare")] if code == "internal" else [])


async def test_rejection_by_a_hook_is_passed_on_unchanged(tmp_path: Path) -> None:
    (tmp_path / "mymodule.py").write_text(
        "from eventhub.errors import Rejected\n"
        "def fail(): raise Rejected('bad_value', 'too long', column='body')\n"
    )
    with pytest.raises(Rejected) as caught:
        await prepared(make_hooks(tmp_path, prepare="mymodule.fail()"))
    assert caught.value.column == "body"


async def test_hook_that_never_ends_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks_module, "HOOK_SECONDS", 0.01)
    hooks = make_hooks(prepare="asyncio.Event().wait()")
    with capture_logs() as logs, pytest.raises(EventHubError, match="internal error in prepare"):
        await prepared(hooks)
    assert logs[0]["event"] == "hook_failed"


async def test_defaults_and_modify_refuse_like_prepare() -> None:
    source = "int('x' + msg['id'])"
    defaults, modify = make_hooks(message_default={"PUT": {"n": source}}), make_hooks(modify=source)
    with pytest.raises(Rejected, match="invalid literal"):
        await with_defaults(defaults, _method="PUT", id="1")
    with pytest.raises(Rejected, match="invalid literal"):
        await modify.modify({"_method": "PUT", "id": "1"}, make_handler())


# --- modify


async def test_modify_of_the_guide_changes_only_the_broadcast() -> None:
    hooks = make_hooks(
        modify="msg.update(message='MSG: ' + msg['message']) if msg['_method'] == 'POST' else ''\n"
    )
    message = {"_method": "POST", "id": "1", "message": "x", "tags": ["a"]}
    before = deepcopy(message)
    modified = await hooks.modify(message, make_handler())
    assert modified == {**message, "message": "MSG: x"}
    assert message == before
    assert await hooks.modify({**message, "_method": "PUT"}, make_handler()) is None


async def test_modify_changes_a_deep_copy_of_the_message() -> None:
    message = {"_method": "POST", "id": "1", "tags": ["a"]}
    modified = await make_hooks(modify="msg['tags'].append('b')").modify(message, make_handler())
    assert modified == {"_method": "POST", "id": "1", "tags": ["a", "b"]}
    assert message["tags"] == ["a"]


@pytest.mark.parametrize("source", ["msg.update(_method='PUT', id='2')", "msg.clear()"])
async def test_modify_cannot_change_method_or_id(source: str) -> None:
    message = {"_method": "POST", "id": "1", "body": "x"}
    modified = await make_hooks(modify=source).modify(message, make_handler())
    assert modified is None or (modified["_method"], modified["id"]) == ("POST", "1")


async def test_endpoint_without_hooks_changes_nothing() -> None:
    hooks, handler, message = make_hooks(), make_handler(), {"_method": "PUT", "id": "1"}
    await hooks.open(handler)
    await hooks.prepare(message, handler)
    assert await hooks.modify(message, handler) is None
    assert message == {"_method": "PUT", "id": "1"}
    assert asdict(handler) == asdict(make_handler())


# --- open


async def test_open_of_the_guide_logs_the_user(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    hooks = make_hooks(open="logging.info('MessageHandler opened by %s', handler_current_user)")
    await hooks.open(make_handler(ALICE))
    assert caplog.messages == ["MessageHandler opened by User('alice@example.org')"]


async def test_open_of_the_guide_sets_arguments() -> None:
    handler = make_handler(ALICE, args={"recipient": ["bob"], "topic": [""]})
    await make_hooks(open="args.update(recipient=[handler.current_user.id])").open(handler)
    await make_hooks(open='args.update({"timestamp>~": ["2023-04"]})\n').open(handler)
    assert handler.args == {
        "recipient": ["alice@example.org"],
        "topic": [""],
        "timestamp>~": ["2023-04"],
    }


async def test_number_that_open_sets_becomes_text() -> None:
    handler = make_handler()
    await make_hooks(open="args.update(n=[1, 2.5])").open(handler)
    assert handler.args == {"n": ["1", "2.5"]}


@pytest.mark.parametrize("value", ["'alice'", "[None]", "[]", "None", "[['a']]"])
async def test_argument_that_is_not_a_list_of_values_is_refused(value: str) -> None:
    with capture_logs(), pytest.raises(EventHubError, match="internal error in open"):
        await make_hooks(open=f"args.update(recipient={value})").open(make_handler())


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        ("value", "bad_request", "no such topic"),
        ("permission", "forbidden", "not yours"),
        ("key", "internal", "internal error in open"),
    ],
)
async def test_open_may_refuse_a_connection(
    tmp_path: Path, error: str, code: str, text: str
) -> None:
    (tmp_path / "mymodule.py").write_text(RAISING)
    hooks = make_hooks(tmp_path, open=f"mymodule.fail(mymodule.E.{error})")
    with capture_logs(), pytest.raises(EventHubError) as caught:
        await hooks.open(make_handler())
    assert (caught.value.code, caught.value.message) == (code, text)


def test_hook_that_does_not_compile_is_refused() -> None:
    for given in ({"open": "msg"}, {"prepare": "("}, {"message_default": {"PUT": {"a": "nope"}}}):
        with pytest.raises(Misconfigured):
            make_hooks(**given)

"""Variables are replaced and imports are merged; the importing file takes precedence."""

import pytest

from tests.unit.config.folder import CHAT, Folder, endpoint, messages


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


def test_undefined_variable_in_braces_is_refused(folder: Folder) -> None:
    (problem,) = folder.problems("broker:\n  password: ${SECRET}\n")
    assert problem.startswith("hub.yaml:2: broker.password: ${SECRET} is not defined")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("broker: {password: $SECRET}", "broker.password"),
        ("email: {office: {type: stub, password: $SECRET}}", "email.office.password"),
        ("projection: {snapshots: {to: s3://abc/d, secret_access_key: $SECRET}}", "key"),
        ("projection: {snapshots: {to: s3://abc/d, access_key_id: $SECRET}}", "access_key_id"),
        ("broker: {url: 'nats://hub:$SECRET@example.org:4222'}", "broker.url"),
        ("broker: {url: 'nats://$SECRET:word@example.org:4222'}", "broker.url"),
        ("broker: {url: ['nats://a.org', 'nats://$SECRET@b.org']}", "broker.url[1]"),
        (endpoint("url: postgresql://hub:$SECRET@db/hub"), "url.chat.kwargs.url"),
    ],
)
def test_undefined_variable_in_place_of_a_secret_is_refused(
    folder: Folder, text: str, keys: str
) -> None:
    found = [each for each in folder.problems(text) if "$SECRET is not defined" in each]
    assert len(found) == 1
    assert f"{keys}: $SECRET is not defined; for a dollar sign, write $$" in found[0]


def test_dollar_sign_within_a_secret_and_in_other_text_stays(folder: Folder) -> None:
    config = folder.load(
        """
        broker: {url: 'nats://hub:a$b@$HOST:4222'}
        auth: {session: {secret: a-long-$secret-with-a-dollar-sign-inside}}
        server: {host: $HOST}
        """
    )
    assert config.broker.url == "nats://hub:a$b@$HOST:4222"
    assert config.server.host == "$HOST"


def test_importing_file_overrides_its_imports(folder: Folder) -> None:
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


def test_problem_of_an_imported_file_is_reported_with_its_own_line(folder: Folder) -> None:
    folder.write("one/chat.yaml", "server:\n  prt: 1\n")
    (problem,) = folder.problems("import: one/chat.yaml\n")
    assert problem.startswith("one/chat.yaml:2: server: unknown key 'prt'")


def test_modules_next_to_an_imported_file_are_found(folder: Folder) -> None:
    folder.write("one/chat.yaml", endpoint("prepare: mymodule.check(msg)"))
    folder.write("one/mymodule.py", "def check(msg): ...\n")
    assert len(messages(folder.load("import: one/chat.yaml\n"))) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import: hub.yaml", "hub.yaml:1: import: hub.yaml imports itself"),
        ("import: none.yaml", "hub.yaml:1: import: cannot read the file none.yaml"),
        ("import: {a: 1}", "hub.yaml:1: import.a: expected a path, or {path: ..., VARIABLE: text}"),
    ],
)
def test_invalid_import_is_reported(folder: Folder, text: str, problem: str) -> None:
    (reported,) = folder.problems(text)
    assert reported.startswith(problem)

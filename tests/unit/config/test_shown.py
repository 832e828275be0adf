"""A configuration is printed without its secrets."""

from pathlib import Path
from textwrap import dedent

from eventhub.config import as_shown, fingerprints
from tests.unit.config.folder import Folder, endpoint


def test_printed_configuration_hides_all_secrets(folder: Folder) -> None:
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


def test_endpoints_are_printed_in_the_order_of_the_file_with_their_handlers(folder: Folder) -> None:
    text = "url: {a: {pattern: /a, handler: FileHandler, kwargs: {path: .}},"
    shown = as_shown(folder.load(text + " b: {pattern: /b, handler: MessageHandler}}"))
    assert [(each["handler"], each["name"]) for each in shown["endpoints"]] == [
        ("FileHandler", "a"),
        ("MessageHandler", "b"),
    ]


def test_default_of_a_column_with_the_name_of_a_secret_is_hidden(folder: Folder) -> None:
    kwargs = "columns: {pin: {type: INTEGER, default: 1234}, size: {type: INTEGER, default: 5678}}"
    shown = str(as_shown(folder.load(endpoint(kwargs))))
    assert "1234" not in shown
    assert "5678" in shown


def test_fingerprints_change_with_an_endpoint_and_not_with_a_secret_or_a_folder(
    folder: Folder, tmp_path: Path
) -> None:
    text = "broker: {url: nats://a, password: %s}\n" + endpoint("columns: {body: TEXT}\n%s")
    digest, entries = fingerprints(folder.load(text % ("s3cret", "headers: {x-key: one}")))
    elsewhere = folder.load(text % ("other", "headers: {x-key: two}"), data=tmp_path / "elsewhere")
    assert fingerprints(elsewhere) == (digest, entries)
    changed, after = fingerprints(folder.load(text % ("s3cret", "auth: true")))
    assert changed != digest
    assert after.keys() == entries.keys() == {"chat"}
    assert after != entries

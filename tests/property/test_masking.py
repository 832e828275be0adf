"""No secret, wherever it is in a file, is printed by `eventhub config` or by an error."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from eventhub.config import as_shown, load
from eventhub.errors import Misconfigured
from eventhub.masking import is_secret_name, without_credentials, without_literals

# Texts that are not part of the rest by accident.
secrets = st.text("XYZ019/@:?#=!é", min_size=6, max_size=30).filter(
    lambda text: text.strip("/@:?#=!") and len(set(text)) > 2
)
plain = st.from_regex(r"[XYZ19]{6,24}", fullmatch=True)
names = st.sampled_from(
    [
        *("password", "db_password", "apiKey", "api_key", "X-Api-Key", "TOKEN", "accessToken"),
        *("pin", "client-secret", "Authorization", "signature", "sig", "credentials", "key", "pwd"),
    ]
)
schemes = st.sampled_from(["ws", "wss", "https", "postgresql+psycopg2", "nats", "amqp", "mysql"])


def endpoint(**kwargs: Any) -> dict[str, Any]:
    return {"url": {"notes": {"pattern": "/notes", "handler": "MessageHandler", "kwargs": kwargs}}}


def shown(config: dict[str, Any], **environ: str) -> str:
    """Return what `eventhub config` prints."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "hub.yaml")
        file.write_text(yaml.safe_dump(config, allow_unicode=True))
        output = as_shown(load(file, environ=environ))
    return json.dumps(output, ensure_ascii=False) + yaml.safe_dump(
        output, allow_unicode=True, width=1e9
    )


def problems(config: dict[str, Any], **environ: str) -> str:
    try:
        shown(config, **environ)
    except Misconfigured as error:
        return error.message
    raise AssertionError("it is fine")


def said(config: dict[str, Any]) -> str:
    """Return what `eventhub config` prints, or what is wrong."""
    try:
        return shown(config)
    except Misconfigured as error:
        return error.message


@given(schemes, plain, secrets, st.sampled_from(["url", "attachments", "images", "jwks", "broker"]))
def test_login_in_a_url_is_hidden(scheme: str, user: str, password: str, where: str) -> None:
    scheme = "nats" if where == "broker" else scheme
    url = f"{scheme}://{user}:{password}@host.example/x"
    config = {
        "url": endpoint(url=url),
        "attachments": endpoint(alert={"to": "a@b.example", "attachments": [url]}),
        "images": endpoint(alert={"to": "a@b.example", "images": {"logo": url}}),
        "jwks": {"auth": {"jwt": {"jwks": url}}},
        "broker": {"broker": {"url": [url]}},
    }[where]
    output = said(config)
    assert password not in output
    assert user not in output
    if where == "broker" and "expected nats://HOST" in output:
        assert set(password) & set("/?#")  # the URL of a server ends there, without a host
    else:
        assert f"{scheme}://***@host.example" in output


@given(plain, names | st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.sampled_from("?&;#"))
def test_value_of_a_query_is_hidden(secret: str, name: str, before: str) -> None:
    url = f"https://host.example/file?a=1{before}{name}={secret}"
    assert secret not in shown(endpoint(alert={"to": "a@b.example", "attachments": [url]}))
    assert secret not in without_credentials(f"cannot fetch {url}: timeout")
    assert "host.example/file?a=***" in without_credentials(url)


@given(plain, names)
def test_value_of_a_header_is_hidden(secret: str, name: str) -> None:
    for key in (name, "X-Whatever"):
        assert secret not in shown(endpoint(headers={key: f"Bearer {secret}"}))
    assert "X-Whatever" in shown(endpoint(headers={"X-Whatever": secret}))


@given(plain, names)
def test_literal_in_an_expression_that_names_a_secret_is_hidden(secret: str, name: str) -> None:
    for source in (
        f"{{'{name}': '{secret}'}}",
        f"msg.get('{name}') == '{secret}'",
        f"msg.update(**{{'{name}': b'{secret}'}})",
        f"f'{secret}' if args['{name}'] else '{secret}' '{secret}'",
    ):
        assert secret not in without_literals(source)
        assert secret not in shown(endpoint(prepare=source, open=f"args.get('{name}', '{secret}')"))
    output = shown(
        endpoint(message_default={"POST": {name: f"'{secret}'", "n": f"{{'{name}': '{secret}'}}"}})
    )
    assert secret not in output
    number = endpoint(message_default={"POST": {name: 987654}})
    assert "987654" not in shown(number)


@given(plain, st.sampled_from(["$V", "a $V b", "${V}"]))
def test_value_of_a_variable_is_hidden(secret: str, text: str) -> None:
    for config in (
        endpoint(table=text.replace(" ", "_").replace("$V_b", "${V}_b"), columns={"a": "TEXT"}),
        endpoint(prepare=f"len('{text}')", message_default={"POST": {"a": f"'{text}'"}}),
        endpoint(default={"a": text}, origins=[f"https://{text.split()[0]}.example"]),
        endpoint(alert={"to": [text, "b@c.example"], "subject": text, "condition": f"body={text}"}),
        {
            "email": {"x": {"host": text, "email": text}},
            "auth": {"jwt": {"issuer": text, "jwks": text}},
        },
        {
            "broker": {"url": "tls://a.example", "ca_file": text},
            "server": {"tls": {"cert_file": text, "key_file": text}},
        },
    ):
        assert secret not in shown(config, V=secret)
        assert secret not in shown({**config, "variables": {"V": secret}})


@given(secrets, st.sampled_from(["password", "token"]))
def test_value_of_a_separate_file_is_hidden(secret: str, key: str) -> None:
    with TemporaryDirectory() as folder:
        Path(folder, "s").write_text(secret + "\n", encoding="utf-8")
        Path(folder, "hub.yaml").write_text(f"broker: {{{key}_file: s}}")
        config = load(Path(folder, "hub.yaml"), environ={})
    assert getattr(config.broker, key) == secret
    assert secret not in json.dumps(as_shown(config), ensure_ascii=False)
    assert secret not in config.masks.mask(json.dumps({"error": f"cannot log in as {secret}"}))


@given(plain, names)
def test_no_error_contains_a_secret(secret: str, name: str) -> None:
    for config in (
        endpoint(prepare=f"{name.replace('-', '_')} = '{secret}'"),
        endpoint(open=f"check('{secret}"),
        endpoint(headers={name: [secret]}),
        endpoint(url=f"user:{secret}@host"),
        endpoint(prepare="check('$V'"),
        endpoint(columns={"$V": "NOTYPE", "a": "$V"}),
        {"auth": {"jwt": secret}},
        {"email": {"x": {"type": "$V"}}},
        {"server": {"port": "x$V"}},
        {"url": {"x": {"handler": "FileHandler", "pattern": "$V", "kwargs": {"path": "."}}}},
    ):
        assert secret not in problems(config, V=secret)


def test_ordinary_value_is_shown() -> None:
    output = shown(
        endpoint(
            table="notes",
            prepare="msg.update(message='MSG: ' + msg['message'])",
            message_default={"POST": {"to": "'all@example.org'", "n": 1}},
            alert={"to": "ann@example.org", "condition": "topic=Help&body~x", "subject": "Why? #1"},
            origins=["https://*.apps.example.org"],
        )
        | {"server": {"port": 81}, "auth": {"session": {"cookie": "biscuit"}}}
    )
    for text in (
        *("notes", "'MSG: ' + msg['message']", "'all@example.org'", "ann@example.org", "Why? #1"),
        *("topic=Help&body~x", "https://*.apps.example.org", "biscuit", '"port": 81', '"n": 1'),
    ):
        assert text in output, text


def test_ordinary_names_are_not_names_of_secrets() -> None:
    for name in (
        "public_key",
        "user_claim",
        "keyboard",
        "author",
        "spinner",
        "signal",
    ):
        assert not is_secret_name(name), name
